"""The precision-recall curve of many resamples of the images at once, without matching again.

In a resample an image occurs several times or not at all, and each copy is matched like the image
itself. Its curve is therefore the one curve of all detections, in which each is counted with the
weight of its image. True positives that follow each other without a false positive in between are
one *step* of the curve: precision only rises within it, so the highest precision from there on is
never that of its beginning.

Order of copies: that of an evaluation in which the copies of an image are images of their own, with
consecutive ids in the place of its id. It matters only among equal scores within one image: there
one copy comes after the other, each with its true and false positives in their order. Such
detections are taken apart by copies.

I images, B resamples, S steps, V rows of a weight table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scale_match.core.ap_outcomes import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, OutcomeArray
from scale_match.core.records import BoolArray, FloatArray, IntArray
from scale_match.core.resampling import WeightArray

__all__ = ["Steps", "WeightTable", "find_steps", "interpolated_precision", "recall_thresholds"]

_PIECE = 256  # rows of weights that are added at a time: they fit into a cache
_MOST_SUMS = 1 << 23  # sums of weights that an array holds, 64 MB
_MOST_CELLS = 1 << 20  # numbers that the arrays computed from them hold, 8 MB


@dataclass(frozen=True, slots=True, eq=False)
class WeightTable:
    """Weights of the images, and below them those of their copies one by one.

    Attributes:
        rows: Row i: how often image i occurs. Row (1 + c) I + i: 1 where image i has a copy number
            c, from 0, else 0. (V, B).
        num_images: I.
        num_copies: The largest number of copies of an image in any resample.
    """

    rows: WeightArray
    num_images: int
    num_copies: int

    @classmethod
    def of(cls, weights: WeightArray, *, with_copies: bool) -> "WeightTable":
        """Make the table.

        Args:
            weights: (I, B).
            with_copies: Whether rows of single copies will be needed.
        """
        largest = int(weights.max(initial=0))
        parts = [weights]
        if with_copies:
            parts += [(weights > copy).astype(weights.dtype) for copy in range(largest)]
        return cls(np.concatenate(parts), len(weights), largest)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The steps of a curve: in each, false positives and then true positives.

    Attributes:
        false_positives: Rows of the weight table, step after step.
        false_ends: End of each step there, (S,).
        true_positives: Rows of the weight table, step after step.
        true_ends: End of each step there, (S,).
    """

    false_positives: IntArray
    false_ends: IntArray
    true_positives: IntArray
    true_ends: IntArray

    def __len__(self) -> int:
        return len(self.true_ends)


def find_steps(
    images: IntArray, scores: FloatArray, outcomes: OutcomeArray, table: WeightTable
) -> Steps:
    """Arrange the detections of one category, size range, threshold and limit as steps.

    Args:
        images: Index of the image of each detection, in curve order, (M,).
        scores: (M,).
        outcomes: (M,).
        table: Has rows of single copies if an image has a true and a false positive of one score.

    Returns:
        The steps; false positives after the last true positive are left out, since no recall is
        reached there.
    """
    counts = outcomes != IGNORED
    rows, is_true = images[counts], outcomes[counts] == TRUE_POSITIVE
    starts = _tie_starts(rows, scores[counts])
    mixed = _mixed(starts, outcomes[counts])
    if mixed.any():
        rows, is_true = _copy_by_copy(rows, is_true, starts, mixed, table)
    hits = np.flatnonzero(is_true)
    misses = np.flatnonzero(~is_true[: hits[-1] + 1] if len(hits) else is_true[:0])
    last = np.diff(hits, append=len(rows) + 1) > 1  # hits that end a step
    return Steps(
        false_positives=rows[misses],
        false_ends=np.searchsorted(misses, hits[last]),
        true_positives=rows[hits],
        true_ends=np.flatnonzero(last) + 1,
    )


