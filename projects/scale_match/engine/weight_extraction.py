"""The hand-over of weights alone: from any checkpoint that loads to a file of weights."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
from detectron2.config import instantiate
from torch import Tensor, nn

from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer, disk_errors_as_oserror
from scale_match.engine.ema import WeightAverage
from scale_match.engine.front_ends import YACS, front_end_of
from scale_match.engine.model_facts import FACTS_KEY, model_facts
from scale_match.engine.registration import register_all
from scale_match.engine.trainer import ScaleMatchTrainer
from scale_match.engine.weight_conversion import ConvertedWeights, convert_weights
from scale_match.engine.weight_fit import Purpose, fit_weights
from scale_match.engine.weight_names import BACKBONE
from scale_match.engine.weights import is_class_layer
from scale_match.storage.files import replacing

__all__ = ["Extraction", "Part", "extract_weights", "model_of_config"]

_logger = logging.getLogger(__name__)

Part = Literal["all", "without classes", "backbone"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """What became of a file.

    Attributes:
        parameters: Parameters and buffers written.
        bytes_before: Size of the input.
        bytes_after: Size of the output.
        report: Lines on what was taken and what was not.
    """

    parameters: int
    bytes_before: int
    bytes_after: int
    report: str


class _Reader(AtomicCheckpointer):
    """Reads a file with all of the checkpointer's checks, and loads it into nothing."""

    def __init__(self) -> None:
        super().__init__(nn.Module(), save_to_disk=False)
        self.content: dict[str, Any] = {}

    def _load_model(self, checkpoint: dict[str, Any]) -> None:
        self.content = checkpoint


def model_of_config(config_file: Path, opts: Sequence[str] = ()) -> nn.Module:
    """The model of a yacs or Lazy config, on the CPU, with random weights.

    Raises:
        InputError: The file is no config, or its model cannot be built.
    """
    front_end = front_end_of(config_file)
    cfg = front_end.with_settings(front_end.load(config_file, opts), None, "cpu")
    register_all()
    if front_end is YACS:
        return ScaleMatchTrainer.build_model(cfg)
    model: nn.Module = instantiate(cfg.model)
    return model


def extract_weights(
    source: str,
    output: Path,
    *,
    model: nn.Module | None = None,
    reset_head: bool = False,
    part: Part = "all",
    average: bool = False,
) -> Extraction:
    """Writes the weights of a checkpoint, and nothing else of it, in detectron2's names.

    Args:
        source: A file or an address; any naming of :mod:`scale_match.engine.weight_names`.
        output: The file to write; it is written as a whole or not at all.
        model: Write what this model takes; None for all that has a name.
        reset_head: With a model, leave out what of pyramid and head does not fit instead of
            refusing the file.
        part: "without classes" leaves out the layers that depend on the number of classes,
            "backbone" everything but ResNet and pyramid.
        average: Take the moving average of a training instead of its last weights.

    Raises:
        InputError: The input is missing, damaged or no checkpoint, does not fit the model or has
            no average; or the output cannot be written.
    """
    if output.suffix != ".pth":
        raise InputError(f"weights are written to a .pth file, not to {output}")
    reader = _Reader()
    reader.load(source, checkpointables=[])
    path = Path(reader.path_manager.get_local_path(source.partition("?")[0]))
    if output.exists() and output.samefile(path):
        raise InputError(f"{output} is the input itself: name another file to write")
    weights = _converted(reader.content, model, source=source, average=average)
    if model is None:
        state, facts = weights.state, dict(weights.facts)
        report = _report(source, weights)
    else:
        purpose = Purpose(all_needed=False, reset_head=reset_head)
        fitted = fit_weights(weights, model, source=source, purpose=purpose)
        state, facts, report = fitted.state, model_facts(model), fitted.report.describe()
    chosen = {name: value for name, value in state.items() if _belongs(name, part)}
    if not chosen:
        raise InputError(f"{source} has nothing to write: no parameter of it is asked for")
    if len(chosen) < len(state):
        report += f"\n  {len(state) - len(chosen):5d}  left out as asked ({part})"
    with replacing(output) as temporary, disk_errors_as_oserror():
        # Copies: a part of a tensor would be saved with the whole of it.
        content = {name: value.detach().cpu().clone() for name, value in chosen.items()}
        torch.save({"model": content, FACTS_KEY: facts}, temporary)
    return Extraction(len(chosen), path.stat().st_size, output.stat().st_size, report)


def _converted(
    content: dict[str, Any], model: nn.Module | None, *, source: str, average: bool
) -> ConvertedWeights:
    """The weights of a file in detectron2's names."""
    if average:
        content = {**content, "model": _average(content, source)}
    checkpointer = AtomicCheckpointer(nn.Module() if model is None else model, save_to_disk=False)
    if model is None and content.get("matching_heuristics"):
        # detectron2 matches names with those of a model; its own rules name the parts without one.
        state = {name: torch.as_tensor(value) for name, value in content["model"].items()}
        if content.get("__author__") == "Caffe2":
            state, _ = convert_c2_detectron_names(state)
        return convert_weights(state, layout=None, source=source)
    return checkpointer.in_own_names(content, source)


def _average(content: dict[str, Any], source: str) -> dict[str, Tensor]:
    hooks = content.get("trainer", {}).get("hooks", {})
    state = hooks.get(WeightAverage.__qualname__)
    if state is None:
        raise InputError(
            f"{source} holds no moving average of weights (SCALE_MATCH.SOLVER.EMA_DECAY, "
            "train.ema_decay): leave --ema out"
        )
    average: dict[str, Tensor] = state["average"]
    return average


def _belongs(name: str, part: Part) -> bool:
    if part == "backbone":
        return name.startswith(BACKBONE)
    return part == "all" or not is_class_layer(name)


def _report(source: str, weights: ConvertedWeights) -> str:
    """What became of a file where no model was named."""
    lines = [
        f"Weights of {source} (names of {weights.naming}):",
        f"  {len(weights.state):5d}  in detectron2's names",
        f"  {len(weights.unknown):5d}  of nothing that is here, left out"
        + (f": {', '.join(weights.unknown)}" if weights.unknown else ""),
    ]
    lines += [f"  note: {name} left out: {reason}" for name, reason in weights.left_out]
    lines += [f"  note: {note}" for note in weights.notes]
    return "\n".join(lines)
