"""Checkpoints that are whole or absent, and weight files that say what became of them."""

import errno
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.model_facts import FACTS_KEY, model_facts
from scale_match.engine.weight_conversion import (
    ConvertedWeights,
    convert_weights,
    layout_of,
    zoo_weights,
)
from scale_match.engine.weight_fit import Purpose, fit_weights
from scale_match.engine.weights import WeightsReport
from scale_match.storage.files import replacing, write_text
from scale_match.storage.image_jobs import remove_leftovers

__all__ = ["AtomicCheckpointer", "disk_errors_as_oserror"]

# What torch.load and pickle raise for a file that is cut off or something else.
_NOT_A_CHECKPOINT = (
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    RuntimeError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
    pickle.UnpicklingError,
)


class AtomicCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer, with three differences.

    - A checkpoint is written under a temporary name and moved into place, and ``last_checkpoint``
      names it only then: a run that is killed, or a full disk, leaves the last good one. What a
      kill left half written goes when the same checkpoint is written again.
    - Loading weights leaves a :class:`~scale_match.engine.weights.WeightsReport` and refuses the
      weights of another model, a damaged file, and anything that is no checkpoint. A file says
      what its head was trained for (:mod:`~scale_match.engine.model_facts`), and files of other
      projects are converted (:mod:`~scale_match.engine.weight_conversion`).
    - :meth:`save_weights` writes weights that ``--resume`` does not take for the latest state.

    Args:
        model: May be a DistributedDataParallel.
        save_dir: Folder of the checkpoints; "" for loading only.
        save_to_disk: By default in the main process only.
        checkpointables: More objects with a state, by name.

    Attributes:
        report: What became of the parameters of the last file loaded; None before.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str | os.PathLike[str] = "",
        *,
        save_to_disk: bool | None = None,
        **checkpointables: object,
    ) -> None:
        super().__init__(model, str(save_dir), save_to_disk=save_to_disk, **checkpointables)
        self.report: WeightsReport | None = None
        self._source = ""
        self._purpose = Purpose(all_needed=False)

    def save(self, name: str, **kwargs: object) -> None:
        """Writes ``name``.pth with the model, all checkpointables and ``kwargs``.

        Raises:
            InputError: It cannot be written; the checkpoints before it are untouched.
        """
        states = {key: value.state_dict() for key, value in self.checkpointables.items()}
        if self._write(name, {**states, **kwargs}):
            self.tag_last_checkpoint(f"{name}.pth")

    def save_weights(self, name: str, **kwargs: object) -> None:
        """Writes ``name``.pth with the model and ``kwargs``; ``last_checkpoint`` stays.

        Raises:
            InputError: It cannot be written.
        """
        self._write(name, kwargs)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Makes a file the one that ``--resume`` starts from."""
        write_text(Path(self.save_dir) / "last_checkpoint", last_filename_basename)

    def load(
        self,
        path: str | os.PathLike[str],
        checkpointables: Sequence[str] | None = None,
        *,
        all_needed: bool | None = None,
        reset_head: bool = False,
    ) -> dict[str, Any]:
        """Loads a checkpoint or a weight file.

        Args:
            path: A file, or an address that detectron2 knows (``detectron2://``, ``https://``); ""
                loads nothing.
            checkpointables: Which of them to load; None = all.
            all_needed: Whether every parameter has to be in the file; by default when
                ``checkpointables`` is None, which is how a training is resumed.
            reset_head: Start the parts of pyramid and head anew that do not fit, instead of
                refusing the file.

        Returns:
            What else the file holds.

        Raises:
            InputError: There is no such file, it is damaged or no checkpoint, or it belongs to
                another model.
        """
        path = str(path)
        self._source = path
        resumes = checkpointables is None
        self._purpose = Purpose(
            all_needed=resumes if all_needed is None else all_needed,
            reset_head=reset_head,
            resumes=resumes,
        )
        self._parsed_url_during_load = None  # newer detectron2 leaves it set after an error
        if "://" in path:
            self._check_address(path)
        elif path and not Path(path.partition("?")[0]).is_file():
            is_folder = Path(path).is_dir()
            raise InputError(
                f"the weight file {path} "
                + ("is a folder: name a file in it" if is_folder else "does not exist")
            )
        names = None if checkpointables is None else list(checkpointables)
        try:
            return super().load(path, names)
        except OSError as error:
            raise InputError(f"cannot read the weight file {path}: {error}") from error

    def load_to_evaluate(self, weights: str, *, resume: bool, key: str) -> dict[str, Any]:
        """Loads all of a model's parameters, or fails.

        Args:
            weights: A weight file; "" for none.
            resume: Take the last checkpoint of ``save_dir`` instead, where there is one.
            key: The config key that names the weights, for the message.

        Returns:
            What else the file holds.

        Raises:
            InputError: There are no weights, or they are not this model's.
        """
        if resume and self.has_checkpoint():
            weights = self.get_checkpoint_file()
        if not weights:
            raise InputError(
                f"there are no weights to evaluate: name them in {key}"
                + (f", for {self.save_dir} holds no checkpoint" if resume else "")
            )
        return self.load(weights, checkpointables=[], all_needed=True)

    def in_own_names(self, checkpoint: dict[str, Any], source: str) -> ConvertedWeights:
        """The weights of a checkpoint in this model's names and order.

        Args:
            checkpoint: What a file holds; loses ``matching_heuristics``.
            source: The file, for messages.

        Raises:
            InputError: They cannot be converted.
        """
        state = _without_prefix(checkpoint["model"], "module.")
        self._convert_ndarray_to_tensor(state)
        if checkpoint.pop("matching_heuristics", False):
            author = str(checkpoint.get("__author__"))
            matched = self._matched(state, self.model.state_dict(), author == "Caffe2")
            return zoo_weights(matched, author=author)
        return convert_weights(
            state,
            layout=layout_of(self.model),
            source=source,
            meta=checkpoint.get("meta"),
            recorded=checkpoint.get(FACTS_KEY),
        )

    def _write(self, name: str, content: dict[str, Any]) -> bool:
        """Writes a file as a whole, where this process writes at all."""
        if not self.save_dir or not self.save_to_disk:
            return False
        path = Path(self.save_dir) / f"{name}.pth"
        remove_leftovers([path])
        self.logger.info("Saving checkpoint to %s", path)
        with replacing(path) as temporary, disk_errors_as_oserror():
            facts = {FACTS_KEY: model_facts(self.model)}
            torch.save({"model": self.model.state_dict(), **facts, **content}, temporary)
        return True

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            content = super()._load_file(filename)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # torch has looked for a place before the beginning of a file that is too short.
            raise self._no_checkpoint("the file ends too early") from error
        except _NOT_A_CHECKPOINT as error:
            # The first sentence says what is wrong; torch's next ones advise to load unsafely.
            reason = str(error).split(". ")[0].splitlines() or [type(error).__name__]
            raise self._no_checkpoint(reason[0].rstrip(" .")) from error
        inner = content["model"]
        if isinstance(inner, dict) and isinstance(inner.get("state_dict"), dict):
            # mmdetection's; the classes above took the whole file for the state.
            content = {"model": inner["state_dict"], "meta": inner.get("meta")}
        self._check_content(content)
        return content

    def _check_address(self, address: str) -> None:
        """Refuses an address that nothing can be read from; what can stays in a cache."""
        try:
            local = self.path_manager.get_local_path(address.partition("?")[0])
        except OSError as error:
            raise InputError(
                f"cannot read the weight file {address}: {error} (without a network, fetch it "
                "elsewhere and name the file)"
            ) from error
        except RuntimeError as error:  # a name that is not in the zoo
            raise InputError(f"cannot read the weight file {address}: {error}") from error
        if not Path(local).is_file():
            raise InputError(
                f"cannot read the weight file {address}: addresses start with https:// or "
                "detectron2://"
            )

    def _no_checkpoint(self, reason: str) -> InputError:
        return InputError(f"{self._source} is cut off or not a checkpoint ({reason})")

    def _check_content(self, content: Any) -> None:  # noqa: ANN401 - whatever the file holds
        state = content["model"]
        if not isinstance(state, dict) or not state:
            raise InputError(
                f"{self._source} is not a checkpoint: parameters by name expected, "
                f"found {type(state).__name__ if state else 'none'}"
            )
        for name, value in state.items():
            if not isinstance(value, np.ndarray | torch.Tensor):
                raise InputError(
                    f"{self._source} is not a checkpoint: {name!r} is no array but "
                    f"{type(value).__name__}"
                )

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:  # noqa: ANN401 - fvcore's own type
        # super() would do the first steps too; here they come before the comparison.
        weights = self.in_own_names(checkpoint, self._source)
        fitted = fit_weights(weights, self.model, source=self._source, purpose=self._purpose)
        self.report = fitted.report
        checkpoint["model"] = fitted.state
        return super()._load_model(checkpoint)

    def _matched(
        self, state: dict[str, Any], own: dict[str, torch.Tensor], is_caffe2: bool
    ) -> dict[str, Any]:
        """The state in this model's names, by detectron2's rule: the longest equal name ending."""
        matched = align_and_update_state_dicts(own, state, c2_conversion=is_caffe2)
        # detectron2 leaves what has another shape under its old name.
        for name in [name for name in own if name not in matched]:
            endings = [other for other in matched if name.endswith("." + other)]
            if endings:
                matched[name] = matched.pop(max(endings, key=len))
        return matched

    def _log_incompatible_keys(self, incompatible: Any) -> None:  # noqa: ANN401 - fvcore's own type
        """Nothing: the report says it."""


@contextmanager
def disk_errors_as_oserror() -> Iterator[None]:
    """torch.save raises RuntimeError when the disk is full."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error).splitlines()[0]) from error


def _without_prefix(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The state without a prefix that all of its names have."""
    if not all(name.startswith(prefix) for name in state):
        return state
    return {name.removeprefix(prefix): value for name, value in state.items()}
