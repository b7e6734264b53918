"""The schedule of a Lazy config: learning rate, iterations and steps as the training uses them."""

import logging
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scale_match.engine.overrides import is_named, overrides_of
from scale_match.engine.reference_batch import BatchScaling
from scale_match.engine.schedule import EpochSize, Length, follow_overrides, plan_schedule

__all__ = ["settle_schedule"]

_logger = logging.getLogger(__name__)

_REFERENCE = "train.reference_batch"
_RATE = "optimizer.lr"
_WARM_UP = "lr_multiplier.warmup_iters"
_FIELDS = {
    "epochs": "train.epochs",
    "step_epochs": "train.step_epochs",
    "max_iter": "train.max_iter",
    "steps": "lr_multiplier.steps",
}
_COUNTS = (
    "train.max_iter",
    "lr_multiplier.steps",
    _WARM_UP,
    "train.checkpointer.period",
    "train.eval_period",
    "train.validation_loss_period",
)


def settle_schedule(cfg: DictConfig, *, images_per_epoch: int, iterations_per_epoch: int) -> None:
    """Puts the length in iterations into ``train``, and all of it for the batch that is used.

    Args:
        cfg: Changed in place.
        images_per_epoch: Of the training loader.
        iterations_per_epoch: Likewise.

    Raises:
        InputError: The length is no length, or the linear rule does not hold for the optimizer.
    """
    before = overrides_of(cfg)
    length, settled = follow_overrides(_length(cfg), _fields_before(before))
    _put(cfg, length)
    _rescale(cfg, {*_named(cfg, before), *(_FIELDS[name] for name in settled)})
    batch = cfg.dataloader.train.total_batch_size
    epoch = EpochSize(images_per_epoch, batch, iterations_per_epoch)
    schedule = plan_schedule(
        epoch,
        epochs=length.epochs,
        step_epochs=length.step_epochs,
        max_iter=_value(cfg, "train.max_iter"),
        steps=_value(cfg, "lr_multiplier.steps"),
        warmup_iters=_value(cfg, _WARM_UP) or 0,
    )
    _logger.info(schedule.describe(epoch))
    problem = schedule.warm_up_problem(_WARM_UP)
    if problem:
        _logger.warning(problem)
    cfg.train.max_iter = schedule.max_iter
    if "steps" in cfg.lr_multiplier:
        cfg.lr_multiplier.steps = list(schedule.steps)


def _length(cfg: DictConfig) -> Length:
    return Length(
        epochs=cfg.train.get("epochs", 0),
        step_epochs=tuple(cfg.train.get("step_epochs", ())),
        max_iter=_value(cfg, "train.max_iter"),
        steps=_value(cfg, "lr_multiplier.steps"),
    )


def _fields_before(before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: before[key] for name, key in _FIELDS.items() if key in before}


def _put(cfg: DictConfig, length: Length) -> None:
    """Writes what follows from the command line into the config, which is saved."""
    cfg.train.step_epochs = list(length.step_epochs)
    cfg.train.max_iter = length.max_iter
    if "steps" in cfg.lr_multiplier:
        cfg.lr_multiplier.steps = None if length.steps is None else list(length.steps)


def _rescale(cfg: DictConfig, named: set[str]) -> None:
    """Puts everything that is for another batch into terms of the batch that is used."""
    reference = cfg.train.get("reference_batch", 0)
    batch = cfg.dataloader.train.total_batch_size
    optimizer = cfg.optimizer
    is_sgd = str(getattr(optimizer._target_, "__name__", optimizer._target_)).endswith("SGD")
    scaling = BatchScaling(reference, batch, key=_REFERENCE, named=named, is_sgd=is_sgd)
    if optimizer.get("lr") is not None:
        optimizer.lr = scaling.rate(_RATE, optimizer.lr)
    for key in _COUNTS:
        value = _value(cfg, key)
        if isinstance(value, int):
            OmegaConf.update(cfg, key, scaling.count(key, value))
        elif value is not None:
            OmegaConf.update(cfg, key, list(scaling.counts(key, value)))
    _logger.info(scaling.describe())
    if reference:
        # What is written to the output folder is for its own batch: it is not rescaled again.
        cfg.train.reference_batch = batch


def _named(cfg: DictConfig, before: Mapping[str, Any]) -> set[str]:
    """Those of the keys of a schedule that the command line names, by their group too."""
    return {key for key in (_RATE, *_COUNTS) if is_named(key, before)}


def _value(cfg: DictConfig, key: str) -> Any:  # noqa: ANN401 - numbers, lists of them, or None
    """The value of a key; None where it is not there."""
    value = OmegaConf.select(cfg, key)
    return value if value is None or isinstance(value, int | float) else tuple(value)
