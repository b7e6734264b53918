"""Losses on the test set during a training, which the training does not notice."""

import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn

from scale_match.core.errors import InputError
from scale_match.core.randomness import sample_randomness
from scale_match.engine.ema import WeightAverage
from scale_match.engine.loading import dead_workers_explained
from scale_match.engine.precision import forward_context
from scale_match.engine.step import TrainStep, unwrapped
from scale_match.modeling.process_means import means_of_this_process

__all__ = ["ValidationLoss", "undisturbed"]

_logger = logging.getLogger(__name__)

_Loader = Iterable[list[dict[str, Any]]]


class ValidationLoss(HookBase):
    """Every ``period`` iterations the mean of each loss over the images or tiles of the test set.

    Each image is a batch of its own, so that the means depend neither on the size of batches nor on
    the number of processes. Norm layers use their running statistics and dropout is off. Random
    choices, as that of RoIs, are a function of (seed, image, iteration). The numbers go to the
    storage as ``validation/<loss>`` and ``validation/total_loss``.

    In all processes, each of which takes its share of the images.

    Args:
        model: Without DistributedDataParallel.
        period: Iterations between two computations, at least 1.
        build_loader: Batches of one image with ``instances`` and ``image_id``, this process' share;
            called once, before the first step.
        seed: Gives that of the run, which a checkpoint may bring.
        precision: Of the autocast; None without.

    Attributes:
        average: Whose weights are used, as in the evaluations; None for the model's.

    Raises:
        InputError: The period is negative.
    """

    def __init__(
        self,
        model: nn.Module,
        period: int,
        build_loader: Callable[[], _Loader],
        *,
        seed: Callable[[], int],
        precision: torch.dtype | None = None,
    ) -> None:
        if period < 1:
            raise InputError(
                "the period of the validation loss (SCALE_MATCH.SOLVER.VALIDATION_LOSS_PERIOD, "
                f"train.validation_loss_period) must not be negative, received {period}"
            )
        self._model = model
        self._period = period
        self._build_loader = build_loader
        self._loader: _Loader = ()
        self._seed = seed
        self._precision = precision
        self.average: WeightAverage | None = None

    @classmethod
    def of_step(
        cls, step: TrainStep, period: int, build_loader: Callable[[], _Loader]
    ) -> "ValidationLoss | None":
        """The hook of a training, with its model, seed and precision; None for a period of 0."""
        if period == 0:
            return None
        return cls(
            unwrapped(step.model),
            period,
            build_loader,
            seed=lambda: step.seed,
            precision=step.precision,
        )

    def before_train(self) -> None:
        """Reads the test set, whose errors come before hours of training."""
        self._loader = self._build_loader()

    def after_step(self) -> None:
        """Computes when the period is over."""
        if (self.trainer.iter + 1) % self._period == 0:
            self._run(self.trainer.iter)

    def _run(self, iteration: int) -> None:
        with (
            undisturbed(self._model),
            self.average.applied() if self.average else nullcontext(),
            means_of_this_process(),
            # What models write into the storage during their forward pass goes nowhere.
            EventStorage(iteration),
            torch.no_grad(),
            dead_workers_explained(),
        ):
            _set_modes(self._model)
            sums, count = self._sums(iteration)
        means = _means_over_processes(sums, count)
        if not comm.is_main_process() or not means:
            return
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            _logger.warning("The validation loss is not finite: %s", ", ".join(bad))
            return
        named = {f"validation/{name}": value for name, value in means.items()}
        self.trainer.storage.put_scalars(**named, smoothing_hint=False)
        texts = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        _logger.info("Validation loss after iteration %d: %s", iteration, texts)

    def _sums(self, iteration: int) -> tuple[dict[str, float], int]:
        """Sums of the losses of this process' images, and how many these are."""
        sums: dict[str, float] = {}
        count = 0
        device = next(self._model.parameters()).device
        for batch in self._loader:
            image_id = batch[0].get("image_id", count)
            _seed_all(sample_randomness(self._seed(), image_id, iteration).stock_seed)
            with forward_context(device, self._precision):
                losses = self._model(batch)
            if isinstance(losses, torch.Tensor):
                losses = {"loss": losses}
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            count += 1
        return sums, count


def _means_over_processes(sums: dict[str, float], count: int) -> dict[str, float]:
    """The means over all images, with that of the total; empty where there is no image."""
    everywhere = comm.all_gather((sums, count))
    total = sum(images for _, images in everywhere)
    names = sorted({name for part, _ in everywhere for name in part})
    means = {
        name: math.fsum(part.get(name, 0.0) for part, _ in everywhere) / total for name in names
    }
    return {**means, "total_loss": math.fsum(means.values())} if means else {}


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Inside anything may be done with a model except for training it; nothing of it remains.

    Put back are the buffers (statistics of norms), the mode of each part, plain numbers that parts
    keep as attributes (detectron2's running averages), and the state of all random generators.
    The parameters are not looked after.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    attributes = [(module, _numbers(module)) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - stock code draws there
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda_devices()))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            for buffer, value in buffers:
                buffer.copy_(value)
            for module, before in attributes:
                for name in _numbers(module).keys() - before.keys():
                    delattr(module, name)
                vars(module).update(before)


def _set_modes(model: nn.Module) -> None:
    """Training mode, which gives losses, but no norm learns and no dropout drops."""
    model.train()
    for module in model.modules():
        is_norm = isinstance(module, nn.modules.batchnorm._NormBase)
        if is_norm or isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()


def _numbers(module: nn.Module) -> dict[str, Any]:
    """Attributes of a module that a forward pass may write: numbers, its mode among them."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, int | float) or name in ("loss_denominator", "loss_count")
    }


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _cuda_devices() -> list[int]:
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []
