"""From yacs keys to a `PyramidLevels`, refusing stock keys that contradict it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode, get_cfg

from scale_match.core.errors import InputError
from scale_match.modeling.levels import PyramidLevels

__all__ = ["levels_from_config", "refuse_changed_keys"]


def levels_from_config(cfg: CfgNode) -> PyramidLevels:
    """Reads the pyramid from ``SCALE_MATCH.MODEL``, its only source.

    detectron2 has keys of its own for what follows from the pyramid. They are not read; one that
    was changed from its default to something else than what follows is an error, since its author
    expects it to count.

    Raises:
        InputError: A value is out of range, or a stock key contradicts ``SCALE_MATCH.MODEL``.
    """
    node = cfg.SCALE_MATCH.MODEL
    levels = PyramidLevels(
        strides=node.STRIDES,
        anchor_scale=node.ANCHOR_SCALE,
        scales_per_octave=node.SCALES_PER_OCTAVE,
        aspect_ratios=node.ASPECT_RATIOS,
    )
    _check_stock_keys(cfg, levels)
    return levels


def refuse_changed_keys(cfg: CfgNode, keys: Sequence[str], *, model: str) -> None:
    """Refuses stock keys that a model does not obey where they were changed from their default.

    Args:
        cfg: The config.
        keys: Dotted names; one that this detectron2 does not have is passed over.
        model: Name of the model, for the message.

    Raises:
        InputError: Names the first such key and its value.
    """
    default = get_cfg()
    for key in keys:
        known, value = _looked_up(default, key), _looked_up(cfg, key)
        if value != known:
            raise InputError(
                f"{key} is {value!r}, but {model} does not obey it: leave {key} at {known!r}"
            )


def _check_stock_keys(cfg: CfgNode, levels: PyramidLevels) -> None:
    names = {
        "MODEL.RESNETS.OUT_FEATURES": levels.bottom_up_features,
        "MODEL.FPN.IN_FEATURES": levels.bottom_up_features,
        "MODEL.RETINANET.IN_FEATURES": levels.feature_names,
        "MODEL.RPN.IN_FEATURES": levels.feature_names,
        "MODEL.ROI_HEADS.IN_FEATURES": levels.pooled_features,
    }
    for key, feature_names in names.items():
        value = _changed_value(cfg, key)
        if value is not None and value != list(feature_names):
            raise _contradiction(key, value, "STRIDES", list(feature_names))
    ratios = (levels.aspect_ratios,) * len(levels.strides)
    numbers: dict[str, tuple[str, Sequence[Sequence[float]]]] = {
        "MODEL.ANCHOR_GENERATOR.SIZES": ("ANCHOR_SCALE", levels.anchor_sizes),
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": ("ASPECT_RATIOS", ratios),
    }
    for key, (source, rows) in numbers.items():
        value = _changed_value(cfg, key)
        if value is not None and not _same_numbers(value, rows):
            raise _contradiction(key, value, source, [list(row) for row in rows])


def _changed_value(cfg: CfgNode, key: str) -> list[Any] | None:
    """The value of a stock key, None where it is still detectron2's default."""
    value, default = _looked_up(cfg, key), _looked_up(get_cfg(), key)
    return None if value == default else list(value)


def _looked_up(cfg: CfgNode, key: str) -> Any:  # noqa: ANN401 - configs hold anything
    """The value of a dotted key, None where there is none."""
    value = cfg
    for part in key.split("."):
        value = value.get(part, None) if isinstance(value, CfgNode) else None
    return value


def _same_numbers(value: list[Any], rows: Sequence[Sequence[float]]) -> bool:
    """Whether a list of lists gives these numbers; a single one counts for every level."""
    given = value * len(rows) if len(value) == 1 else value
    if [len(row) for row in given] != [len(row) for row in rows]:
        return False
    return bool(np.allclose(np.concatenate(given), np.concatenate(rows), rtol=1e-3, atol=0))


def _contradiction(key: str, value: list[Any], source: str, expected: list[Any]) -> InputError:
    ours = f"SCALE_MATCH.MODEL.{source}"
    return InputError(f"{key} is {value}, but {ours} makes it {expected}: leave {key} out")
