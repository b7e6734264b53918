"""Parts of a training that are made from a yacs config, for the trainer."""

import logging
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from scale_match.engine.hooks import LoopSettings

__all__ = ["adamw", "loop_settings", "with_seed"]

_logger = logging.getLogger(__name__)


def adamw(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW on the parameter groups that detectron2 makes for SGD."""
    groups = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    kind = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
    return kind(groups, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)


def loop_settings(cfg: CfgNode) -> LoopSettings:
    """How often what happens, from a prepared config."""
    several = len(cfg.DATASETS.TEST) > 1
    prefix = f"{cfg.DATASETS.TEST[0]}/" if several else ""
    return LoopSettings(
        output_dir=Path(cfg.OUTPUT_DIR),
        max_iter=cfg.SOLVER.MAX_ITER,
        checkpoint_period=cfg.SOLVER.CHECKPOINT_PERIOD,
        eval_period=cfg.TEST.EVAL_PERIOD,
        best_metric=f"{prefix}bbox/AP50_tiny",
        early_stopping_patience=cfg.SCALE_MATCH.SOLVER.EARLY_STOPPING_PATIENCE,
        ema_decay=cfg.SCALE_MATCH.SOLVER.EMA_DECAY,
        wandb_project=cfg.SCALE_MATCH.SOLVER.WANDB_PROJECT,
    )


def with_seed(cfg: CfgNode, seed: int) -> CfgNode:
    """The config with the seed of the run, which a checkpoint may have brought."""
    if seed == cfg.SEED:
        return cfg
    _logger.info("The checkpoint brings the seed %d of its run (SEED here: %d)", seed, cfg.SEED)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SEED = seed
    cfg.freeze()
    return cfg
