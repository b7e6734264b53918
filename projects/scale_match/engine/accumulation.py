"""A batch in parts, one after another: the step of a large batch in the memory of a small one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scale_match.core.errors import InputError

__all__ = ["PartWeights", "check_accumulation", "parts_of", "without_exchange"]

_Batch = list[dict[str, Any]]


def check_accumulation(parts: int, *, total_batch: int, num_processes: int) -> None:
    """Refuses a number of parts that the images of a process cannot be split into.

    Args:
        parts: Parts of the share of each process.
        total_batch: Images of one step of the optimizer over all processes.
        num_processes: Among which they are shared.

    Raises:
        InputError: Names the keys and the numbers.
    """
    share = total_batch // num_processes
    if parts >= 1 and share % parts == 0 and share >= parts:
        return
    raise InputError(
        "the parts of a batch (SCALE_MATCH.SOLVER.ACCUMULATE, train.accumulate) must divide the "
        f"{share} images of each process (SOLVER.IMS_PER_BATCH, dataloader.train.total_batch_size "
        f"{total_batch} / {num_processes} processes), received {parts}"
    )


def parts_of(batch: _Batch, parts: int) -> Iterator[_Batch]:
    """The batch in equal parts, in its order."""
    size = len(batch) // parts
    for start in range(0, len(batch), size):
        yield batch[start : start + size]


def without_exchange(model: nn.Module) -> AbstractContextManager[None]:
    """Inside, gradients stay in this process: they are exchanged with the last part's only."""
    if isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()


class PartWeights:
    """What each part counts, so that the parts together give the step of the whole batch.

    A loss that is a mean over images counts by the images. One that is divided by something else,
    as by the positive anchors, counts by that: with sums S_i and denominators d_i the parts have
    the losses S_i / d_i, and the batch has sum(S_i) / sum(d_i). The model says d_i, of its last
    forward pass, in its attribute ``loss_denominator``. As it is known only once the part has been
    through the model, gradients are summed with weights d_i / d_1 and divided in the end.

    A model that divides by no less than a least number says in ``loss_count`` how many there really
    were: a part without any has a denominator, but adds nothing to that of the batch.

    Args:
        parts: How many there will be.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._weights: list[float] = []
        self._total = 0.0
        self._losses: list[dict[str, Tensor]] = []
        self._first = 1.0

    def add(self, model: nn.Module, part: Sequence[Any], losses: Mapping[str, Tensor]) -> float:
        """Takes note of a part that has been through the model.

        Args:
            model: Without DistributedDataParallel.
            part: Its images.
            losses: What the model returned for them.

        Returns:
            The factor of its losses for the backward pass.
        """
        denominator = float(getattr(model, "loss_denominator", len(part)))
        count = float(getattr(model, "loss_count", denominator))
        if not self._weights:
            self._first = denominator
        # Near 1 / parts, so that the gradients of fp16 do not overflow.
        self._weights.append(denominator / self._first / self._parts)
        self._total += count / self._first / self._parts
        self._losses.append({name: value.detach() for name, value in losses.items()})
        return self._weights[-1]

    @torch.no_grad()
    def finish(self, model: nn.Module) -> dict[str, Tensor]:
        """Divides the gradients by the sum of the weights.

        Returns:
            The losses of the whole batch.
        """
        # Where all counts are 0 each part was divided by the least number, and so is the batch.
        total = self._total or self._weights[0]
        if total != 1.0:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(total)
        names = self._losses[0]
        return {
            name: sum(
                (
                    part[name] * weight
                    for part, weight in zip(self._losses, self._weights, strict=True)
                ),
                start=torch.zeros_like(value),
            )
            / total
            for name, value in names.items()
        }
