"""One step of a training, the same for both front ends."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from scale_match.core.errors import InputError
from scale_match.engine.accumulation import PartWeights, parts_of, without_exchange
from scale_match.engine.dropped_boxes import count_dropped
from scale_match.engine.loading import dead_workers_explained
from scale_match.engine.non_finite import report_non_finite
from scale_match.engine.precision import GradientScale, forward_context
from scale_match.modeling.process_means import means_of_this_process

__all__ = ["LoaderBuilder", "TrainStep", "unwrapped"]

_NORMALIZER = "loss_normalizer"

# From the first iteration and the seed to batches without end.
LoaderBuilder = Callable[[int, int], Iterable[list[dict[str, Any]]]]


class TrainStep(SimpleTrainer):
    """Forward, backward, clipping and the optimizer's step, with every number accounted for.

    - The loader is built when the first batch is asked for, because only then it is known which
      iteration a resumed run starts at.
    - The random state of a step is a function of (seed, iteration, process), so a resumed run
      draws what an uninterrupted one would have drawn.
    - A loss or gradient that is not finite stops the training before the weights see it.
    - A batch may go through the model in parts, for want of memory (``engine.accumulation``).
    - Gradients are clipped by the norm of all of them together (the "-c" of the published
      tables); detectron2's own clipping takes each parameter by itself.

    Args:
        model: Takes a batch (list of dicts), returns a dict of losses.
        optimizer: Of the model's parameters.
        build_loader: Called once, with the first iteration and the seed.
        seed: Of the data and of the random state; that of a checkpoint replaces it.
        output_dir: Where a batch whose loss is not finite goes.
        clip_global_norm: Greatest L2 norm of all gradients together; 0 = no clipping.
        precision: Type of the autocast of the forward pass; None = no autocast. With float16 the
            loss is scaled (``engine.precision``).
        accumulate: Parts of the batch of this process, which they divide equally.

    Attributes:
        num_dropped_boxes: Boxes that this process left out so far, being too small after scaling.

    Raises:
        InputError: ``clip_global_norm`` is negative.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        build_loader: LoaderBuilder,
        seed: int,
        output_dir: Path,
        clip_global_norm: float = 0.0,
        precision: torch.dtype | None = None,
        accumulate: int = 1,
    ) -> None:
        if clip_global_norm < 0:
            raise InputError(
                "the greatest norm of the gradients (SCALE_MATCH.SOLVER.CLIP_GLOBAL_NORM, "
                f"train.clip_global_norm) must not be negative, received {clip_global_norm}"
            )
        self._loader = _DeferredLoader(build_loader)
        super().__init__(model, self._loader, optimizer)
        self.seed = seed
        self._output_dir = output_dir
        self._max_norm = clip_global_norm if clip_global_norm > 0 else float("inf")
        self.precision = precision
        self._accumulate = accumulate
        self._device = next(model.parameters()).device
        self._scale = GradientScale(self._device, precision)
        self.num_dropped_boxes = 0

    def run_step(self) -> None:
        """One iteration.

        Raises:
            NonFiniteLossError: A loss or the norm of the gradients is not finite; under fp16 the
                norm may be, but not in many iterations one after another.
            InputError: An image of the batch cannot be read.
        """
        start = perf_counter()
        self._loader.open(self.iter, self.seed)
        with dead_workers_explained():
            batch = next(self._data_loader_iter)
        self.num_dropped_boxes += count_dropped(batch)
        data_time = perf_counter() - start

        _seed_step(self.seed, self.iter)
        self.optimizer.zero_grad()
        losses = self._backward(batch)
        self._scale.unscale(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self._max_norm)
        is_finite = bool(torch.isfinite(norm))
        if not is_finite and not self._scale.is_used:
            raise self._non_finite(batch, {"grad_norm": norm})
        self._write_metrics(losses, data_time)
        storage = get_event_storage()
        if is_finite:
            storage.put_scalar("grad_norm", float(norm))
        self._scale.step(self.optimizer, norm)
        if self._scale.is_used:
            storage.put_scalar("loss_scale", self._scale.value, smoothing_hint=False)
            storage.put_scalar("skipped_steps", self._scale.num_skipped, smoothing_hint=False)

    def close(self) -> None:
        """Ends the processes that load; the garbage collector needs 5 s for each of them."""
        self._data_loader_iter.close()

    def state_dict(self) -> dict[str, Any]:
        """detectron2's, with the seed and what the model keeps outside of its own state."""
        own = {
            "seed": self.seed,
            _NORMALIZER: _normalizers(self.model),
            "gradient_scale": self._scale.state_dict(),
        }
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """detectron2's; the seed of the file wins, for the data goes on where it stopped.

        Raises:
            InputError: The state is that of another optimizer.
        """
        try:
            super().load_state_dict(state_dict)
            _check_groups(self.optimizer)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"the optimizer cannot go on from this checkpoint ({error}): it was written with "
                "another optimizer or another detectron2 version; take its weights "
                "(MODEL.WEIGHTS, train.init_checkpoint) and leave --resume out"
            ) from error
        self.seed = int(state_dict.get("seed", self.seed))
        self._scale.load_state_dict(state_dict.get("gradient_scale", {}))
        modules = dict(unwrapped(self.model).named_modules())
        for name, value in state_dict.get(_NORMALIZER, {}).items():
            if name in modules:
                setattr(modules[name], _NORMALIZER, value)

    def _backward(self, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Leaves the gradients of a batch in the parameters; returns its losses."""
        weights = PartWeights(self._accumulate)
        parts = list(parts_of(batch, self._accumulate))
        for part in parts:
            is_last = part is parts[-1]
            with nullcontext() if is_last else without_exchange(self.model):
                losses = self._losses(part)
                if not all(torch.isfinite(loss).all() for loss in losses.values()):
                    raise self._non_finite(part, losses)
                weight = weights.add(unwrapped(self.model), part, losses)
                self._scale.backward(sum(losses.values()) * weight)  # type: ignore[arg-type]
        return weights.finish(self.model)

    def _losses(self, batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        with forward_context(self._device, self.precision):
            losses = self.model(batch)
        return {"total_loss": losses} if isinstance(losses, torch.Tensor) else losses

    def _non_finite(
        self, batch: list[dict[str, Any]], values: Mapping[str, torch.Tensor]
    ) -> Exception:
        overflows = "; fp16 overflows at 65504, which bf16 does not (AMP_DTYPE, train.amp.dtype)"
        with forward_context(self._device, self.precision), means_of_this_process():
            return report_non_finite(
                self.model,
                batch,
                values,
                iteration=self.iter,
                output_dir=self._output_dir,
                advice=overflows if self._scale.is_used else "",
            )


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without DistributedDataParallel around it."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def _normalizers(model: nn.Module) -> dict[str, float]:
    """Running averages that detectron2's dense detectors keep as plain attributes, by module."""
    found = {
        name: getattr(module, _NORMALIZER, None)
        for name, module in unwrapped(model).named_modules()
    }
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


class _DeferredLoader:
    """A loader that is built when the first batch is taken, for the iteration known by then."""

    def __init__(self, build: LoaderBuilder) -> None:
        self._build = build
        self._start: tuple[int, int] | None = None

    def open(self, iteration: int, seed: int) -> None:
        """Says where to start; only the first call counts."""
        self._start = self._start or (iteration, seed)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        # A generator: detectron2 0.5 makes the iterator in its constructor, and nothing runs
        # before the first next().
        if self._start is None:
            raise RuntimeError("open() comes before the first batch")
        yield from self._build(*self._start)


def _check_groups(optimizer: torch.optim.Optimizer) -> None:
    """Refuses the state of another optimizer, which torch takes up and then stumbles over.

    Raises:
        ValueError: A number that this optimizer needs is not there.
    """
    missing = {
        name for group in optimizer.param_groups for name in optimizer.defaults.keys() - group
    }
    if missing:
        raise ValueError(
            f"it has no {', '.join(sorted(missing))}, which {type(optimizer).__name__} needs"
        )


def _seed_step(seed: int, iteration: int) -> None:
    """Random state of all libraries as a function of seed, iteration and process."""
    entropy = np.random.SeedSequence([seed, iteration, comm.get_rank()])
    words = entropy.generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 - stock augmentations draw from it
    torch.manual_seed(int(words[2]))
