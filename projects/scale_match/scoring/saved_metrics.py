"""Values of a scores file by the names that people use: ``AP50_tiny``, ``MR50_tiny``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scale_match.core.ap_result import block_name
from scale_match.core.errors import InputError
from scale_match.core.metric_names import MetricName
from scale_match.scoring.files import SavedScores

__all__ = ["SavedMetric", "default_metric_name", "find_metric", "lower_is_better"]

_MISS_RATE = re.compile(r"MR(\d+)_(\w+)")
_COCO = re.compile(r"COCO_(\w+)")
_FAVOURITE = "tiny_50"


@dataclass(frozen=True, slots=True)
class SavedMetric:
    """One value of a scores file.

    Attributes:
        name: As it was asked for.
        value: Fraction; -1.0 if there is nothing to measure.
        block: Key of the scores file: ``AP``, ``AR``, ``AP_maxDets1000``, ``MR``, ``COCO``.
        key: Key there, for example ``tiny_50``.
        max_dets: Limit of detections per image and category; None for MR and COCO, which have
            their own.
    """

    name: str
    value: float
    block: str
    key: str
    max_dets: int | None

    @property
    def kind(self) -> str:
        """``AP``, ``AR``, ``MR`` or ``COCO``."""
        return self.block.partition("_")[0]

    @property
    def is_resampled(self) -> bool:
        """Whether it can be computed on resamples of the images: AP and AR only."""
        return self.kind in ("AP", "AR")


def lower_is_better(name: str) -> bool:
    """Whether a metric is an error, not an achievement."""
    return _MISS_RATE.fullmatch(name) is not None


def find_metric(saved: SavedScores, name: str) -> SavedMetric:
    """A value by its name.

    Args:
        saved: A scores file.
        name: ``AP<100 IoU>_<size range>`` or the same with AR, at the largest limit of detections,
            as everywhere (``core.metric_names``), or with ``_maxDets<N>`` at that one;
            ``MR<100 IoU>_<size range>``; ``COCO_<name>``, for example ``COCO_AP50``.

    Returns:
        The value.

    Raises:
        InputError: It is no such name, or the file has no such value.
    """
    block, key, max_dets = _place(saved, name)
    values = saved.content.get(block)
    if not isinstance(values, Mapping):
        raise InputError(f"{saved.path} has no {name}: there is no block {block} in it")
    value = values.get(key)
    if not isinstance(value, (int, float)):
        raise InputError(f"{saved.path} has no {name}: its {block} holds {', '.join(values)}")
    return SavedMetric(name, float(value), block, key, max_dets)


def default_metric_name(saved: Sequence[SavedScores]) -> str:
    """AP50_tiny, or the first AP that all of them have, at the largest limit of each.

    Args:
        saved: Scores files, one at least.

    Raises:
        InputError: They have no AP in common.
    """
    keys = [
        key for key in saved[0].content["AP"] if all(key in each.content["AP"] for each in saved)
    ]
    if not keys:
        raise InputError(
            "the scores files have no AP in common, by size range and IoU: "
            f"{', '.join(str(each.path) for each in saved)}"
        )
    label, iou = (_FAVOURITE if _FAVOURITE in keys else keys[0]).rsplit("_", maxsplit=1)
    return str(MetricName("AP", int(iou), label))


def _place(saved: SavedScores, name: str) -> tuple[str, str, int | None]:
    """Block, key and limit of detections."""
    parts = MetricName.parse(name)
    if parts is not None:
        limits = _limits(saved)
        max_dets = max(limits) if parts.max_dets is None else parts.max_dets
        if max_dets not in limits:
            raise InputError(
                f"{saved.path} has no {name}: it was evaluated at maxDets "
                f"{', '.join(map(str, limits))}"
            )
        block = block_name(parts.kind, max_dets, limits)
        return block, f"{parts.size_range}_{parts.iou}", max_dets
    if match := _MISS_RATE.fullmatch(name):
        return "MR", f"{match[2]}_{match[1]}", None
    if match := _COCO.fullmatch(name):
        return "COCO", match[1], None
    raise InputError(
        "--metric needs names such as AP50_tiny, AR25_small_maxDets200, MR50_tiny or COCO_AP50; "
        f"received {name}"
    )


def _limits(saved: SavedScores) -> list[int]:
    limits: Any = saved.content["options"].get("max_dets")
    if isinstance(limits, list) and limits and all(isinstance(each, int) for each in limits):
        return limits
    raise InputError(
        f"{saved.path} is not a scores file: options.max_dets must be a list of whole numbers, "
        f"received {limits!r}"
    )
