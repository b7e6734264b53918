"""The yacs front end: detectron2's DefaultTrainer with this project's data, step and evaluation."""

import logging
import weakref
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.defaults import create_ddp_model
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import build_model
from detectron2.utils import comm
from torch import nn

from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.loader import build_test_loader, build_train_loader
from scale_match.data.mosaics import mosaic_from_config
from scale_match.data.training_tiles import TrainingTiles
from scale_match.engine.accumulation import check_accumulation
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.data_sets import evaluation_dicts, training_dicts
from scale_match.engine.early_stopping import stopping_early
from scale_match.engine.ema import load_to_evaluate
from scale_match.engine.evaluation_setup import Metrics, evaluate_model
from scale_match.engine.hooks import EvaluationHook, training_hooks
from scale_match.engine.loading import dead_workers_explained
from scale_match.engine.model_checks import check_classes, log_model
from scale_match.engine.precision import autocast_type
from scale_match.engine.preflight_runs import look_at, yacs_facts
from scale_match.engine.run_config import save_config
from scale_match.engine.session import prepare
from scale_match.engine.starting_point import load_starting_point
from scale_match.engine.step import TrainStep
from scale_match.engine.validation_data import yacs_validation_loader
from scale_match.engine.validation_loss import ValidationLoss
from scale_match.engine.yacs_parts import adamw, loop_settings, with_seed
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator
from scale_match.inference.tiled_model import TiledModel

__all__ = ["ScaleMatchTrainer", "evaluate", "train"]

_logger = logging.getLogger(__name__)


def train(
    cfg: CfgNode, *, resume: bool = False, reset_head: bool = False, preflight: bool = True
) -> Metrics:
    """Trains by a config and evaluates at the end.

    Args:
        cfg: Of :func:`~scale_match.engine.session.yacs_config`; stays as it is.
        resume: Go on from the last checkpoint of ``OUTPUT_DIR``, if there is one.
        reset_head: Let parts of the head start anew that do not fit in ``MODEL.WEIGHTS``.
        preflight: Look at the training before its first step (``engine.preflight``).

    Returns:
        Metrics of the last evaluation, ``{"bbox": {"AP50_tiny": ...}}``, or one such dict for each
        of several test sets; empty without a test set and in processes other than the first.

    Raises:
        InputError: Anything that the user can put right.
    """
    trainer = ScaleMatchTrainer(prepare(cfg, training=True))
    trainer.resume_or_load(resume=resume, reset_head=reset_head)
    if preflight:
        trainer.preflight()
    return trainer.train()


def evaluate(cfg: CfgNode, *, resume: bool = False) -> Metrics:
    """Evaluates the weights that a config names.

    Args:
        cfg: Of :func:`~scale_match.engine.session.yacs_config`; stays as it is.
        resume: Take the last checkpoint of ``OUTPUT_DIR`` instead, if there is one.

    Returns:
        As :func:`train`.

    Raises:
        InputError: Anything that the user can put right, as no weights at all.
    """
    cfg = prepare(cfg, training=False)
    model = ScaleMatchTrainer.build_model(cfg)
    check_classes(model, cfg.DATASETS.TEST)
    checkpointer = AtomicCheckpointer(model, cfg.OUTPUT_DIR)
    load_to_evaluate(
        checkpointer,
        cfg.MODEL.WEIGHTS,
        resume=resume,
        key="MODEL.WEIGHTS",
        ema_decay=cfg.SCALE_MATCH.SOLVER.EMA_DECAY,
    )
    save_config(cfg, Path(cfg.OUTPUT_DIR))
    return ScaleMatchTrainer.test(cfg, model)


