"""How far AP50 would rise if a part of the pipeline were perfect: the oracle ladder.

What the evaluation found (at a limit of detections, "maxDets", and in one size range) is the
ground floor. A rung lets the detections choose once more, best score first, as in the evaluation:
each takes the best object that counts and that no better one took; objects of its own category
and IoU >= 0.5 first, and then what the rung adds:

- **merging**: detections that the merging of tiles removed choose, too, with their own scores, if
  fewer than maxDets detections of their image and category are better; and a false positive that
  might have taken an object, had it been free, is gone, for it is a duplicate. So every object
  keeps its best detection, nothing is wrongly suppressed, and no duplicate stays.
- **limit**: detections beyond maxDets choose, too (with merging, also those that it removed).
- **localisation**: a detection may take an object of its category from IoU 0.1 on: it gets its box.
- **classification**: a detection may take an object of any category, and gets it: from IoU 0.5 on,
  or together with localisation from 0.1 on. Its own category comes first, however small the IoU.

Detections that the evaluation ignores stay ignored: neither the rule of localisation nor that of
classification is for them. What a rung brings back and finds no object counts for nothing, and so
does a true positive whose object a better detection takes: a corrected detector would not show it.

No rung is below the floor, nor a higher one below a lower: it adds detections, or objects at the
end of the lists from which detections choose, and then every object is taken by the same or a
better scored detection (Gale and Sotomayor 1985: who is chosen gains from longer lists and more
choosers), while no detection ever becomes a false positive. That would not hold if what a rung
brings back were false positives, too: no limit at all can lower AP.

M detections, those that were removed included; G ground-truth boxes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scale_match.core.ap_outcomes import (
    FALSE_POSITIVE,
    IGNORED,
    OutcomeArray,
    find_outcomes,
)
from scale_match.core.ap_result import ApResult
from scale_match.core.box_relations import BoxRelations, PlacedBoxes, find_relations
from scale_match.core.error_types import BACKGROUND_IOU, FOREGROUND_IOU, curve_places
from scale_match.core.errors import InputError
from scale_match.core.matching import match_in_order
from scale_match.core.precision_curve import average_over_categories, interpolated_precision
from scale_match.core.ranking import (
    RankedDetections,
    RankedGroundTruth,
    rank_detections,
    rank_ground_truth,
)
from scale_match.core.records import Annotations, BoolArray, DetectionTable, IntArray
from scale_match.core.removed_detections import joined_detections

__all__ = ["RUNGS", "OracleLadder", "climb"]

RUNGS = ("merging", "limit", "localisation", "classification")

_NEW = 3  # outcome of a detection that did not take part: behind the codes of ap_outcomes


@dataclass(frozen=True, slots=True)
class OracleLadder:
    """AP50 of one size range if parts of the pipeline were perfect.

    Attributes:
        size_range: Label.
        max_dets: Limit of detections per image and category.
        average_precision: The actual value; -1.0, here and below, if there is nothing to measure.
        alone: Rung -> AP if it alone is perfect, in the order of RUNGS.
        cumulative: Rung -> AP if it and all before it are perfect.
    """

    size_range: str
    max_dets: int
    average_precision: float
    alone: Mapping[str, float]
    cumulative: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """Everything that may choose, sorted by place in the curves.

    Attributes:
        categories: (M,).
        outcomes: Of the evaluation; _NEW for what took no part, (M,).
        removed: By the merging of tiles, (M,).
        within: Fewer than maxDets detections of the evaluation are better in image and category,
            (M,).
        correctable: Not ignored, or would not be if it took part, (M,).
        relations: Pairs from IoU 0.1 on, with ground truth that counts.
        target_categories: (G,).
        counted: Ground truth that counts, (G,).
    """

    categories: IntArray
    outcomes: OutcomeArray
    removed: BoolArray
    within: BoolArray
    correctable: BoolArray
    relations: BoxRelations
    target_categories: IntArray
    counted: BoolArray


def climb(
    result: ApResult,
    annotations: Annotations,
    detections: DetectionTable,
    *,
    size_range: str = "tiny",
    bounds: tuple[float, float] = (1.0, 20.0),
    removed: DetectionTable | None = None,
    max_dets: int | None = None,
) -> OracleLadder:
    """Compute the ladder.

    Args:
        result: An evaluation, among others at IoU 0.5.
        annotations: The ground truth that was evaluated.
        detections: The detections that were evaluated, all of them.
        size_range: Label of one of its size ranges.
        bounds: Its smallest and largest size in pixels.
        removed: What the merging of tiles removed, in image coordinates, as of
            ``core.removed_detections``; without it there is no rung ``merging``.
        max_dets: One of the evaluation's limits; its largest by default.

    Returns:
        AP50 on all rungs.

    Raises:
        InputError: IoU 0.5, the size range or the limit was not evaluated, or a removed detection
            breaks a rule of the evaluation's.
    """
    limit = max(result.max_dets) if max_dets is None else max_dets
    outcomes = _actual_outcomes(result, size_range, limit, len(detections))
    everything = detections if removed is None else joined_detections(detections, removed)
    ground_truth = rank_ground_truth(annotations)
    ranked = rank_detections(
        everything, ground_truth, limit=len(everything) + 1, source=annotations.source
    )
    pool = _pool(ranked, ground_truth, outcomes, limit, bounds)
    rungs = RUNGS if removed is not None else RUNGS[1:]
    return OracleLadder(
        size_range=size_range,
        max_dets=limit,
        average_precision=result.average_precision(limit)[f"{size_range}_50"],
        alone={rung: _value(pool, {rung}) for rung in rungs},
        cumulative={rung: _value(pool, set(rungs[: k + 1])) for k, rung in enumerate(rungs)},
    )


def _actual_outcomes(
    result: ApResult, size_range: str, limit: int, num_detections: int
) -> OutcomeArray:
    """Outcome of each row of the detections, _NEW where it did not take part."""
    if FOREGROUND_IOU not in result.iou_thresholds:
        raise InputError(
            f"the oracle ladder needs an evaluation at IoU {FOREGROUND_IOU}, not only at "
            f"{list(result.iou_thresholds)}"
        )
    for name, value, known in (
        ("size range", size_range, result.size_ranges),
        ("maxDets", limit, result.max_dets),
    ):
        if value not in known:
            raise InputError(f"{name} {value} was not evaluated, only {list(known)}")
    record = result.record
    used = record.ranks < limit
    outcomes = np.full(num_detections, _NEW, dtype=np.int8)
    outcomes[record.rows[used]] = record.outcomes[
        result.size_ranges.index(size_range), result.iou_thresholds.index(FOREGROUND_IOU), used
    ]
    return outcomes


def _pool(
    ranked: RankedDetections,
    ground_truth: RankedGroundTruth,
    outcomes: OutcomeArray,
    limit: int,
    bounds: tuple[float, float],
) -> _Pool:
    together = find_outcomes(ranked, ground_truth, (FOREGROUND_IOU,), (bounds,))
    removed = ranked.rows >= len(outcomes)
    actual = np.append(outcomes, np.int8(_NEW))[np.minimum(ranked.rows, len(outcomes))]
    order = np.argsort(curve_places(ranked.scores, ranked.images, ranked.rows))
    ignored = np.where(actual == _NEW, together.detections[0, 0], actual) == IGNORED
    return _Pool(
        categories=ranked.categories[order],
        outcomes=actual[order],
        removed=removed[order],
        within=(_actual_ranks(ranked, removed) < limit)[order],
        correctable=~ignored[order],
        relations=find_relations(
            PlacedBoxes(ranked.images[order], ranked.categories[order], ranked.boxes[order]),
            PlacedBoxes(ground_truth.images, ground_truth.categories, ground_truth.boxes),
            threshold=BACKGROUND_IOU,
            among=(actual != IGNORED)[order],
            wanted=together.counted[0],
        ),
        target_categories=ground_truth.categories,
        counted=together.counted[0],
    )


def _actual_ranks(ranked: RankedDetections, removed: BoolArray) -> IntArray:
    """How many detections that merging left are before each in its image and category, (M,)."""
    before: IntArray = np.cumsum(~removed) - ~removed
    starts = np.flatnonzero(ranked.ranks == 0)
    group = np.cumsum(ranked.ranks == 0) - 1
    ranks: IntArray = before - before[starts][group]
    return ranks


def _value(pool: _Pool, perfect: set[str]) -> float:
    """AP50 if the named rungs were perfect."""
    takes_part = np.ones(len(pool.outcomes), dtype=np.bool_)
    if "limit" not in perfect:
        takes_part &= pool.within
    if "merging" not in perfect:
        takes_part &= ~pool.removed
    pairs = pool.relations
    least = BACKGROUND_IOU if "localisation" in perfect else FOREGROUND_IOU
    corrected = pairs.iou >= least
    if "classification" not in perfect:
        corrected &= pairs.same
    corrected &= pool.correctable[pairs.detections]
    plain = pairs.same & (pairs.iou >= FOREGROUND_IOU)
    pairs = pairs.select((plain | corrected) & takes_part[pairs.detections])
    chosen = match_in_order(
        pairs.detections,
        pairs.targets,
        np.ones(len(pairs.targets), dtype=np.bool_),
        num_targets=len(pool.counted),
    )
    false = pool.outcomes == FALSE_POSITIVE
    false[pairs.detections if "merging" in perfect else pairs.detections[chosen]] = False
    return _average_precision(pool, pairs.detections[chosen], pairs.targets[chosen], false)


def _average_precision(pool: _Pool, hits: IntArray, targets: IntArray, false: BoolArray) -> float:
    """AP from the hits, ascending, their ground truth, and the false positives, (M,)."""
    false_rows = np.flatnonzero(false)
    false_categories = pool.categories[false_rows]
    curves = []
    for category in np.unique(pool.target_categories[pool.counted]):
        own = pool.target_categories == category
        before = np.searchsorted(false_rows[false_categories == category], hits[own[targets]])
        curves.append(interpolated_precision(before, int((own & pool.counted).sum())))
    return average_over_categories(curves)
