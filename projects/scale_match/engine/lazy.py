"""The LazyConfig front end: the same step, hooks, checkpoints and evaluation as the yacs one."""

import copy
import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import torch
from detectron2.config import instantiate
from detectron2.engine.defaults import create_ddp_model
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from scale_match.core.errors import InputError
from scale_match.data.epochs import EpochBatchSampler
from scale_match.data.lazy import register_files
from scale_match.data.loader import EpochDataLoader
from scale_match.engine.accumulation import check_accumulation
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.early_stopping import stopping_early
from scale_match.engine.ema import load_to_evaluate
from scale_match.engine.evaluation_setup import Metrics, evaluate_model
from scale_match.engine.hooks import EvaluationHook, LoopSettings, training_hooks
from scale_match.engine.launch import check_device
from scale_match.engine.lazy_schedule import settle_schedule
from scale_match.engine.loading import dead_workers_explained
from scale_match.engine.logs import start_logs
from scale_match.engine.model_checks import check_classes, check_regions, log_model
from scale_match.engine.overrides import overrides_of, record_overrides
from scale_match.engine.precision import autocast_type
from scale_match.engine.preflight_runs import lazy_facts, look_at
from scale_match.engine.registration import register_all
from scale_match.engine.run_config import save_config, set_up_run
from scale_match.engine.session import shared_seed
from scale_match.engine.starting_point import load_starting_point
from scale_match.engine.step import LoaderBuilder, TrainStep
from scale_match.engine.validation_data import lazy_validation_loader
from scale_match.engine.validation_loss import ValidationLoss
from scale_match.inference.tiled_model import TiledModel

__all__ = ["build_tiled_model", "evaluate", "train"]

_logger = logging.getLogger(__name__)


def train(
    cfg: DictConfig, *, resume: bool = False, reset_head: bool = False, preflight: bool = True
) -> Metrics:
    """Trains by a config and evaluates at the end.

    Args:
        cfg: Of :func:`~scale_match.engine.lazy_config.lazy_config`; stays as it is.
        resume: Go on from the last checkpoint of ``train.output_dir``, if there is one.
        reset_head: Let parts of the head start anew that do not fit in ``train.init_checkpoint``.
        preflight: Look at the training before its first step (``engine.preflight``).

    Returns:
        Metrics of the last evaluation, ``{"bbox": {"AP50_tiny": ...}}``; empty without a test set
        and in processes other than the first.

    Raises:
        InputError: Anything that the user can put right.
    """
    cfg = _start(cfg, training=True)
    loader = _train_loader(cfg)
    settle_schedule(
        cfg,
        images_per_epoch=loader.images_per_epoch,
        iterations_per_epoch=loader.iterations_per_epoch,
    )
    output_dir = Path(cfg.train.output_dir)
    set_up_run(cfg, output_dir, training=True)
    # The optimizer's node gets the model below, which no file can hold.
    settled = copy.deepcopy(cfg)
    model = _build_model(cfg, ("train", "test"))
    check_regions(model, getattr(loader.dataset, "mapper", None))
    check_accumulation(
        cfg.train.get("accumulate", 1),
        total_batch=cfg.dataloader.train.total_batch_size,
        num_processes=comm.get_world_size(),
    )
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    step = TrainStep(
        _distributed(model, cfg),
        optimizer,
        build_loader=_loader_builder(cfg, loader),
        seed=cfg.train.seed,
        output_dir=output_dir,
        clip_global_norm=cfg.train.clip_global_norm,
        precision=autocast_type(
            cfg.train.device, cfg.train.amp.get("dtype", "bf16"), enabled=cfg.train.amp.enabled
        ),
        accumulate=cfg.train.get("accumulate", 1),
    )
    checkpointer = AtomicCheckpointer(model, cfg.train.output_dir, trainer=step)
    evaluate_now = (lambda: _test(cfg, model)) if _names_files(cfg, "test") else None
    validation = ValidationLoss.of_step(
        step, cfg.train.get("validation_loss_period", 0), lambda: lazy_validation_loader(cfg)
    )
    step.register_hooks(_hooks(cfg, optimizer, checkpointer, evaluate_now, validation))
    goes_on = load_starting_point(
        checkpointer,
        cfg.train.init_checkpoint,
        resume=resume,
        is_lazy=True,
        reset_head=reset_head,
    )
    save_config(settled, output_dir)
    if preflight and comm.is_main_process():
        look_at(lazy_facts(cfg, loader, model, build_tiled_model(cfg, model)))
    with stopping_early(), closing(step), dead_workers_explained():
        step.train(step.iter + 1 if goes_on else 0, cfg.train.max_iter)
    found = [hook.results for hook in step._hooks if isinstance(hook, EvaluationHook)]
    return found[0] if found else {}


