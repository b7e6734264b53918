"""What went wrong: every false positive and every unfound object gets one type of error.

The types are those of TIDE (Bolya, Foley, Hays, Hoffman: TIDE, a general toolbox for identifying
object detection errors, ECCV 2020, section 2.2), in the order in which its authors ask for them.
With the IoU of a false positive and the ground truth that counts, in its image,

1. localisation: the largest IoU with its own category is in [0.1, 0.5);
2. classification: otherwise, the largest with another category is at least 0.5;
3. duplicate: otherwise, the largest with its own category is at least 0.5; that object is taken;
4. background: otherwise, no IoU reaches 0.1;
5. both: otherwise, so it lies in [0.1, 0.5) on an object of another category only.

An object that counts and was not found is *explained* if a localisation or classification error
lies on it, else it is *missed*, the sixth type. What the evaluation ignores (flagged or out of the
size range) stays ignored: such detections have no error, such ground truth explains none.

R size ranges, M detections, G ground-truth boxes, as in ``ap_result.MatchRecord``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from scale_match.core.ap_outcomes import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, OutcomeArray
from scale_match.core.ap_result import ApResult, MatchRecord
from scale_match.core.box_relations import BoxRelations, PlacedBoxes, find_relations
from scale_match.core.error_fixes import ERROR_TYPES, RangeErrors, fixed_values, shares
from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, BoolArray, DetectionTable, FloatArray, IntArray

__all__ = [
    "BACKGROUND_IOU",
    "ERROR_TYPES",
    "FOREGROUND_IOU",
    "DetectionLabel",
    "ErrorSplit",
    "TargetLabel",
    "curve_places",
    "split_errors",
]

FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1

_LabelArray = npt.NDArray[np.int8]
_IndexArray = npt.NDArray[np.int32]


class DetectionLabel(IntEnum):
    """What a detection is; the first five are false positives, in the order of ERROR_TYPES."""

    CLASSIFICATION = 0
    LOCALISATION = 1
    BOTH = 2
    DUPLICATE = 3
    BACKGROUND = 4
    FOUND = 5  # a true positive
    IGNORED = 6
    UNUSED = 7  # beyond the limit of detections


class TargetLabel(IntEnum):
    """What became of a ground truth."""

    IGNORED = 0
    FOUND = 1
    EXPLAINED = 2  # not found, but a localisation or classification error lies on it
    MISSED = 3


@dataclass(frozen=True, slots=True, eq=False)
class ErrorSplit:
    """The errors of an evaluation at IoU 0.5.

    Attributes:
        size_ranges: Labels, R of them.
        max_dets: Limit of detections per image and category.
        record: The evaluation's record, in whose order detections and ground truth stand.
        detection_labels: DetectionLabel of each detection, (R, M).
        partners: Ground truth that a detection found or that its error lies on (for a duplicate
            the taken object), -1 where there is none, (R, M).
        target_labels: TargetLabel of each ground truth, (R, G).
        finders: Detection that found a ground truth, or the best one that explains it, -1 where
            there is none, (R, G).
        average_precision: AP50, -1.0 where there is nothing to measure, (R,).
        fixed: AP50 if one type of error were fixed and no other, types as ERROR_TYPES; -1.0
            likewise, (R, 6).
        shares: Parts of 1 - AP50 that the types are to blame for, which sum to it: what fixing
            the type gains, averaged over all orders of fixing the six; 0 where there is nothing
            to measure, (R, 6).
    """

    size_ranges: tuple[str, ...]
    max_dets: int
    record: MatchRecord
    detection_labels: _LabelArray
    partners: _IndexArray
    target_labels: _LabelArray
    finders: _IndexArray
    average_precision: FloatArray
    fixed: FloatArray
    shares: FloatArray

    def counts(self, r: int, detections: BoolArray | None = None) -> dict[str, int]:
        """Number of errors of each type in one size range.

        Args:
            r: Index of the size range.
            detections: Which detections to count, (M,); all by default.

        Returns:
            Type -> number, without ``missed``, which is no detection's.
        """
        labels = self.detection_labels[r]
        labels = labels if detections is None else labels[detections]
        numbers = np.bincount(labels, minlength=len(DetectionLabel))
        return {name: int(numbers[k]) for k, name in enumerate(ERROR_TYPES[:-1])}


def split_errors(
    result: ApResult,
    annotations: Annotations,
    detections: DetectionTable,
    *,
    max_dets: int | None = None,
) -> ErrorSplit:
    """Give every false positive and every unfound object its type of error.

    Args:
        result: An evaluation, among others at IoU 0.5.
        annotations: The ground truth that was evaluated.
        detections: The detections that were evaluated.
        max_dets: One of the evaluation's limits; its largest by default.

    Returns:
        Types, and what they cost.

    Raises:
        InputError: IoU 0.5 or the limit was not evaluated.
    """
    limit = max(result.max_dets) if max_dets is None else max_dets
    if limit not in result.max_dets:
        raise InputError(f"maxDets {limit} was not evaluated, only {list(result.max_dets)}")
    outcomes, found_by = _outcomes_at_half(result, limit)
    record = result.record
    relations = find_relations(
        _placed_detections(record, detections),
        _placed_targets(record, annotations),
        threshold=BACKGROUND_IOU,
        among=(outcomes == FALSE_POSITIVE).any(axis=0),
        wanted=np.any(record.counted, axis=0),
    )
    places = curve_places(record.scores, record.images, record.rows)
    shape = len(result.size_ranges), len(ERROR_TYPES)
    split = ErrorSplit(
        size_ranges=result.size_ranges,
        max_dets=limit,
        record=record,
        detection_labels=np.empty(outcomes.shape, dtype=np.int8),
        partners=np.empty(outcomes.shape, dtype=np.int32),
        target_labels=np.empty(found_by.shape, dtype=np.int8),
        finders=np.empty(found_by.shape, dtype=np.int32),
        average_precision=np.empty(shape[0]),
        fixed=np.empty(shape),
        shares=np.empty(shape),
    )
    for r in range(shape[0]):
        _label_detections(split, r, outcomes[r], relations)
        _label_targets(split, r, found_by[r], places)
        _find_costs(split, r, places, len(result.category_ids))
    return split


def _outcomes_at_half(result: ApResult, limit: int) -> tuple[OutcomeArray, _IndexArray]:
    """Outcomes at IoU 0.5 of the best detections of each image and category.

    Args:
        result: An evaluation.
        limit: How many of them.

    Returns:
        Outcome of each detection, -1 beyond the limit, (R, M), and the detection that found each
        ground truth, -1 where there is none, (R, G).

    Raises:
        InputError: IoU 0.5 was not evaluated.
    """
    if FOREGROUND_IOU not in result.iou_thresholds:
        raise InputError(
            f"types of errors need an evaluation at IoU {FOREGROUND_IOU}, not only at "
            f"{list(result.iou_thresholds)}"
        )
    t = result.iou_thresholds.index(FOREGROUND_IOU)
    record = result.record
    used = np.append(record.ranks < limit, False)  # False for found_by -1
    found_by = record.found_by[:, t]
    return (
        np.where(used[:-1], record.outcomes[:, t], np.int8(-1)),
        np.where(used[found_by], found_by, np.int32(-1)),
    )


def curve_places(scores: FloatArray, images: IntArray, rows: IntArray) -> IntArray:
    """Place of each detection in the curve of whatever category it is given.

    Args:
        scores: (M,).
        images: Index into the ascending image ids, (M,).
        rows: Row in the table of detections, (M,).

    Returns:
        0 for the highest score; equal scores by image id, then in the order of the table, (M,).
    """
    places = np.empty(len(scores), dtype=np.int64)
    places[np.lexsort((rows, images, -scores))] = np.arange(len(scores))
    return places


def _placed_detections(record: MatchRecord, detections: DetectionTable) -> PlacedBoxes:
    """The detections of a record with their boxes, (M,)."""
    categories = np.repeat(np.arange(len(record.starts) - 1), np.diff(record.starts))
    return PlacedBoxes(record.images, categories, detections.boxes[record.rows])


def _placed_targets(record: MatchRecord, annotations: Annotations) -> PlacedBoxes:
    """The ground truth of a record with its boxes, (G,)."""
    return PlacedBoxes(
        record.target_images,
        record.target_categories,
        annotations.table.boxes[record.target_rows],
    )


def _label_detections(
    split: ErrorSplit, r: int, outcomes: OutcomeArray, relations: BoxRelations
) -> None:
    """Fill in labels and partners of one size range."""
    relevant = split.record.counted[r, relations.targets]
    relevant &= outcomes[relations.detections] == FALSE_POSITIVE
    here = relations.select(relevant)
    own_iou, own = here.select(here.same).best(len(outcomes))
    other_iou, other = here.select(~here.same).best(len(outcomes))
    # The first condition that holds decides.
    rules: Sequence[tuple[BoolArray, DetectionLabel, IntArray | int]] = (
        (outcomes < 0, DetectionLabel.UNUSED, -1),
        (outcomes == IGNORED, DetectionLabel.IGNORED, -1),
        (outcomes == TRUE_POSITIVE, DetectionLabel.FOUND, -1),  # its partner comes by found_by
        ((own_iou > 0) & (own_iou < FOREGROUND_IOU), DetectionLabel.LOCALISATION, own),
        (other_iou >= FOREGROUND_IOU, DetectionLabel.CLASSIFICATION, other),
        (own_iou > 0, DetectionLabel.DUPLICATE, own),
        (other_iou > 0, DetectionLabel.BOTH, other),
    )
    conditions = [rule for rule, _, _ in rules]
    split.detection_labels[r] = np.select(
        conditions, [label for _, label, _ in rules], DetectionLabel.BACKGROUND
    )
    split.partners[r] = np.select(conditions, [partner for _, _, partner in rules], -1)


def _label_targets(split: ErrorSplit, r: int, found_by: _IndexArray, places: IntArray) -> None:
    """Fill in labels and finders of one size range, and the partners of what was found."""
    labels, partners = split.detection_labels[r], split.partners[r]
    found = found_by >= 0
    partners[found_by[found]] = np.flatnonzero(found)
    errors = np.flatnonzero(
        (labels == DetectionLabel.LOCALISATION) | (labels == DetectionLabel.CLASSIFICATION)
    )
    # Worst first: of several assignments to one place the last one, the best, remains.
    errors = errors[np.argsort(-places[errors])]
    split.finders[r] = -1
    split.finders[r, partners[errors]] = errors
    split.finders[r, found] = found_by[found]
    split.target_labels[r] = np.select(
        [~split.record.counted[r], found, split.finders[r] >= 0],
        [TargetLabel.IGNORED, TargetLabel.FOUND, TargetLabel.EXPLAINED],
        TargetLabel.MISSED,
    )


def _find_costs(split: ErrorSplit, r: int, places: IntArray, num_categories: int) -> None:
    """Fill in AP, AP if fixed and shares of one size range."""
    record = split.record
    values = fixed_values(
        RangeErrors(
            places=places,
            categories=np.repeat(np.arange(num_categories), np.diff(record.starts)),
            labels=split.detection_labels[r],
            partners=split.partners[r],
            target_categories=record.target_categories,
            found_by=np.where(split.target_labels[r] == TargetLabel.FOUND, split.finders[r], -1),
            counted=record.counted[r],
            missed=split.target_labels[r] == TargetLabel.MISSED,
        )
    )
    split.average_precision[r] = values[0]
    split.fixed[r] = values[1 << np.arange(len(ERROR_TYPES))]
    split.shares[r] = shares(values)
