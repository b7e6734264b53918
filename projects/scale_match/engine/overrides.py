"""What the command line changed in a config: the keys that it named, and their values before.

Kept beside the config, in the attributes of the object, as yacs itself keeps whether a config is
frozen: it is no setting, so a saved config does not have it. A clone or a pickled copy of a yacs
config has it too; a deep copy of a Lazy config needs :func:`record_overrides`.
"""

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode
from omegaconf import DictConfig

__all__ = ["is_named", "overrides_of", "record_overrides"]

_ATTRIBUTE = "scale_match_overrides"


def overrides_of(cfg: CfgNode | DictConfig) -> Mapping[str, Any]:
    """The dotted keys that the command line named -> their values before; {} where it did not."""
    return dict(cfg.__dict__.get(_ATTRIBUTE, {}))


def record_overrides(cfg: CfgNode | DictConfig, before: Mapping[str, Any]) -> None:
    """Adds keys to the record of a config, in place; the first value of a key stays.

    Args:
        cfg: Of either front end.
        before: Dotted keys and the values that they had before the command line.
    """
    cfg.__dict__[_ATTRIBUTE] = {**before, **overrides_of(cfg)}


def is_named(key: str, before: Mapping[str, Any]) -> bool:
    """Whether a key, or a group that it belongs to, is in a record.

    >>> is_named("train.amp.dtype", {"train.amp": {}}), is_named("train.amp", {"train.a": 1})
    (True, False)
    """
    parts = key.split(".")
    return any(".".join(parts[:stop]) in before for stop in range(1, len(parts) + 1))
