"""Mixed precision of the training: its type, and the scale of the loss that fp16 needs."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from scale_match.core.errors import InputError
from scale_match.engine.non_finite import NonFiniteLossError

__all__ = ["MAX_SKIPPED_IN_A_ROW", "GradientScale", "autocast_type", "forward_context"]

_logger = logging.getLogger(__name__)

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

# From the first scale of 65536 down to 1 / 16: no sound gradient overflows that late.
MAX_SKIPPED_IN_A_ROW = 20


def autocast_type(device: str, name: str = "bf16", *, enabled: bool = True) -> torch.dtype | None:
    """Type of mixed precision on a device.

    Both work on GPUs and on the CPU. bfloat16 has the range of float32 and needs no scaling of the
    loss; float16 has three more bits of precision and needs it (:class:`GradientScale`).

    Args:
        device: A torch device.
        name: "bf16" or "fp16".
        enabled: Whether there is any.

    Returns:
        None where there is none.

    Raises:
        InputError: There is no such type, or the GPU does not have it.
    """
    if name not in _TYPES:
        raise InputError(
            "the type of mixed precision (SCALE_MATCH.SOLVER.AMP_DTYPE, train.amp.dtype) must be "
            f"bf16 or fp16, received {name!r}"
        )
    on_gpu = enabled and torch.device(device).type == "cuda"
    if name == "bf16" and on_gpu and not torch.cuda.is_bf16_supported():
        raise InputError(
            "mixed precision in bf16 needs a GPU that has bfloat16, which this one does not: set "
            "SCALE_MATCH.SOLVER.AMP_DTYPE (train.amp.dtype) to fp16, or switch "
            "SOLVER.AMP.ENABLED (train.amp.enabled) off"
        )
    return _TYPES[name] if enabled else None


@contextmanager
def forward_context(device: torch.device, precision: torch.dtype | None) -> Iterator[None]:
    """What surrounds every forward pass of a training.

    Args:
        device: Of the model.
        precision: Of the autocast; None without.
    """
    with ExitStack() as stack:
        if device.type == "cpu":
            # fvcore's focal loss is scripted, and torch computes a script otherwise once it has
            # seen it run: a resumed run would differ in the last digits.
            stack.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]
        if precision is not None:
            stack.enter_context(torch.autocast(device.type, precision))
        yield


class GradientScale:
    """The scale of the loss under fp16, which keeps small gradients from becoming 0.

    Gradients that overflow cost a step, not the training: the step is left out, and the scale
    halved. It grows again after 2000 sound steps (torch's rule). Without fp16 the scale is 1.

    Args:
        device: Where the gradients lie.
        precision: Of the forward pass; None without mixed precision.

    Attributes:
        num_skipped: Steps left out so far.
        skipped_in_a_row: Of them, those since the last sound step.
    """

    def __init__(self, device: torch.device, precision: torch.dtype | None) -> None:
        self.is_used = precision == torch.float16
        self._scaler = GradScaler(device.type, enabled=self.is_used)
        self.num_skipped = 0
        self.skipped_in_a_row = 0

    @property
    def value(self) -> float:
        """The factor on the loss."""
        return float(self._scaler.get_scale())

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss, scaled, to those that are there."""
        scaled: Tensor = self._scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes the scale out of the gradients, once per step, before they are clipped."""
        if self.is_used:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer, norm: Tensor) -> None:
        """The optimizer's step, left out where the gradients are not finite under fp16.

        Args:
            optimizer: Its gradients have been through :meth:`unscale`.
            norm: Of all gradients together; finite where there is no fp16.

        Raises:
            NonFiniteLossError: It is the ``MAX_SKIPPED_IN_A_ROW``-th step left out in a row.
        """
        if not self.is_used:
            optimizer.step()
            return
        is_sound = bool(torch.isfinite(norm))
        if is_sound:
            self._scaler.step(optimizer)
        self._scaler.update()
        if is_sound:
            self.skipped_in_a_row = 0
            return
        self.num_skipped += 1
        self.skipped_in_a_row += 1
        _logger.info(
            "The gradients overflowed in fp16: step left out (%d so far), loss scale now %g",
            self.num_skipped,
            self.value,
        )
        if self.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise NonFiniteLossError(
                f"the gradients overflowed in fp16 in {self.skipped_in_a_row} steps in a row (loss "
                f"scale now {self.value:g}): lower the learning rate, clip gradients by their "
                "global norm, or use bf16 (SCALE_MATCH.SOLVER.AMP_DTYPE, train.amp.dtype)"
            )

    def state_dict(self) -> dict[str, Any]:
        """Empty without fp16."""
        if not self.is_used:
            return {}
        skipped = {"num_skipped": self.num_skipped, "skipped_in_a_row": self.skipped_in_a_row}
        return {"scaler": self._scaler.state_dict(), **skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a state; that of a run without fp16 leaves the first scale."""
        if not self.is_used or not state:
            return
        self._scaler.load_state_dict(state["scaler"])
        self.num_skipped = int(state["num_skipped"])
        self.skipped_in_a_row = int(state["skipped_in_a_row"])
