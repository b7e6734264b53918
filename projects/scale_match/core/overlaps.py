"""The pairs of boxes that overlap, found without looking at all pairs.

A dense matrix over the detections and ground truth of an image grows with the product of their
numbers, although nearly all tiny objects are far apart. Here pairs are found by sorting along x:
two intervals overlap exactly if one begins inside the other, and the beginnings inside an interval
are a run of the sorted beginnings. All comparisons of coordinates are exact, because they are
made once, against the sorted interval bounds, and continue on whole numbers.
"""

from collections.abc import Iterator

import numpy as np

from scale_match.core.records import FloatArray, IntArray

__all__ = ["overlapping_pairs"]

_CHUNK = 1 << 19  # pairs examined at a time: bounds the memory, some 50 MB


def overlapping_pairs(
    groups: IntArray,
    boxes: FloatArray,
    other_groups: IntArray,
    other_boxes: FloatArray,
    *,
    chunk: int = _CHUNK,
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Find every pair of boxes of one group whose intersection has positive width and height.

    Args:
        groups: Group of each box, not negative, (M,).
        boxes: XYWH_ABS, (M, 4).
        other_groups: Group of each box of the other set, (G,).
        other_boxes: XYWH_ABS, (G, 4). Meant to be the smaller set.
        chunk: Pairs that overlap along x examined at a time.

    Yields:
        Index of the box, index of the other box, and their intersection in square pixels, three
        arrays of the same length; each pair once, in no particular order.
    """
    if not len(boxes) or not len(other_boxes):
        return
    left, right = boxes[:, 0], boxes[:, 0] + boxes[:, 2]
    other_left, other_right = other_boxes[:, 0], other_boxes[:, 0] + other_boxes[:, 2]
    bounds = np.unique(np.concatenate([other_left, other_right]))
    first = np.searchsorted(bounds, other_left)  # bounds[first] == other_left
    last = np.searchsorted(bounds, other_right)
    begins = np.searchsorted(bounds, left, side="right")  # bounds[: begins] <= left
    ends = np.searchsorted(bounds, right, side="left")  # bounds[: ends] < right
    stride = len(bounds) + 1
    base, other_base = groups * stride, other_groups * stride

    # other_left <= left < other_right: the box begins inside the other one.
    order = np.argsort(base + begins, kind="stable")
    keys = (base + begins)[order]
    starts = np.searchsorted(keys, other_base + first + 1)
    stops = np.searchsorted(keys, other_base + last + 1)
    for other, position in _runs(starts, stops, chunk):
        yield _intersecting(order[position], other, boxes, other_boxes)

    # left < other_left < right: the other one begins inside the box.
    order = np.argsort(other_base + first, kind="stable")
    keys = (other_base + first)[order]
    starts = np.searchsorted(keys, base + begins)
    stops = np.searchsorted(keys, base + ends)
    for box, position in _runs(starts, stops, chunk):
        yield _intersecting(box, order[position], boxes, other_boxes)


def _runs(starts: IntArray, stops: IntArray, chunk: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Spell out the runs ``range(starts[i], stops[i])`` as pairs (i, position), piece by piece."""
    query = np.flatnonzero(stops > starts)
    starts, lengths = starts[query], (stops - starts)[query]
    totals = np.cumsum(lengths)
    begin = 0
    while begin < len(query):
        done = totals[begin] - lengths[begin]
        end = max(begin + 1, int(np.searchsorted(totals, done + chunk, side="right")))
        counts = lengths[begin:end]
        offset = np.arange(counts.sum()) - np.repeat(totals[begin:end] - counts - done, counts)
        yield np.repeat(query[begin:end], counts), np.repeat(starts[begin:end], counts) + offset
        begin = end


def _intersecting(
    index: IntArray, other: IntArray, boxes: FloatArray, other_boxes: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Those of the given pairs that overlap along both axes, with their intersection."""
    width = _shared_length(boxes[index, 0::2], other_boxes[other, 0::2])
    height = _shared_length(boxes[index, 1::2], other_boxes[other, 1::2])
    positive = (width > 0) & (height > 0)
    return index[positive], other[positive], (width * height)[positive]


def _shared_length(spans: FloatArray, others: FloatArray) -> FloatArray:
    """Length that intervals (start, length) have in common; negative if they are apart."""
    end = np.minimum(spans[:, 0] + spans[:, 1], others[:, 0] + others[:, 1])
    length: FloatArray = end - np.maximum(spans[:, 0], others[:, 0])
    return length
