"""What becomes of each detection: true positive, false positive or ignored.

The rules are those of the oracle README, "AP", paragraph Matching, numbered as there.

M detections, G ground-truth boxes, P pairs that may matter, R size ranges, T IoU thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.matching import match_in_order
from scale_match.core.overlaps import overlapping_pairs
from scale_match.core.ranking import RankedDetections, RankedGroundTruth, blocks_of_groups
from scale_match.core.records import BoolArray, FloatArray, IntArray

__all__ = [
    "ALMOST_ONE",
    "FALSE_POSITIVE",
    "IGNORED",
    "TRUE_POSITIVE",
    "OutcomeArray",
    "Outcomes",
    "count_outcomes",
    "find_outcomes",
    "outside",
]

OutcomeArray = npt.NDArray[np.int8]

FALSE_POSITIVE = 0
TRUE_POSITIVE = 1
IGNORED = 2

ALMOST_ONE = 1 - 1e-10  # the protocol's largest threshold, so that IoU 1 survives rounding


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Result of the matching.

    Attributes:
        detections: FALSE_POSITIVE, TRUE_POSITIVE or IGNORED, (R, T, M).
        found_by: The detection (index into M) that is a ground truth's true positive, -1 where
            there is none, (R, T, G).
        counted: Ground truth that counts, because it is neither flagged nor out of range, (R, G).
    """

    detections: OutcomeArray
    found_by: npt.NDArray[np.int32]
    counted: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Overlapping pairs, by detection and then by its preference: large IoU, late in the file.

    Attributes:
        detections: (P,), ascending.
        targets: Ground truth, (P,).
        iou: (P,); for a crowd the intersection over the detection's area.
        iod: The protocol's estimate of the intersection over the detection's area, (P,).
        by_iod: Order of the pairs by detection, then large IoD, then early in the file, (P,).
        exclusive: The target is no crowd, (P,).
    """

    detections: IntArray
    targets: IntArray
    iou: FloatArray
    iod: FloatArray
    by_iod: IntArray
    exclusive: BoolArray


def outside(areas: FloatArray, bounds: tuple[float, float]) -> BoolArray:
    """Which areas are not of a size within the bounds; both bounds belong to the range.

    Args:
        areas: In square pixels, (N,).
        bounds: Smallest and largest size, sqrt(area) in pixels; compared as areas.

    Returns:
        (N,).
    """
    low, high = bounds
    result: BoolArray = (areas < low * low) | (areas > high * high)
    return result


def count_outcomes(outcome: OutcomeArray) -> tuple[int, int, int]:
    """Numbers of false positives, true positives and ignored detections, in order of their codes.

    Args:
        outcome: Codes, (M,).
    """
    false_positives = int(np.count_nonzero(outcome == FALSE_POSITIVE))
    true_positives = int(np.count_nonzero(outcome == TRUE_POSITIVE))
    return false_positives, true_positives, len(outcome) - false_positives - true_positives


def find_outcomes(
    detections: RankedDetections,
    ground_truth: RankedGroundTruth,
    thresholds: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    *,
    id_zero_bug: bool = False,
) -> Outcomes:
    """Match all detections with the ground truth in every size range at every IoU threshold.

    A detection never influences earlier ones, so the outcomes of the best n of each image and
    category are the same as if only those had been given.

    Args:
        detections: Those that take part, ranked.
        ground_truth: Ranked alike.
        thresholds: IoU thresholds, T of them.
        bounds: Size ranges, R of them, as for :func:`outside`.
        id_zero_bug: Give a detection that is matched to the annotation with id 0 the outcome of
            an unmatched one, as the authors' code does (oracle README, "Oddities").

    Returns:
        The outcomes.
    """
    shape = (len(bounds), len(thresholds))
    result = Outcomes(
        detections=np.empty((*shape, len(detections)), dtype=np.int8),
        found_by=np.full((*shape, len(ground_truth)), -1, dtype=np.int32),
        counted=np.stack(
            [~(ground_truth.flagged | outside(ground_truth.areas, range_)) for range_ in bounds]
        ),
    )
    for rows, target_rows in blocks_of_groups(detections, ground_truth):
        # Views, which are filled in.
        part = Outcomes(
            detections=result.detections[:, :, rows],
            found_by=result.found_by[:, :, target_rows],
            counted=result.counted[:, target_rows],
        )
        unfit = ground_truth.ids[target_rows] == 0 if id_zero_bug else None
        _fill(
            part, detections.part(rows), ground_truth.part(target_rows), thresholds, bounds, unfit
        )
        part.found_by[part.found_by >= 0] += rows.start
    return result


def _fill(
    result: Outcomes,
    detections: RankedDetections,
    ground_truth: RankedGroundTruth,
    thresholds: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    unfit: BoolArray | None,
) -> None:
    """Match the detections and the ground truth of some groups.

    Args:
        result: What to fill in; ``counted`` is given.
        detections: All of these groups.
        ground_truth: All of these groups.
        thresholds: As for :func:`find_outcomes`.
        bounds: As there.
        unfit: Ground truth that makes no true positive of what is matched to it, if any, (G,).
    """
    used = [min(threshold, ALMOST_ONE) for threshold in thresholds]
    pairs = _candidate_pairs(detections, ground_truth, min(used))
    areas = detections.boxes[:, 2] * detections.boxes[:, 3]
    for r, range_ in enumerate(bounds):
        unmatched = np.where(outside(areas, range_), IGNORED, FALSE_POSITIVE)  # rules 3 and 4
        counted = result.counted[r]
        fallback = _best_ignored(pairs, counted)
        for t, threshold in enumerate(used):
            matched = _match_counted(pairs, counted, threshold)
            absorbed = _absorb(pairs, counted, fallback, matched, threshold)
            if unfit is not None:
                matched = matched[~unfit[pairs.targets[matched]]]
            outcome = result.detections[r, t]
            outcome[:] = unmatched
            outcome[absorbed] = IGNORED
            outcome[pairs.detections[matched]] = TRUE_POSITIVE
            result.found_by[r, t, pairs.targets[matched]] = pairs.detections[matched]


def _candidate_pairs(
    detections: RankedDetections, ground_truth: RankedGroundTruth, threshold: float
) -> _Pairs:
    """The pairs that reach the lowest threshold with their IoU or IoD."""
    areas = detections.boxes[:, 2] * detections.boxes[:, 3]
    target_areas = ground_truth.boxes[:, 2] * ground_truth.boxes[:, 3]
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))]
    for index, target, intersection in overlapping_pairs(
        detections.groups, detections.boxes, ground_truth.groups, ground_truth.boxes
    ):
        area = areas[index]
        union = area + target_areas[target] - intersection
        iou = intersection / np.where(ground_truth.iscrowd[target], area, union)
        # The IoD of a box whose area field is w*h, derived as the authors do (README "IoD").
        iod = iou / (1 + iou) * (1 + ground_truth.areas[target] / area)
        enough = (iou >= threshold) | (iod >= threshold)
        parts.append((index[enough], target[enough], iou[enough], iod[enough]))
    index, target, iou, iod = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-target, -iou, index))
    index, target, iou, iod = index[order], target[order], iou[order], iod[order]
    return _Pairs(
        detections=index,
        targets=target,
        iou=iou,
        iod=iod,
        by_iod=np.lexsort((target, -iod, index)),
        exclusive=~ground_truth.iscrowd[target],
    )


def _match_counted(pairs: _Pairs, counted: BoolArray, threshold: float) -> IntArray:
    """Rule 1: positions of the pairs that are true positives, at most one per detection."""
    eligible = np.flatnonzero(counted[pairs.targets] & (pairs.iou >= threshold))
    chosen = match_in_order(
        pairs.detections[eligible],
        pairs.targets[eligible],
        np.ones(len(eligible), dtype=np.bool_),
        num_targets=len(counted),
    )
    return eligible[chosen]


def _best_ignored(pairs: _Pairs, counted: BoolArray) -> IntArray:
    """Position of each detection's pair with the largest IoD among ignored ground truth."""
    ignored = pairs.by_iod[~counted[pairs.targets[pairs.by_iod]]]
    first = np.diff(pairs.detections[ignored], prepend=-1) > 0
    return ignored[first]


