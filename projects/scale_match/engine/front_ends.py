"""The two config systems behind one face, for the tools that take either."""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from omegaconf import DictConfig

from scale_match.core.errors import InputError
from scale_match.engine import lazy, trainer
from scale_match.engine.evaluation_setup import Metrics
from scale_match.engine.lazy_config import lazy_config
from scale_match.engine.predictor import Predictor, lazy_predictor, yacs_predictor
from scale_match.engine.session import yacs_config
from scale_match.storage.files import read_bytes

__all__ = ["LAZY", "YACS", "FrontEnd", "front_end_of"]


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """What a tool needs from a config system.

    Attributes:
        load: From a file and overrides to a config.
        device_of: The device that a config names.
        cpu_setting: The key and value that run it on the CPU, for messages.
        train: From a config and ``resume`` to metrics.
        evaluate: Likewise.
        predictor: From a config with weights.
        with_settings: A config with other weights or another device, where they are not None.
    """

    load: Callable[[Path, Sequence[str]], Any]
    device_of: Callable[[Any], str]
    cpu_setting: str
    train: Callable[..., Metrics]
    evaluate: Callable[..., Metrics]
    predictor: Callable[[Any], Predictor]
    with_settings: Callable[[Any, str | None, str | None], Any]


def _yacs_settings(cfg: CfgNode, weights: str | None, device: str | None) -> CfgNode:
    cfg = cfg.clone()
    cfg.MODEL.WEIGHTS = weights or cfg.MODEL.WEIGHTS
    cfg.MODEL.DEVICE = device or cfg.MODEL.DEVICE
    return cfg


def _lazy_settings(cfg: DictConfig, weights: str | None, device: str | None) -> DictConfig:
    cfg = copy.deepcopy(cfg)
    cfg.train.init_checkpoint = weights or cfg.train.init_checkpoint
    cfg.train.device = device or cfg.train.device
    return cfg


YACS = FrontEnd(
    load=yacs_config,
    device_of=lambda cfg: str(cfg.MODEL.DEVICE),
    cpu_setting="MODEL.DEVICE cpu",
    train=trainer.train,
    evaluate=trainer.evaluate,
    predictor=yacs_predictor,
    with_settings=_yacs_settings,
)
LAZY = FrontEnd(
    load=lazy_config,
    device_of=lambda cfg: str(cfg.train.device),
    cpu_setting="train.device=cpu",
    train=lazy.train,
    evaluate=lazy.evaluate,
    predictor=lazy_predictor,
    with_settings=_lazy_settings,
)


def front_end_of(config_file: Path) -> FrontEnd:
    """The front end of a config file, by its ending.

    A ``.yaml`` that a Lazy run has saved in its output folder is a Lazy config.

    Raises:
        InputError: It does not exist, or is neither ``.yaml`` nor ``.py``.
    """
    if config_file.suffix in (".yaml", ".yml"):
        text = read_bytes(config_file).decode(errors="replace")
        return LAZY if re.search(r"^dataloader:", text, re.MULTILINE) else YACS
    if config_file.suffix == ".py":
        return LAZY
    raise InputError(f"a config file ends in .yaml (yacs) or .py (Lazy), received {config_file}")
