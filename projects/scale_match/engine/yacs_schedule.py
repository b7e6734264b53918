"""The schedule of a yacs config: learning rate, iterations and steps as the training uses them."""

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode, get_cfg
from detectron2.engine import DefaultTrainer
from detectron2.utils import comm

from scale_match.core.errors import InputError
from scale_match.data.loader import epoch_plan
from scale_match.data.mosaics import mosaic_from_config
from scale_match.data.training_tiles import TrainingTiles
from scale_match.engine.data_sets import training_dicts
from scale_match.engine.overrides import overrides_of
from scale_match.engine.reference_batch import BatchScaling
from scale_match.engine.schedule import EpochSize, Length, follow_overrides, plan_schedule

__all__ = ["with_schedule"]

_logger = logging.getLogger(__name__)

_REFERENCE = "SCALE_MATCH.SOLVER.REFERENCE_BATCH"
_FIELDS = {
    "epochs": "SCALE_MATCH.SOLVER.EPOCHS",
    "step_epochs": "SCALE_MATCH.SOLVER.STEP_EPOCHS",
    "max_iter": "SOLVER.MAX_ITER",
    "steps": "SOLVER.STEPS",
}


def with_schedule(cfg: CfgNode) -> CfgNode:
    """The config with its length in iterations, and all of it for the batch that is used.

    Args:
        cfg: Not frozen; its data sets are registered.

    Raises:
        InputError: There is nothing to train on, or two settings exclude each other.
    """
    _check_references(cfg)
    before = overrides_of(cfg)
    length, settled = follow_overrides(_length(cfg), _fields_before(before))
    _put(cfg, length)
    # Scales what is given in iterations; epochs need no scaling.
    cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
    named = {*before, *(_FIELDS[name] for name in settled)}
    _rescale(cfg, length, named)
    epoch = _epoch(cfg)
    schedule = plan_schedule(
        epoch,
        epochs=length.epochs,
        step_epochs=length.step_epochs,
        max_iter=None if length.max_iter is None else cfg.SOLVER.MAX_ITER,
        steps=None if length.steps is None else cfg.SOLVER.STEPS,
        warmup_iters=cfg.SOLVER.WARMUP_ITERS,
    )
    _logger.info(schedule.describe(epoch))
    problem = schedule.warm_up_problem("SOLVER.WARMUP_ITERS")
    if problem:
        _logger.warning(problem)
    cfg.SOLVER.MAX_ITER = schedule.max_iter
    cfg.SOLVER.STEPS = schedule.steps
    return cfg


def _check_references(cfg: CfgNode) -> None:
    batch, processes = cfg.SCALE_MATCH.SOLVER.REFERENCE_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
    if batch and processes:
        raise InputError(
            f"{_REFERENCE} ({batch}) and SOLVER.REFERENCE_WORLD_SIZE ({processes}) both rescale "
            "the schedule: set one of them to 0"
        )


def _length(cfg: CfgNode) -> Length:
    """What the config asks for; iterations that are detectron2's default are not asked for."""
    default, node = get_cfg().SOLVER, cfg.SCALE_MATCH.SOLVER
    before = overrides_of(cfg)
    own = {
        key: node.EPOCHS == 0 or f"SOLVER.{key}" in before or cfg.SOLVER[key] != default[key]
        for key in ("MAX_ITER", "STEPS")
    }
    return Length(
        epochs=node.EPOCHS,
        step_epochs=tuple(node.STEP_EPOCHS),
        max_iter=cfg.SOLVER.MAX_ITER if own["MAX_ITER"] else None,
        steps=tuple(cfg.SOLVER.STEPS) if own["STEPS"] else None,
    )


def _fields_before(before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: before[key] for name, key in _FIELDS.items() if key in before}


def _put(cfg: CfgNode, length: Length) -> None:
    """Writes what follows from the command line into the config, which is saved."""
    cfg.SCALE_MATCH.SOLVER.STEP_EPOCHS = list(length.step_epochs)
    if length.max_iter is not None:
        cfg.SOLVER.MAX_ITER = length.max_iter
    if length.steps is not None:
        cfg.SOLVER.STEPS = tuple(length.steps)


def _rescale(cfg: CfgNode, length: Length, named: set[str]) -> None:
    """Puts everything that is for another batch into terms of the batch that is used."""
    solver, node = cfg.SOLVER, cfg.SCALE_MATCH.SOLVER
    scaling = BatchScaling(
        node.REFERENCE_BATCH,
        solver.IMS_PER_BATCH,
        key=_REFERENCE,
        named=named,
        is_sgd=node.OPTIMIZER == "sgd",
    )
    solver.BASE_LR = scaling.rate("SOLVER.BASE_LR", solver.BASE_LR)
    if length.max_iter is not None:
        solver.MAX_ITER = scaling.count("SOLVER.MAX_ITER", solver.MAX_ITER)
    if length.steps is not None:
        solver.STEPS = scaling.counts("SOLVER.STEPS", solver.STEPS)
    for group, prefix, key in (
        (solver, "SOLVER", "WARMUP_ITERS"),
        (solver, "SOLVER", "CHECKPOINT_PERIOD"),
        (cfg.TEST, "TEST", "EVAL_PERIOD"),
        (node, "SCALE_MATCH.SOLVER", "VALIDATION_LOSS_PERIOD"),
    ):
        group[key] = scaling.count(f"{prefix}.{key}", group[key])
    _logger.info(scaling.describe())
    if node.REFERENCE_BATCH:
        # What is written to the output folder is for its own batch: it is not rescaled again.
        node.REFERENCE_BATCH = solver.IMS_PER_BATCH


def _epoch(cfg: CfgNode) -> EpochSize:
    tiles = TrainingTiles.from_config(cfg)
    dicts = training_dicts(
        cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS, tiles=tiles
    )
    batch = cfg.SOLVER.IMS_PER_BATCH
    mosaic = mosaic_from_config(cfg)
    plan = epoch_plan(
        dicts,
        total_batch=batch,
        seed=0,
        together=tiles.together,
        empty_share=tiles.empty_share,
        num_canvases=None if mosaic is None else mosaic.num_canvases(dicts),
    )
    return EpochSize(plan.images_per_epoch, batch, plan.batches_per_epoch)
