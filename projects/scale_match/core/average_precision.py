"""Average precision for tiny objects: AP50_tiny and its relatives.

The protocol is that of the TinyPerson benchmark, whose rules and numbers the oracle README ("AP")
states: size ranges by sqrt(area), ignored regions that absorb detections by the share of the
detection inside them, IoU thresholds 0.25, 0.5 and 0.75. docs/metrics.md explains it by example.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from scale_match.core.ap_outcomes import (
    IGNORED,
    TRUE_POSITIVE,
    OutcomeArray,
    Outcomes,
    count_outcomes,
    find_outcomes,
)
from scale_match.core.ap_result import ApResult, MatchRecord
from scale_match.core.errors import InputError
from scale_match.core.precision_curve import RECALL_LEVELS, interpolated_precision
from scale_match.core.ranking import (
    RankedDetections,
    RankedGroundTruth,
    rank_detections,
    rank_ground_truth,
)
from scale_match.core.records import Annotations, DetectionTable, FloatArray, IntArray

__all__ = [
    "IOU_THRESHOLDS",
    "MAX_DETS",
    "RECALL_LEVELS",
    "SIZE_RANGES",
    "check_options",
    "check_thresholds_and_labels",
    "evaluate_average_precision",
]

SIZE_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "all": (1.0, 1e5),
        "tiny": (1.0, 20.0),
        "tiny1": (1.0, 8.0),
        "tiny2": (8.0, 12.0),
        "tiny3": (12.0, 20.0),
        "small": (20.0, 32.0),
        "reasonable": (32.0, 1e5),
    }
)
"""Label -> smallest and largest sqrt(area) in pixels; both belong to the range."""

IOU_THRESHOLDS = (0.25, 0.5, 0.75)
MAX_DETS = (200, 1000)


def check_options(
    max_dets: Sequence[int] = MAX_DETS,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    size_ranges: Mapping[str, tuple[float, float]] = SIZE_RANGES,
) -> None:
    """Check what :func:`evaluate_average_precision` will be asked for, before a long inference.

    Args:
        max_dets: As there.
        iou_thresholds: As there.
        size_ranges: As there.

    Raises:
        InputError: If a value is out of range, or two of them would have one name.
    """
    if not (min(max_dets, default=0) > 0 and len(set(max_dets)) == len(max_dets)):
        raise InputError(f"max_dets needs positive numbers, each once; received {list(max_dets)}")
    check_thresholds_and_labels(iou_thresholds, size_ranges)
    if not all(0 <= low <= high for low, high in size_ranges.values()):
        raise InputError(
            "size_ranges needs ranges with 0 <= smallest <= largest size; "
            f"received {dict(size_ranges)}"
        )


def check_thresholds_and_labels(
    iou_thresholds: Sequence[float], size_ranges: Mapping[str, tuple[float, float]]
) -> None:
    """Check what makes the names of metrics.

    Args:
        iou_thresholds: At which IoU a detection has found an object.
        size_ranges: Label -> any range.

    Raises:
        InputError: If there is no threshold or no range, a threshold is not in (0, 1], or names
            would not be unique or not be words.
    """
    names = [round(100 * threshold) for threshold in iou_thresholds if math.isfinite(threshold)]
    rules = (
        (
            bool(names) and all(0 < threshold <= 1 for threshold in iou_thresholds),
            f"iou_thresholds needs numbers in (0, 1]; received {list(iou_thresholds)}",
        ),
        (
            len(set(names)) == len(names),
            "iou_thresholds needs numbers that differ in round(100 x IoU), by which metrics are "
            f"named; received {list(iou_thresholds)}",
        ),
        (bool(size_ranges), "size_ranges needs ranges of sizes; received {}"),
        (
            all(re.fullmatch(r"\w+", label, re.ASCII) for label in size_ranges),
            "size_ranges needs labels of letters, digits and _, which become parts of metric "
            f"names; received {list(size_ranges)}",
        ),
    )
    for kept, message in rules:
        if not kept:
            raise InputError(message)


def evaluate_average_precision(
    annotations: Annotations,
    detections: DetectionTable,
    *,
    max_dets: Sequence[int] = MAX_DETS,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    size_ranges: Mapping[str, tuple[float, float]] = SIZE_RANGES,
    reference_bugs: bool = False,
) -> ApResult:
    """Evaluate detections by average precision and recall.

    All arithmetic is in double precision. Time and memory grow linearly with the detections.

    Args:
        annotations: Ground truth. All its images count, with and without detections.
        detections: In any order; among equal scores of an image and category the earlier wins.
            Those of categories that ``annotations`` does not declare are dropped.
        max_dets: How many detections of an image and category take part, best first; every
            value gives a set of results.
        iou_thresholds: At which IoU a detection has found an object.
        size_ranges: Label -> smallest and largest sqrt(area) in pixels.
        reference_bugs: Repeat the authors' error with annotation id 0 (oracle README,
            "Oddities"): what is matched to it is no true positive.

    Returns:
        The values, with what happened to every detection.

    Raises:
        InputError: If an option is out of range, or a detection or annotation belongs to an
            image that is not listed, or a box or score is not finite.
    """
    check_options(max_dets, iou_thresholds, size_ranges)
    ground_truth = rank_ground_truth(annotations)
    ranked = rank_detections(
        detections, ground_truth, limit=max(max_dets), source=annotations.source
    )
    outcomes = find_outcomes(
        ranked,
        ground_truth,
        iou_thresholds,
        list(size_ranges.values()),
        id_zero_bug=reference_bugs,
    )
    record = _record(ranked, ground_truth, outcomes)
    num_targets = _targets_per_category(record, len(ground_truth.category_ids))
    precision, recall, num_outcomes = _measure(record, num_targets, max_dets)
    return ApResult(
        max_dets=tuple(max_dets),
        size_ranges=tuple(size_ranges),
        iou_thresholds=tuple(iou_thresholds),
        category_ids=ground_truth.category_ids,
        precision=precision,
        recall=recall,
        num_targets=num_targets,
        num_outcomes=num_outcomes,
        record=record,
    )


def _measure(
    record: MatchRecord, num_targets: IntArray, max_dets: Sequence[int]
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Curve, recall and numbers of outcomes for each limit, size range, threshold and category.

    Args:
        record: All outcomes.
        num_targets: Ground truth that counts, (R, K).
        max_dets: The limits, D of them.

    Returns:
        ``precision``, ``recall`` and ``num_outcomes`` of :class:`ApResult`.
    """
    num_ranges, num_categories = num_targets.shape
    shape = (len(max_dets), num_ranges, record.outcomes.shape[1], num_categories)
    precision = np.full((*shape, len(RECALL_LEVELS)), -1.0)
    recall = np.full(shape, -1.0)
    num_outcomes = np.zeros((*shape, 3), dtype=np.int64)
    for d, k in np.ndindex(len(max_dets), num_categories):
        part = slice(record.starts[k], record.starts[k + 1])
        best = record.ranks[part] < max_dets[d]
        for r, t in np.ndindex(num_ranges, shape[2]):
            outcome = record.outcomes[r, t, part][best]
            num_outcomes[d, r, t, k] = count_outcomes(outcome)
            if num_targets[r, k]:
                precision[d, r, t, k], recall[d, r, t, k] = _precision_recall(
                    outcome, int(num_targets[r, k])
                )
    return precision, recall, num_outcomes


