"""Names of metrics: ``AP50_tiny``, ``AP50_tiny_maxDets200``, ``AR25_all``.

A name is the kind (AP or AR), 100 times the IoU threshold, the size range, and the limit of
detections per image and category, unless it is the largest that was evaluated. Values are
fractions, -1.0 where there is nothing to measure. No name contains "-", because detectron2's
``print_csv_format`` leaves such names out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scale_match.core.ap_result import ApResult

__all__ = ["MetricName", "tiny_metrics"]

_NAME = re.compile(r"(AP|AR)(\d+)_(\w+?)(?:_maxDets(\d+))?")


@dataclass(frozen=True, slots=True)
class MetricName:
    """The parts of a metric's name.

    Attributes:
        kind: "AP" or "AR".
        iou: 100 times the IoU threshold.
        size_range: Label of the size range.
        max_dets: Limit of detections; None for the largest that was evaluated.

    Example:
        >>> str(MetricName("AP", 50, "tiny", 200))
        'AP50_tiny_maxDets200'
        >>> MetricName.parse("AR25_all")
        MetricName(kind='AR', iou=25, size_range='all', max_dets=None)
    """

    kind: str
    iou: int
    size_range: str
    max_dets: int | None = None

    def __str__(self) -> str:
        limit = "" if self.max_dets is None else f"_maxDets{self.max_dets}"
        return f"{self.kind}{self.iou}_{self.size_range}{limit}"

    @classmethod
    def parse(cls, name: str) -> "MetricName | None":
        """Take a name apart; None if it is not the name of such a metric."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        kind, iou, size_range, limit = match.groups()
        return cls(kind, int(iou), size_range, None if limit is None else int(limit))


def tiny_metrics(result: ApResult) -> dict[str, float]:
    """All AP and AR values of an evaluation under their metric names.

    Args:
        result: An evaluation.

    Returns:
        Name -> fraction, or -1.0 where there is nothing to measure. The largest limit of
        detections comes first, and its names do not mention it.
    """
    metrics: dict[str, float] = {}
    largest = max(result.max_dets)
    for limit in sorted(result.max_dets, reverse=True):
        named = None if limit == largest else limit
        for kind, values in (
            ("AP", result.average_precision(limit)),
            ("AR", result.average_recall(limit)),
        ):
            metrics |= _renamed(kind, values, named)
    return metrics


def _renamed(kind: str, values: Mapping[str, float], limit: int | None) -> dict[str, float]:
    """Keys ``tiny_50`` to names ``AP50_tiny``."""
    parts = {key: key.rsplit("_", maxsplit=1) for key in values}
    return {
        str(MetricName(kind, int(iou), label, limit)): values[key]
        for key, (label, iou) in parts.items()
    }