def _absorb(
    pairs: _Pairs, counted: BoolArray, fallback: IntArray, matched: IntArray, threshold: float
) -> IntArray:
    """Rule 2: the detections that ignored ground truth absorbs.

    Strictly, only a crowd passes the IoU test any number of times, another ignored box only
    before any detection was ascribed to it. A detection that fails that test passes the IoD test
    regardless of others, and is then ascribed to the box of the largest IoD.
    """
    free = np.ones(1 + pairs.detections.max(initial=-1), dtype=np.bool_)
    free[pairs.detections[matched]] = False
    overlapping = (pairs.iou >= threshold) & ~counted[pairs.targets]
    by_iou = np.flatnonzero(overlapping & free[pairs.detections])
    by_iod = fallback[(pairs.iod[fallback] >= threshold) & free[pairs.detections[fallback]]]
    both = np.concatenate([by_iou, by_iod])
    exclusive = np.concatenate([pairs.exclusive[by_iou], np.zeros(len(by_iod), dtype=np.bool_)])
    # Stable: a detection asks by IoU first, and by IoD last.
    order = np.argsort(pairs.detections[both], kind="stable")
    both, exclusive = both[order], exclusive[order]
    chosen = match_in_order(
        pairs.detections[both], pairs.targets[both], exclusive, num_targets=len(counted)
    )
    absorbed: IntArray = pairs.detections[both[chosen]]
    return absorbed