def _precision_recall(outcome: OutcomeArray, num_targets: int) -> tuple[FloatArray, float]:
    """Interpolated precision at RECALL_LEVELS, and the final recall.

    Args:
        outcome: In descending order of score, (M,).
        num_targets: Ground truth that counts, at least 1.

    Returns:
        Precision (101,), and recall.
    """
    measured = outcome[outcome != IGNORED]
    hits = np.flatnonzero(measured == TRUE_POSITIVE)
    false_positives = hits - np.arange(len(hits))  # before each hit
    return interpolated_precision(false_positives, num_targets), len(hits) / num_targets


def _record(
    detections: RankedDetections, ground_truth: RankedGroundTruth, outcomes: Outcomes
) -> MatchRecord:
    """Bring the outcomes into curve order."""
    starts = np.searchsorted(detections.categories, np.arange(len(ground_truth.category_ids) + 1))
    # Stable: equal scores stay in the order of image ids, then of ranks.
    parts = [
        start + np.argsort(-detections.scores[start:stop], kind="stable")
        for start, stop in pairwise(starts)
    ]
    order = np.concatenate([np.empty(0, np.int64), *parts])
    place = np.empty(len(order) + 1, dtype=np.int32)
    place[order] = np.arange(len(order))
    place[-1] = -1  # found_by is -1 where there is no detection
    return MatchRecord(
        image_ids=ground_truth.image_ids,
        rows=detections.rows[order],
        images=detections.images[order],
        ranks=detections.ranks[order],
        scores=detections.scores[order],
        starts=starts,
        outcomes=np.take(outcomes.detections, order, axis=2),
        target_rows=ground_truth.rows,
        target_images=ground_truth.images,
        target_categories=ground_truth.categories,
        counted=outcomes.counted,
        found_by=place[outcomes.found_by],
    )


def _targets_per_category(record: MatchRecord, num_categories: int) -> IntArray:
    """Ground truth that counts, (R, K)."""
    return np.stack(
        [
            np.bincount(record.target_categories[counted], minlength=num_categories)
            for counted in record.counted
        ]
    )
