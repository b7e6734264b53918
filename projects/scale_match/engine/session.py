"""From a yacs config and a command line to everything a run needs before its model is built."""

import difflib
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.utils import comm

from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.data.lazy import register_files
from scale_match.engine.data_sets import evaluation_dicts
from scale_match.engine.launch import check_device
from scale_match.engine.logs import start_logs
from scale_match.engine.overrides import record_overrides
from scale_match.engine.registration import register_all
from scale_match.engine.run_config import set_up_run
from scale_match.engine.yacs_schedule import with_schedule

__all__ = ["prepare", "shared_seed", "with_data_sets", "yacs_config"]

_logger = logging.getLogger(__name__)

# Stock keys that this trainer does not obey, with the one value that is allowed.
_NOT_OBEYED = {
    "TEST.PRECISE_BN.ENABLED": False,
    "TEST.AUG.ENABLED": False,
    "MODEL.LOAD_PROPOSALS": False,
    "DATALOADER.SAMPLER_TRAIN": "TrainingSampler",
}


def yacs_config(config_file: str | Path, opts: Sequence[str] = ()) -> CfgNode:
    """The config of a file and of ``KEY VALUE`` pairs over the defaults; not frozen.

    Args:
        config_file: A yaml file; "" for the defaults alone.
        opts: Keys and values in turn, as on the command line.

    Raises:
        InputError: The file does not exist or is no config; a key is unknown; a value has the
            wrong type.
    """
    cfg = get_cfg()
    add_scale_match_config(cfg)
    if str(config_file):
        _merge_file(cfg, Path(config_file))
    _merge_opts(cfg, list(opts))
    return cfg


def prepare(cfg: CfgNode, *, training: bool) -> CfgNode:
    """Registers models and data sets, settles seed and schedule, and starts the logs.

    Args:
        cfg: Merged; stays as it is.
        training: Whether the run trains, and needs a training set and a schedule.

    Returns:
        A frozen copy in which ``DATASETS``, ``SEED`` and the schedule
        (:mod:`scale_match.engine.yacs_schedule`) are settled;
        :func:`~scale_match.engine.run_config.save_config` writes it once the weights are loaded.

    Raises:
        InputError: A file is missing or broken, there is nothing to train or evaluate on, the
            device is not there, or a key has a value that this trainer does not obey.
    """
    cfg = cfg.clone()
    cfg.defrost()
    _check_keys(cfg)
    check_device(cfg.MODEL.DEVICE, key="MODEL.DEVICE cpu")
    start_logs(Path(cfg.OUTPUT_DIR))
    register_all()
    _name_data_sets(cfg)
    cfg.SEED = shared_seed(cfg.SEED)
    if training:
        cfg = with_schedule(cfg)
    elif not cfg.DATASETS.TEST:
        raise InputError(
            "there is nothing to evaluate on: set SCALE_MATCH.DATA.TEST_ANNOTATIONS and "
            "SCALE_MATCH.DATA.TEST_IMAGES, or DATASETS.TEST"
        )
    for name in cfg.DATASETS.TEST:
        evaluation_dicts(name)
    cfg.freeze()
    set_up_run(cfg, Path(cfg.OUTPUT_DIR), training=training)
    return cfg


def with_data_sets(cfg: CfgNode) -> CfgNode:
    """A copy for looking at the data: registered data sets and a seed; writes nothing.

    Raises:
        InputError: A file is missing or broken, or a key has a value that no training obeys.
    """
    cfg = cfg.clone()
    cfg.defrost()
    _check_keys(cfg)
    _name_data_sets(cfg)
    cfg.SEED = shared_seed(cfg.SEED)
    return cfg


def shared_seed(seed: int) -> int:
    """A seed that all processes share; a negative one asks for a random seed, which is logged."""
    if seed >= 0:
        return seed
    drawn = int(comm.all_gather(secrets.randbelow(2**31))[0])
    _logger.info("Random seed of this run: %d", drawn)
    return drawn


def _merge_file(cfg: CfgNode, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"the config file {path} does not exist")
    try:
        cfg.merge_from_file(str(path))
    except KeyError as error:
        key = str(error.args[0]).rpartition(": ")[2]
        raise InputError(f"{path}: {_unknown(cfg, key)}") from error
    except (AssertionError, AttributeError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be used as a config: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _merge_opts(cfg: CfgNode, opts: list[str]) -> None:
    if len(opts) % 2:
        raise InputError(
            f"config overrides are KEY VALUE pairs, received {len(opts)} words: {' '.join(opts)}"
        )
    for key, value in zip(opts[::2], opts[1::2], strict=True):
        if key not in _keys(cfg):
            raise InputError(f"on the command line: {_unknown(cfg, key)}")
        before = _value(cfg, key)
        try:
            cfg.merge_from_list([key, value])
        except (AssertionError, ValueError) as error:
            raise InputError(f"config key {key} cannot be {value!r}: {error}") from error
        record_overrides(cfg, {key: before})


def _unknown(cfg: CfgNode, key: str) -> str:
    """A sentence on a key that is not there, with the ones that look like it."""
    similar = difflib.get_close_matches(key, _keys(cfg), n=1)
    return f"unknown config key {key}" + (f" (did you mean {similar[0]}?)" if similar else "")


def _keys(node: CfgNode, prefix: str = "") -> list[str]:
    """All dotted keys of a config, without the nodes above them."""
    keys: list[str] = []
    for name, value in node.items():
        dotted = prefix + name
        keys += _keys(value, dotted + ".") if isinstance(value, CfgNode) else [dotted]
    return keys


def _value(cfg: CfgNode, key: str) -> Any:  # noqa: ANN401 - configs hold anything
    value: Any = cfg
    for part in key.split("."):
        value = value[part]
    return value


def _check_keys(cfg: CfgNode) -> None:
    for key, allowed in _NOT_OBEYED.items():
        value = _value(cfg, key)
        if value != allowed:
            raise InputError(f"{key} must stay {allowed} here, received {value}")
    if cfg.SCALE_MATCH.SOLVER.OPTIMIZER not in ("sgd", "adamw"):
        raise InputError(
            "SCALE_MATCH.SOLVER.OPTIMIZER must be sgd or adamw, "
            f"received {cfg.SCALE_MATCH.SOLVER.OPTIMIZER!r}"
        )


def _name_data_sets(cfg: CfgNode) -> None:
    """Registers the data sets named by file and puts their names where detectron2 looks."""
    data = cfg.SCALE_MATCH.DATA
    pairs = {
        "TRAIN": (data.TRAIN_ANNOTATIONS, data.TRAIN_IMAGES),
        "TEST": (data.TEST_ANNOTATIONS, data.TEST_IMAGES),
    }
    for part, (annotations, images) in pairs.items():
        if bool(annotations) != bool(images):
            given, absent = ("ANNOTATIONS", "IMAGES") if annotations else ("IMAGES", "ANNOTATIONS")
            raise InputError(
                f"SCALE_MATCH.DATA.{part}_{given} is set, but SCALE_MATCH.DATA.{part}_{absent} "
                "is not: a data set needs both"
            )
        if annotations:
            cfg.DATASETS[part] = (register_files(annotations, images),)
