"""Miss rate over false positives per image, as the TinyPerson benchmark measures it.

The rules are those of the oracle README, "MR". They differ from those of the average precision in
the size ranges, the ignored ground truth, what a region forgives, and in what becomes of detections
of another size: they are left out here. docs/metrics.md explains it by example.

R size ranges, T IoU thresholds, K categories, M detections, G ground truth.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from scale_match.core.ap_outcomes import (
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    OutcomeArray,
    count_outcomes,
)
from scale_match.core.average_precision import IOU_THRESHOLDS, check_thresholds_and_labels
from scale_match.core.errors import InputError
from scale_match.core.mr_outcomes import MissRateRules, find_miss_rate_outcomes
from scale_match.core.mr_result import MissRateResult
from scale_match.core.ranking import RankedDetections, rank_detections, rank_ground_truth
from scale_match.core.records import (
    Annotations,
    AnnotationTable,
    BoolArray,
    DetectionTable,
    FloatArray,
    IntArray,
)

__all__ = [
    "FPPI_POINTS",
    "MAX_DETECTIONS",
    "MISS_RATE_RANGES",
    "MissRateResult",
    "check_miss_rate_options",
    "evaluate_miss_rate",
]

MISS_RATE_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "tiny1": (2.0, 8.0),
        "tiny2": (8.0, 12.0),
        "tiny3": (12.0, 20.0),
        "tiny": (2.0, 20.0),
        "small": (20.0, 32.0),
        "All": (-1.0, 1e10),
    }
)
"""Label -> smallest and largest size of ground truth in pixels; both belong to the range."""

MAX_DETECTIONS = 1000  # per image and category, before those of another size are left out

FPPI_POINTS: FloatArray = np.array(
    [
        0.010000000000000004,
        0.01778279410038924,
        0.031622776601683826,
        0.05623413251903498,
        0.10000000000000016,
        0.1778279410038926,
        0.3162277660168386,
        0.5623413251903504,
        1.0000000000000027,
    ]
)
"""False positives per image at which the miss rate is read: exp(log(0.01) + k log(100) / 8).

