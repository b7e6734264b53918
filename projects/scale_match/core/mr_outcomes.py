"""What becomes of each detection for the miss rate: true positive, false positive or ignored.

The rules are those of the oracle README, "MR", paragraph Matching, numbered as there.

M detections, G ground-truth boxes, P overlapping pairs, R size ranges, T IoU thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scale_match.core.ap_outcomes import (
    ALMOST_ONE,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    OutcomeArray,
)
from scale_match.core.matching import match_in_order
from scale_match.core.overlaps import overlapping_pairs
from scale_match.core.ranking import RankedDetections, RankedGroundTruth, blocks_of_groups
from scale_match.core.records import BoolArray, FloatArray, IntArray

__all__ = ["MissRateRules", "find_miss_rate_outcomes"]

_GENEROUS = 0.5  # what the second test of ignored regions has to exceed, whatever the threshold


@dataclass(frozen=True, slots=True, eq=False)
class MissRateRules:
    """What counts in each size range.

    Attributes:
        counted: Ground truth that is to be found, (R, G).
        used: Detections that take part, (R, M).
        unfit: Ground truth that makes no true positive of what is matched to it, (G,).
    """

    counted: BoolArray
    used: BoolArray
    unfit: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Overlapping pairs that may matter, by detection, then large IoU, then late in the file.

    Attributes:
        detections: (P,), ascending.
        targets: Ground truth, (P,).
        iou: (P,).
        share: Intersection over the detection's area, (P,).
        generous: The share passes the second test of ignored regions, (P,).
    """

    detections: IntArray
    targets: IntArray
    iou: FloatArray
    share: FloatArray
    generous: BoolArray

    def of(self, chosen: IntArray) -> "_Pairs":
        """Some of the pairs."""
        return _Pairs(
            self.detections[chosen],
            self.targets[chosen],
            self.iou[chosen],
            self.share[chosen],
            self.generous[chosen],
        )


def find_miss_rate_outcomes(
    detections: RankedDetections,
    ground_truth: RankedGroundTruth,
    thresholds: Sequence[float],
    rules: MissRateRules,
) -> OutcomeArray:
    """Match all detections with the ground truth in every size range at every IoU threshold.

    Args:
        detections: Ranked.
        ground_truth: Ranked alike.
        thresholds: IoU thresholds, T of them.
        rules: What counts in each size range.

    Returns:
        FALSE_POSITIVE, TRUE_POSITIVE or IGNORED, (R, T, M); without meaning for a detection that
        takes no part in the size range.
    """
    used = [min(threshold, ALMOST_ONE) for threshold in thresholds]
    outcomes = np.empty((len(rules.counted), len(used), len(detections)), dtype=np.int8)
    for rows, targets in blocks_of_groups(detections, ground_truth):
        _fill(
            outcomes[:, :, rows],
            detections.part(rows),
            ground_truth.part(targets),
            used,
            MissRateRules(rules.counted[:, targets], rules.used[:, rows], rules.unfit[targets]),
        )
    return outcomes


def _fill(
    outcomes: OutcomeArray,
    detections: RankedDetections,
    ground_truth: RankedGroundTruth,
    thresholds: Sequence[float],
    rules: MissRateRules,
) -> None:
    """Match the detections and the ground truth of some groups.

    Args:
        outcomes: What to fill in, (R, T, M).
        detections: All of these groups.
        ground_truth: All of these groups.
        thresholds: IoU thresholds, T of them.
        rules: What counts.
    """
    pairs = _relevant_pairs(detections, ground_truth, min(thresholds))
    for r, counted in enumerate(rules.counted):
        own = pairs.of(np.flatnonzero(rules.used[r, pairs.detections]))
        for t, threshold in enumerate(thresholds):
            outcomes[r, t] = _outcomes(own, counted, rules.unfit, threshold, len(detections))


def _relevant_pairs(
    detections: RankedDetections, ground_truth: RankedGroundTruth, threshold: float
) -> _Pairs:
    """The pairs that may make a detection a hit, or ignored, at a threshold or a higher one."""
    areas = detections.boxes[:, 2] * detections.boxes[:, 3]
    target_areas = ground_truth.boxes[:, 2] * ground_truth.boxes[:, 3]
    empty = np.empty(0, np.int64)
    parts = [(empty, empty, np.empty(0), np.empty(0), np.empty(0, np.bool_))]
    for index, target, intersection in overlapping_pairs(
        detections.groups, detections.boxes, ground_truth.groups, ground_truth.boxes
    ):
        area = areas[index]
        iou = intersection / (area + target_areas[target] - intersection)
        share = intersection / area
        # The authors' formula for the IoD takes an IoU, but here it is given the share itself.
        estimate = share / (1 + share) * (1 + ground_truth.areas[target] / area)
        generous = estimate > _GENEROUS
        enough = (iou >= threshold) | (share >= threshold) | generous
        parts.append((index[enough], target[enough], iou[enough], share[enough], generous[enough]))
    index, target, iou, share, generous = (np.concatenate(c) for c in zip(*parts, strict=True))
    order = np.lexsort((-target, -iou, index))
    return _Pairs(index[order], target[order], iou[order], share[order], generous[order])


def _outcomes(
    pairs: _Pairs, counted: BoolArray, unfit: BoolArray, threshold: float, num_detections: int
) -> OutcomeArray:
    """What becomes of each detection, (M,); rules numbered as in the oracle README.

    Args:
        pairs: Those of the detections that take part.
        counted: Ground truth that counts, (G,).
        unfit: Ground truth that makes no true positive of what is matched to it, (G,).
        threshold: IoU threshold.
        num_detections: M.
    """
    target_counts = counted[pairs.targets]
    outcome = np.full(num_detections, FALSE_POSITIVE, dtype=np.int8)  # rule 3
    forgiven = ~target_counts & ((pairs.share >= threshold) | pairs.generous)
    outcome[pairs.detections[forgiven]] = IGNORED  # rule 2, for those that rule 1 leaves
    eligible = np.flatnonzero(target_counts & (pairs.iou >= threshold))
    chosen = eligible[
        match_in_order(
            pairs.detections[eligible],
            pairs.targets[eligible],
            np.ones(len(eligible), dtype=np.bool_),
            num_targets=len(counted),
        )
    ]
    outcome[pairs.detections[chosen]] = np.where(
        unfit[pairs.targets[chosen]], FALSE_POSITIVE, TRUE_POSITIVE
    )
    return outcome
