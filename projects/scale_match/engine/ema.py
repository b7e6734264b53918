"""The moving average of the weights of a training, which its evaluations use."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn

from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer

__all__ = ["FINAL_AVERAGE", "WeightAverage", "load_to_evaluate"]

_logger = logging.getLogger(__name__)

FINAL_AVERAGE = "model_final_ema"


class WeightAverage(HookBase):
    """Exponential moving average of all parameters and buffers, kept in float32.

    After update number n (from 1 on) the average is ``d * average + (1 - d) * weights`` with
    ``d = min(decay, n / (9 + n))``: so the random weights of the start do not stay in it for long.
    Whole-number buffers are copied. A step that fp16 left out counts as one, too.

    As a hook it comes before the one that writes checkpoints, in all processes. Its state lies with
    the hooks of a checkpoint, so a resumed run goes on with it; one that is resumed from a
    checkpoint without it starts from the weights there.

    Args:
        model: Without DistributedDataParallel.
        decay: In (0, 1), as 0.9998.
        checkpointer: Gets the average as ``model_final_ema.pth`` at the end, weights only.

    Raises:
        InputError: The decay is out of range.
    """

    def __init__(
        self, model: nn.Module, decay: float, checkpointer: AtomicCheckpointer | None = None
    ) -> None:
        if not 0 < decay < 1:
            raise InputError(
                "the decay of the moving average of the weights (SCALE_MATCH.SOLVER.EMA_DECAY, "
                f"train.ema_decay) must be at least 0 (off) and less than 1, received {decay}"
            )
        self._model = model
        self._decay = decay
        self._checkpointer = checkpointer
        self._updates = 0
        self._average: dict[str, Tensor] = {}

    def before_train(self) -> None:
        """Starts from the weights as they are, unless a checkpoint has brought an average."""
        if not self._average:
            self._average = {
                name: _wide(value).clone() for name, value in self._model.state_dict().items()
            }

    def after_step(self) -> None:
        """One update."""
        self.update()

    def after_train(self) -> None:
        """Writes the average as weights, unless the training broke off."""
        if self.trainer.iter >= self.trainer.max_iter:
            self.save()

    @torch.no_grad()
    def update(self) -> None:
        """Takes up the weights as they are."""
        self._updates += 1
        share = 1 - min(self._decay, self._updates / (9 + self._updates))
        for name, value in self._model.state_dict().items():
            if value.is_floating_point():
                self._average[name].lerp_(value.float(), share)
            else:
                self._average[name].copy_(value)

    def save(self) -> None:
        """Writes ``model_final_ema.pth``."""
        if self._checkpointer is not None:
            with self.applied():
                self._checkpointer.save_weights(FINAL_AVERAGE)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; its own come back, whatever happens."""
        own = {name: value.clone() for name, value in self._model.state_dict().items()}
        try:
            _fill(self._model, self._average)
            yield
        finally:
            _fill(self._model, own)

    def state_dict(self) -> dict[str, Any]:
        """Number of updates and averages by name."""
        return {"updates": self._updates, "average": dict(self._average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a state."""
        self._updates = int(state["updates"])
        self._average = {
            name: _wide(state["average"][name]).to(value.device, copy=True)
            for name, value in self._model.state_dict().items()
        }


def load_to_evaluate(
    checkpointer: AtomicCheckpointer, weights: str, *, resume: bool, key: str, ema_decay: float
) -> None:
    """Loads the weights that an evaluation or a prediction uses.

    A checkpoint of a training with a moving average holds both. Where the config has a decay, the
    average is used, as in the evaluations of that training; without one the weights of the last
    step. The log says when it is the average.

    Args:
        checkpointer: Of the model.
        weights: See :meth:`AtomicCheckpointer.load_to_evaluate`.
        resume: Likewise.
        key: Likewise.
        ema_decay: Of the config; 0 = no average.

    Raises:
        InputError: There are no weights, or they are not this model's.
    """
    rest = checkpointer.load_to_evaluate(weights, resume=resume, key=key)
    state = rest.get("trainer", {}).get("hooks", {}).get(WeightAverage.__qualname__)
    if ema_decay > 0 and state is not None:
        average = WeightAverage(checkpointer.model, ema_decay)
        average.load_state_dict(state)
        _fill(checkpointer.model, average.state_dict()["average"])
        _logger.info("These are the averaged weights of the checkpoint (its moving average)")


@torch.no_grad()
def _fill(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, own in model.state_dict().items():
        own.copy_(values[name])


def _wide(value: Tensor) -> Tensor:
    """Floats as float32."""
    return value.float() if value.is_floating_point() else value