These doubles and no others: they decide whether exactly 0.01, 0.1 or 1 is within a point.
"""

_LEAST_VISIBLE = 0.65  # ground truth of which less is visible is ignored
_SLACK = 1.25  # a detection may be smaller or larger than the range by this factor
_NOTHING = -1.0  # nothing to measure


def check_miss_rate_options(
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    size_ranges: Mapping[str, tuple[float, float]] = MISS_RATE_RANGES,
) -> None:
    """Check what :func:`evaluate_miss_rate` will be asked for.

    Args:
        iou_thresholds: As there.
        size_ranges: As there.

    Raises:
        InputError: If a value is out of range, or two of them would have one name.
    """
    check_thresholds_and_labels(iou_thresholds, size_ranges)
    if not all(low <= high for low, high in size_ranges.values()):
        raise InputError(
            "the size_ranges of the miss rate need smallest <= largest size; "
            f"received {dict(size_ranges)}"
        )


def evaluate_miss_rate(
    annotations: Annotations,
    detections: DetectionTable,
    *,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    size_ranges: Mapping[str, tuple[float, float]] = MISS_RATE_RANGES,
    reference_bugs: bool = False,
) -> MissRateResult:
    """Evaluate detections by the miss rate over false positives per image.

    All arithmetic is in double precision. Time and memory grow linearly with the detections. The
    best MAX_DETECTIONS of an image and category take part.

    Args:
        annotations: Ground truth. All its images count, with and without detections.
        detections: In any order; among equal scores of an image and category the earlier wins.
            Those of categories that ``annotations`` does not declare are dropped.
        iou_thresholds: At which IoU a detection has found an object.
        size_ranges: Label -> smallest and largest size in pixels.
        reference_bugs: Repeat the authors' error with annotation id 0 (oracle README,
            "Oddities"): what is matched to it is a false positive.

    Returns:
        The values.

    Raises:
        InputError: If an option is out of range, or a detection or annotation belongs to an
            image that is not listed, or a box or score is not finite.
    """
    check_miss_rate_options(iou_thresholds, size_ranges)
    ground_truth = rank_ground_truth(annotations)
    ranked = rank_detections(
        detections, ground_truth, limit=MAX_DETECTIONS, source=annotations.source
    )
    counted = np.stack(
        [_counted(annotations.table, ground_truth.rows, b) for b in size_ranges.values()]
    )
    used = np.stack([_within(ranked.boxes, bounds) for bounds in size_ranges.values()])
    unfit = (ground_truth.ids == 0) & reference_bugs
    outcomes = find_miss_rate_outcomes(
        ranked, ground_truth, iou_thresholds, MissRateRules(counted, used, unfit)
    )
    num_targets = np.stack(
        [
            np.bincount(ground_truth.categories[c], minlength=len(ground_truth.category_ids))
            for c in counted
        ]
    )
    misses, num_outcomes = _measure(
        ranked, outcomes, used, num_targets, len(ground_truth.image_ids)
    )
    return MissRateResult(
        size_ranges=tuple(size_ranges),
        iou_thresholds=tuple(iou_thresholds),
        category_ids=ground_truth.category_ids,
        misses=misses,
        num_targets=num_targets,
        num_outcomes=num_outcomes,
    )


def _counted(table: AnnotationTable, rows: IntArray, bounds: tuple[float, float]) -> BoolArray:
    """Ground truth that is to be found: visible, not flagged, of a size within the bounds, (G,)."""
    sizes = table.sizes[rows]
    flagged = table.ignore[rows] | table.uncertain[rows]  # a crowd counts
    hidden = table.visibilities[rows] < _LEAST_VISIBLE
    result: BoolArray = ~(flagged | hidden) & (sizes >= bounds[0]) & (sizes <= bounds[1])
    return result


def _within(boxes: FloatArray, bounds: tuple[float, float]) -> BoolArray:
    """Detections that take part: of a size within the bounds, or not much outside, (M,)."""
    sizes = np.sqrt(boxes[:, 2] * boxes[:, 3])
    result: BoolArray = (sizes >= bounds[0] / _SLACK) & (sizes < bounds[1] * _SLACK)
    return result


def _measure(
    detections: RankedDetections,
    outcomes: OutcomeArray,
    used: BoolArray,
    num_targets: IntArray,
    num_images: int,
) -> tuple[FloatArray, IntArray]:
    """Miss rates and numbers of outcomes for each size range, threshold and category.

    Args:
        detections: Ranked.
        outcomes: Of each, (R, T, M).
        used: Detections that take part, (R, M).
        num_targets: Ground truth that counts, (R, K).
        num_images: All images of the ground truth.

    Returns:
        ``misses`` and ``num_outcomes`` of :class:`MissRateResult`.
    """
    num_ranges, num_categories = num_targets.shape
    shape = (num_ranges, outcomes.shape[1], num_categories)
    misses = np.full((*shape, len(FPPI_POINTS)), _NOTHING)
    num_outcomes = np.zeros((*shape, 3), dtype=np.int64)
    # How many false positives are within each point.
    fppi = np.arange(1, num_images + 2) / max(num_images, 1)
    allowed = np.searchsorted(fppi, FPPI_POINTS, side="right")
    bounds = np.searchsorted(detections.categories, np.arange(num_categories + 1))
    for k in range(num_categories):
        # Stable: equal scores stay in the order of image ids, then of ranks.
        order = bounds[k] + np.argsort(-detections.scores[bounds[k] : bounds[k + 1]], kind="stable")
        for r in range(num_ranges):
            rows = order[used[r, order]]
            for t in range(shape[1]):
                outcome = outcomes[r, t, rows]
                num_outcomes[r, t, k] = count_outcomes(outcome)
                if num_targets[r, k]:
                    misses[r, t, k] = _misses(outcome, int(num_targets[r, k]), allowed)
    return misses, num_outcomes


def _misses(outcome: OutcomeArray, num_targets: int, allowed: IntArray) -> FloatArray:
    """Miss rate at FPPI_POINTS, (9,).

    Args:
        outcome: In descending order of score, (M,).
        num_targets: Ground truth that counts, at least 1.
        allowed: How many false positives are within each point, (9,).
    """
    hits = np.flatnonzero(outcome == TRUE_POSITIVE)
    false_positives = np.flatnonzero(outcome == FALSE_POSITIVE)
    # The detections before the first false positive that is one too many; all, if there is none.
    within = np.append(false_positives, len(outcome))[np.minimum(allowed, len(false_positives))]
    # If that is the very first detection, the authors take the final recall (oracle README,
    # "Curve"), and so must we.
    within[within == 0] = len(outcome)
    misses: FloatArray = 1 - np.searchsorted(hits, within) / num_targets
    return misses