class ScaleMatchTrainer(DefaultTrainer):
    """detectron2's trainer with this project's step, loaders, hooks and evaluation.

    It keeps detectron2's points of extension: ``build_model``, ``build_optimizer``,
    ``build_lr_scheduler``, ``build_train_loader``, ``build_test_loader``, ``build_evaluator``,
    ``test`` and ``build_hooks``. Unlike DefaultTrainer it saves the optimizer's state with every
    detectron2 version, runs in several processes on the CPU too, and opens the loader at the
    iteration that a resumed run starts at.

    Args:
        cfg: What :func:`~scale_match.engine.session.prepare` returns.

    Raises:
        InputError: The model cannot be trained on these data sets.
    """

    def __init__(self, cfg: CfgNode) -> None:
        # Not DefaultTrainer's: it would build loader and step in its own way.
        super(DefaultTrainer, self).__init__()
        ours = cfg.SCALE_MATCH.SOLVER
        check_accumulation(
            ours.ACCUMULATE,
            total_batch=cfg.SOLVER.IMS_PER_BATCH,
            num_processes=comm.get_world_size(),
        )
        model = self.build_model(cfg)
        check_classes(model, (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
        optimizer = self.build_optimizer(cfg, model)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        on_cpu = torch.device(cfg.MODEL.DEVICE).type == "cpu"
        devices = {"device_ids": None} if on_cpu else {}
        self._trainer = TrainStep(
            create_ddp_model(model, broadcast_buffers=False, **devices),
            optimizer,
            build_loader=lambda iteration, seed: self.build_train_loader(
                with_seed(cfg, seed), start_iteration=iteration
            ),
            seed=cfg.SEED,
            output_dir=Path(cfg.OUTPUT_DIR),
            clip_global_norm=ours.CLIP_GLOBAL_NORM,
            precision=autocast_type(
                cfg.MODEL.DEVICE, ours.AMP_DTYPE, enabled=cfg.SOLVER.AMP.ENABLED
            ),
            accumulate=ours.ACCUMULATE,
        )
        self.checkpointer = AtomicCheckpointer(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True, *, reset_head: bool = False) -> None:
        """Goes on from the last checkpoint, or starts from ``MODEL.WEIGHTS``; saves the config.

        Args:
            resume: Whether to look for a checkpoint in ``OUTPUT_DIR``.
            reset_head: See :func:`train`.

        Raises:
            InputError: The file does not fit, or frozen layers would hold random values.
        """
        if load_starting_point(
            self.checkpointer,
            self.cfg.MODEL.WEIGHTS,
            resume=resume,
            is_lazy=False,
            reset_head=reset_head,
        ):
            self.start_iter = self.iter + 1
        save_config(self.cfg, Path(self.cfg.OUTPUT_DIR))

    def preflight(self) -> None:
        """Warns of what is likely to be a mistake, in the first process."""
        if comm.is_main_process():
            model = self.checkpointer.model
            look_at(yacs_facts(self.cfg, model, self.with_tiles(self.cfg, model)))

    def train(self) -> Metrics:
        """Runs the training.

        Returns:
            See :func:`train`.
        """
        with stopping_early(), closing(self._trainer), dead_workers_explained():
            super().train()
        return self.last_results

    @property
    def last_results(self) -> Metrics:
        """Metrics of the last evaluation; empty before it."""
        for hook in self._hooks:
            if isinstance(hook, EvaluationHook):
                return hook.results
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Iteration, hooks, and the state of the step with its optimizer."""
        state: dict[str, Any] = super(DefaultTrainer, self).state_dict()
        state["_trainer"] = self._trainer.state_dict()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes up a state.

        Raises:
            InputError: It was written without the optimizer, or for another one.
        """
        super(DefaultTrainer, self).load_state_dict(state_dict)
        if "_trainer" not in state_dict:
            raise InputError(
                "the checkpoint holds no state of the optimizer, so the training cannot go on: "
                "name it in MODEL.WEIGHTS and leave --resume out"
            )
        self._trainer.load_state_dict(state_dict["_trainer"])

    def build_hooks(self) -> list[HookBase]:
        """The hooks of :func:`~scale_match.engine.hooks.training_hooks`."""
        cfg = self.cfg
        model = self.checkpointer.model
        return training_hooks(
            loop_settings(cfg),
            optimizer=self.optimizer,
            schedule=self.scheduler,
            checkpointer=self.checkpointer,
            evaluate=(lambda: self.test(cfg, model)) if cfg.DATASETS.TEST else None,
            validation=ValidationLoss.of_step(
                self._trainer,
                cfg.SCALE_MATCH.SOLVER.VALIDATION_LOSS_PERIOD,
                lambda: yacs_validation_loader(cfg),
            ),
        )

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """The model that ``MODEL.META_ARCHITECTURE`` names, summed up in one line of the log."""
        model = build_model(cfg)
        log_model(model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """SGD as detectron2 builds it, or AdamW on the same parameter groups."""
        if cfg.SCALE_MATCH.SOLVER.OPTIMIZER == "sgd":
            return super().build_optimizer(cfg, model)
        return adamw(cfg, model)

    @classmethod
    def build_train_loader(
        cls, cfg: CfgNode, *, start_iteration: int = 0
    ) -> Iterable[list[dict[str, Any]]]:
        """Batches of ``DATASETS.TRAIN`` without end, from an iteration on."""
        tiles = TrainingTiles.from_config(cfg)
        return build_train_loader(
            training_dicts(
                cfg.DATASETS.TRAIN,
                filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
                tiles=tiles,
            ),
            ScaleMatchDatasetMapper(cfg, is_train=True),
            total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
            seed=cfg.SEED,
            start_iteration=start_iteration,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            together=tiles.together,
            empty_share=tiles.empty_share,
            mosaic=mosaic_from_config(cfg),
        )

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        """Every image of a registered data set once."""
        mapper = ScaleMatchDatasetMapper(cfg, is_train=False)
        return build_test_loader(
            evaluation_dicts(dataset_name), mapper, num_workers=cfg.DATALOADER.NUM_WORKERS
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """The evaluator of tiny objects; it writes into ``OUTPUT_DIR/inference``."""
        folder = Path(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            folder /= dataset_name
        return TinyObjectEvaluator(
            dataset_name, output_dir=folder, max_dets=cfg.SCALE_MATCH.EVAL.MAX_DETS
        )

    @classmethod
    def with_tiles(cls, cfg: CfgNode, model: nn.Module) -> nn.Module:
        """The model on tiles where ``SCALE_MATCH.TILES.ENABLED``."""
        return TiledModel(cfg, model) if cfg.SCALE_MATCH.TILES.ENABLED else model

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: list[DatasetEvaluator] | None = None
    ) -> Metrics:
        """Evaluates on ``DATASETS.TEST``, on tiles where ``SCALE_MATCH.TILES.ENABLED``.

        Args:
            cfg: A prepared config.
            model: Without the tiles around it.
            evaluators: One for each data set; by default those of ``build_evaluator``.

        Returns:
            See :func:`train`.
        """
        tiled = cls.with_tiles(cfg, model)
        names = list(cfg.DATASETS.TEST)
        evaluators = evaluators or [cls.build_evaluator(cfg, name) for name in names]
        results = {
            name: evaluate_model(tiled, cls.build_test_loader(cfg, name), evaluator)
            for name, evaluator in zip(names, evaluators, strict=True)
        }
        return next(iter(results.values())) if len(results) == 1 else results
