"""From a LazyConfig file and a command line to a config, refusing what it does not have."""

import difflib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from detectron2.config import LazyConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scale_match.core.errors import InputError
from scale_match.engine.overrides import record_overrides

__all__ = ["lazy_config"]

_NODES = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
# What running a Python file of settings may raise for a mistake in it.
_MISTAKES = (
    AttributeError,
    ImportError,
    KeyError,
    NameError,
    OmegaConfBaseException,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
)
_REFUSALS: tuple[type[Exception], ...] = (*_MISTAKES, NotImplementedError)
if find_spec("hydra"):  # newer detectron2 parses overrides without it
    from hydra.errors import HydraException

    _REFUSALS += (HydraException,)


def lazy_config(config_file: str | Path, overrides: Sequence[str] = ()) -> DictConfig:
    """The config of a Python file with ``path.key=value`` overrides.

    detectron2 adds a key that is not there, so that a misspelt one does nothing; here it is an
    error.

    Args:
        config_file: A ``.py`` file, or a ``.yaml`` that a run has saved.
        overrides: As on the command line.

    Raises:
        InputError: The file does not exist or cannot be run; a node is missing; a key is unknown
            or gets a value of another kind.
    """
    path = Path(config_file)
    if not path.is_file():
        raise InputError(f"the config file {path} does not exist")
    try:
        cfg = LazyConfig.load(str(path))
    except _MISTAKES as error:
        raise InputError(
            f"{path} cannot be used as a config: {type(error).__name__}: {error}"
        ) from error
    missing = [name for name in _NODES if name not in cfg]
    if missing:
        raise InputError(f"{path} is no config of a training: it has no {' and no '.join(missing)}")
    for override in overrides:
        _apply(cfg, override)
    return cfg


def _apply(cfg: DictConfig, override: str) -> None:
    key, equals, _ = override.partition("=")
    if not equals:
        raise InputError(f"config overrides look like path.key=value, received {override!r}")
    before = _value(cfg, key)
    try:
        LazyConfig.apply_overrides(cfg, [override])
    except _REFUSALS as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the config override {override!r} cannot be applied: {reason}") from error
    kinds = _kind(before), _kind(OmegaConf.select(cfg, key))
    if None not in kinds and kinds[0] != kinds[1]:
        raise InputError(f"config key {key} is {kinds[0]}, received {override.partition('=')[2]!r}")
    record_overrides(cfg, {key: before})


def _value(cfg: DictConfig, key: str) -> Any:  # noqa: ANN401 - configs hold anything
    """The value of a key that must be there."""
    parent, _, name = key.rpartition(".")
    try:
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if isinstance(node, DictConfig) and name in node.keys():  # noqa: SIM118 - `in` skips None
            return OmegaConf.select(cfg, key)
        if isinstance(node, ListConfig) and name.isdigit() and int(name) < len(node):
            return node[int(name)]
    except OmegaConfBaseException as error:
        raise InputError(f"config key {key} cannot be read: {error}") from error
    similar = difflib.get_close_matches(key, _keys(cfg), n=1)
    hint = f" (did you mean {similar[0]}?)" if similar else ""
    raise InputError(f"unknown config key {key}{hint}")


def _keys(node: DictConfig, prefix: str = "") -> list[str]:
    """All dotted keys, those of nodes too."""
    keys: list[str] = []
    for name in map(str, node):
        if name == "_target_":
            continue
        keys.append(f"{prefix}{name}")
        if not OmegaConf.is_interpolation(node, name) and isinstance(node[name], DictConfig):
            keys += _keys(node[name], f"{prefix}{name}.")
    return keys


def _kind(value: object) -> str | None:
    """What a value is, in words; None for what may become anything."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, ListConfig | list | tuple):
        return "a list"
    if isinstance(value, DictConfig | dict):
        return "a group of keys"
    return None
