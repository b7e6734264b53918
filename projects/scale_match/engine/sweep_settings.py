"""Which test-time settings a sweep tries, and the rows of its table."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scale_match.core.errors import InputError
from scale_match.inference.candidate_replay import NMS_TYPES, Suppression
from scale_match.scoring.scores import ScoringOptions

__all__ = ["CROP", "RowSettings", "SweepSettings", "metric_key"]

CROP = ("yes", "no")
"""Whether tiles are cut at run time, and their candidates joined before one suppression."""

_KINDS = ("AP", "AR", "MR")


@dataclass(frozen=True, slots=True)
class RowSettings:
    """One row of the table.

    Attributes:
        crop: One of `CROP`.
        suppression: Candidates per level, type and threshold of the suppression, least score.
        max_detections: Kept per image with run-time crop, per tile without it.
        max_dets: Detections of an image and category that the evaluation looks at.
    """

    crop: str
    suppression: Suppression
    max_detections: int
    max_dets: int

    @property
    def set_label(self) -> str:
        """A name for files, which says all but ``max_dets``."""
        part, each = self.suppression, "img" if self.crop == "yes" else "crop"
        return (
            f"crop-{self.crop}_cand-{part.candidates}_{each}-{self.max_detections}_"
            f"{part.nms}-{part.threshold:g}_score-{part.score_threshold:g}"
        )

    @property
    def label(self) -> str:
        """A name for files, which says all of it."""
        return f"{self.set_label}_dets-{self.max_dets}"


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """The values to combine, each with each; the defaults are those of the authors' study.

    Attributes:
        crop: Of `CROP`.
        candidates: Per level and tile.
        max_detections: Per image with run-time crop, per tile without it.
        max_dets: Of the evaluation.
        nms: Of `NMS_TYPES`.
        nms_thresholds: IoU above which the worse of two boxes goes; of the suppression over an
            image with run-time crop, of that on each tile without it.
        score_thresholds: Only candidates of greater scores; empty for the model's own.
        metrics: Names as ``AP50_tiny``, ``AR25_all``, ``MR50_tiny``.

    Raises:
        InputError: A value is out of range, occurs twice, or is missing.
    """

    crop: tuple[str, ...] = CROP
    candidates: tuple[int, ...] = (1000, 2000, 5000)
    max_detections: tuple[int, ...] = (100, 500, 1000)
    max_dets: tuple[int, ...] = (200, 1000)
    nms: tuple[str, ...] = NMS_TYPES[:1]
    nms_thresholds: tuple[float, ...] = (0.5,)
    score_thresholds: tuple[float, ...] = ()
    metrics: tuple[str, ...] = ("AP50_tiny",)

    def __post_init__(self) -> None:
        for name, known in (("--crop", CROP), ("--nms", NMS_TYPES)):
            values = self.crop if name == "--crop" else self.nms
            _check(name, values, all(each in known for each in values), f"of {', '.join(known)}")
        for name, counts in (
            ("--candidates", self.candidates),
            ("--max-per-image", self.max_detections),
            ("--max-dets", self.max_dets),
        ):
            _check(name, counts, all(each >= 1 for each in counts), "that are at least 1")
        for name, shares, needed in (
            ("--nms-threshold", self.nms_thresholds, True),
            ("--score-threshold", self.score_thresholds, False),
        ):
            if needed or shares:
                _check(name, shares, all(0 <= each <= 1 for each in shares), "in [0, 1]")
        known_metrics = [metric_key(name) is not None for name in self.metrics]
        _check("--metric", self.metrics, all(known_metrics), "as AP50_tiny, AR25_all or MR50_tiny")

    def rows(self) -> Iterator[RowSettings]:
        """All rows, in the order of the table; ``score_thresholds`` must be given."""
        for crop, candidates, limit, nms, threshold, score, max_dets in itertools.product(
            self.crop,
            self.candidates,
            self.max_detections,
            self.nms,
            self.nms_thresholds,
            self.score_thresholds,
            self.max_dets,
        ):
            yield RowSettings(crop, Suppression(candidates, nms, threshold, score), limit, max_dets)


def metric_key(name: str) -> tuple[str, str] | None:
    """Block and key of a scores file for the name of a metric.

    Args:
        name: For example ``AP50_tiny``.

    Returns:
        For example ``("AP", "tiny_50")``; None if the tiny standard has no such metric.
    """
    options = ScoringOptions()
    for kind in _KINDS:
        ranges = options.standard.miss_rate_ranges if kind == "MR" else options.standard.size_ranges
        for label, threshold in itertools.product(ranges, options.iou_thresholds):
            iou = round(100 * threshold)
            if name == f"{kind}{iou}_{label}":
                return kind, f"{label}_{iou}"
    return None


def _check(name: str, values: Sequence[object], legal: bool, rule: str) -> None:
    if not (values and legal and len(set(values)) == len(values)):
        raise InputError(f"{name} needs values {rule}, each once; received {list(values)}")