def evaluate(cfg: DictConfig, *, resume: bool = False) -> Metrics:
    """Evaluates the weights that a config names.

    Args:
        cfg: Of :func:`~scale_match.engine.lazy_config.lazy_config`; stays as it is.
        resume: Take the last checkpoint of ``train.output_dir`` instead, if there is one.

    Returns:
        As :func:`train`.

    Raises:
        InputError: Anything that the user can put right, as no weights at all.
    """
    cfg = _start(cfg, training=False)
    output_dir = Path(cfg.train.output_dir)
    set_up_run(cfg, output_dir, training=False)
    model = _build_model(cfg, ("test",))
    checkpointer = AtomicCheckpointer(model, cfg.train.output_dir)
    load_to_evaluate(
        checkpointer,
        cfg.train.init_checkpoint,
        resume=resume,
        key="train.init_checkpoint",
        ema_decay=cfg.train.get("ema_decay", 0.0),
    )
    save_config(cfg, output_dir)
    return _test(cfg, model)


def build_tiled_model(cfg: DictConfig, model: nn.Module) -> nn.Module:
    """The model on tiles, by the node ``tiles``; the model itself where they are off or absent."""
    tiles: dict[str, Any] = dict(cfg.get("tiles", {"enabled": False}))
    return TiledModel(model, **tiles) if tiles.pop("enabled", True) else model


def _start(cfg: DictConfig, *, training: bool) -> DictConfig:
    """A copy of the config with its seed settled, and the logs of this process."""
    before = overrides_of(cfg)
    cfg = copy.deepcopy(cfg)
    record_overrides(cfg, before)
    check_device(cfg.train.device, key="train.device=cpu")
    part = "train" if training else "test"
    if not _names_files(cfg, part):
        raise InputError(
            f"there is nothing to {'train' if training else 'evaluate'} on: set "
            f"dataloader.{part}.annotations and dataloader.{part}.images"
        )
    start_logs(Path(cfg.train.output_dir))
    register_all()
    cfg.train.seed = shared_seed(cfg.train.get("seed", -1))
    return cfg


def _names_files(cfg: DictConfig, part: str) -> bool:
    """Whether there is a data set; a loader of the user's own need not name files."""
    node = cfg.dataloader.get(part)
    return node is not None and bool(node.get("annotations", "own"))


def _train_loader(cfg: DictConfig) -> EpochDataLoader:
    """The training loader, which must be one that can start at any iteration.

    Raises:
        InputError: The config builds another one, or its files are missing or broken.
    """
    loader = instantiate(cfg.dataloader.train)
    if not isinstance(loader, EpochDataLoader):
        raise InputError(
            "dataloader.train must build an EpochDataLoader (scale_match.data.loader."
            f"build_train_loader, scale_match.data.lazy), not {type(loader).__name__}"
        )
    return loader


def _loader_builder(cfg: DictConfig, loader: EpochDataLoader) -> LoaderBuilder:
    """Starts the loader that is there at an iteration; another seed needs another one."""

    def build(iteration: int, seed: int) -> Iterable[list[dict[str, Any]]]:
        if seed == cfg.train.seed:
            cast("EpochBatchSampler", loader.batch_sampler).start_iteration = iteration
            return loader
        _logger.info("The checkpoint brings the seed %d of its run", seed)
        cfg.train.seed = seed
        cfg.dataloader.train.start_iteration = iteration
        return _train_loader(cfg)

    return build


def _build_model(cfg: DictConfig, parts: Iterable[str]) -> nn.Module:
    model = instantiate(cfg.model).to(cfg.train.device)
    log_model(model)
    nodes: list[DictConfig] = [cfg.dataloader[part] for part in parts if _names_files(cfg, part)]
    named = [node for node in nodes if "annotations" in node]
    check_classes(model, [register_files(node.annotations, node.images) for node in named])
    return model


def _distributed(model: nn.Module, cfg: DictConfig) -> nn.Module:
    """The model inside DistributedDataParallel where there are several processes."""
    arguments: dict[str, Any] = dict(cfg.train.get("ddp", {}))
    if torch.device(cfg.train.device).type == "cpu":
        arguments["device_ids"] = None
    return create_ddp_model(model, **arguments)


def _hooks(
    cfg: DictConfig,
    optimizer: torch.optim.Optimizer,
    checkpointer: AtomicCheckpointer,
    evaluate_now: Callable[[], Metrics] | None,
    validation: ValidationLoss | None,
) -> list[Any]:
    train = cfg.train
    settings = LoopSettings(
        output_dir=Path(train.output_dir),
        max_iter=train.max_iter,
        checkpoint_period=train.checkpointer.period,
        checkpoints_kept=train.checkpointer.get("max_to_keep"),
        eval_period=train.eval_period,
        log_period=train.log_period,
        early_stopping_patience=train.get("early_stopping_patience", 0),
        ema_decay=train.get("ema_decay", 0.0),
        wandb_project=train.get("wandb_project", ""),
    )
    return training_hooks(
        settings,
        optimizer=optimizer,
        schedule=instantiate(cfg.lr_multiplier),
        checkpointer=checkpointer,
        evaluate=evaluate_now,
        validation=validation,
    )


def _test(cfg: DictConfig, model: nn.Module) -> Metrics:
    return evaluate_model(
        build_tiled_model(cfg, model),
        instantiate(cfg.dataloader.test),
        instantiate(cfg.dataloader.evaluator),
    )