def interpolated_precision(
    steps: Steps, table: WeightTable, num_targets: IntArray, levels: FloatArray
) -> FloatArray:
    """Precision at the recall levels, in each resample.

    Args:
        steps: The curve.
        table: The weights.
        num_targets: Ground truth that counts in each resample, (B,).
        levels: Ascending recall values, (L,).

    Returns:
        (B, L); of no meaning for a resample without ground truth.
    """
    thresholds = recall_thresholds(num_targets, levels)
    precision = np.zeros(thresholds.shape)
    if len(steps):
        for block in _blocks(len(precision), _MOST_SUMS // len(steps)):
            weights = np.ascontiguousarray(table.rows[:, block])
            hits = _running_sums(weights, steps.true_positives, steps.true_ends)
            misses = _running_sums(weights, steps.false_positives, steps.false_ends)
            for part in _blocks(hits.shape[1], _MOST_CELLS // len(steps)):
                precision[block][part] = _read_off(
                    hits[:, part], misses[:, part], thresholds[block][part]
                )
    return precision


def recall_thresholds(num_targets: IntArray, levels: FloatArray) -> IntArray:
    """The least number n of hits for which n / num_targets >= level, as doubles compare.

    Args:
        num_targets: (B,).
        levels: Between 0 and 1, (L,).

    Returns:
        (B, L).

    Example:
        >>> recall_thresholds(np.array([3]), np.array([0.0, 0.3, 1 / 3, 0.34, 1.0]))
        array([[0, 1, 1, 2, 3]])
    """
    totals = np.maximum(num_targets, 1)[:, np.newaxis]  # (B, 1)
    least: IntArray = np.ceil(levels * totals).astype(np.int64)
    # The product is rounded; what counts is the quotient.
    least -= (least > 0) & ((least - 1) / totals >= levels)
    least += least / totals < levels
    return least


def _tie_starts(images: IntArray, scores: FloatArray) -> IntArray:
    """Where runs of one image and one score begin."""
    new = np.ones(len(images), dtype=np.bool_)
    new[1:] = (images[1:] != images[:-1]) | (scores[1:] != scores[:-1])
    return np.flatnonzero(new)


def _mixed(starts: IntArray, outcomes: OutcomeArray) -> BoolArray:
    """Which runs have both outcomes, as many as ``starts``."""
    if not len(starts):
        return np.zeros(0, dtype=np.bool_)
    hits = np.add.reduceat(outcomes == TRUE_POSITIVE, starts, dtype=np.int64)
    misses = np.add.reduceat(outcomes == FALSE_POSITIVE, starts, dtype=np.int64)
    both: BoolArray = (hits > 0) & (misses > 0)
    return both


def _copy_by_copy(
    rows: IntArray, is_true: BoolArray, starts: IntArray, mixed: BoolArray, table: WeightTable
) -> tuple[IntArray, BoolArray]:
    """Put each mixed run as often as an image has copies, with the rows of the single copies."""
    lengths = np.diff(starts, append=len(rows))
    totals = np.where(mixed, lengths * table.num_copies, lengths)
    runs = np.repeat(np.arange(len(starts)), totals)
    places = np.arange(len(runs)) - np.repeat(np.cumsum(totals) - totals, totals)
    copies, places = np.divmod(places, lengths[runs])
    source = starts[runs] + places
    extra = np.where(mixed[runs], (1 + copies) * table.num_images, 0)
    return rows[source] + extra, is_true[source]


def _blocks(length: int, size: int) -> Iterator[slice]:
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, length, size))


def _running_sums(weights: WeightArray, rows: IntArray, ends: IntArray) -> IntArray:
    """Sum of all rows up to the end of each step, (S, B)."""
    total = np.zeros(weights.shape[1], dtype=np.int64)
    sums = np.empty((len(ends), weights.shape[1]), dtype=np.int64)
    begin = 0
    for step, end in enumerate(ends.tolist()):
        for first in range(begin, end, _PIECE):
            piece = weights.take(rows[first : min(first + _PIECE, end)], axis=0)
            # In the narrow type, which is several times faster; LARGEST_WEIGHT lets a piece fit.
            total += np.add.reduce(piece, axis=0, dtype=weights.dtype)
        sums[step] = total
        begin = end
    return sums


def _read_off(hits: IntArray, misses: IntArray, thresholds: IntArray) -> FloatArray:
    """Envelope of the precision where the hits reach the thresholds.

    Args:
        hits: (S, B).
        misses: (S, B).
        thresholds: (B, L).

    Returns:
        (B, L).
    """
    true_positives = np.ascontiguousarray(hits.T)  # (B, S)
    # As in average_precision: the authors add the spacing of doubles at 1.
    precision = true_positives / (true_positives + misses.T + np.spacing(1.0))
    envelope = np.zeros((len(precision), precision.shape[1] + 1))  # 0 where a recall is not reached
    np.maximum.accumulate(precision[:, ::-1], axis=1, out=envelope[:, -2::-1])
    # One search for all resamples: each has its own range of numbers.
    stride = 1 + max(int(thresholds.max()), int(true_positives[:, -1].max()))
    offsets = stride * np.arange(len(precision))[:, np.newaxis]
    first = np.searchsorted((true_positives + offsets).ravel(), thresholds + offsets, side="left")
    first -= precision.shape[1] * np.arange(len(precision))[:, np.newaxis]
    return np.take_along_axis(envelope, first, axis=1)
