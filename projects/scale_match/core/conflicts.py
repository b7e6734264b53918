"""Which boxes overlap too much to stay together, found without comparing all with all."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from scale_match.core.records import IntArray

__all__ = ["Conflicts"]

# Pairs that are compared at a time: bounds the memory (some 20 MB) however the boxes lie.
_CHUNK_PAIRS = 1 << 18


class Conflicts:
    """Finds pairs of boxes that overlap too much, without comparing all with all.

    Only pairs whose x-ranges meet are compared: in order of the left sides these are, for each
    box, the neighbours up to its right side. For tiny boxes that is about one in a hundred.

    Args:
        boxes: (N, 4) XYXY; indices below are into this table.
        threshold: See :func:`scale_match.core.merging.nms`.
        plus_one: See :func:`scale_match.core.merging.nms`.
        inclusive: See :func:`scale_match.core.merging.nms`.
    """

    def __init__(
        self,
        boxes: npt.NDArray[np.floating],
        threshold: float,
        *,
        plus_one: bool,
        inclusive: bool,
    ) -> None:
        # Everything is computed in the type of the boxes, in the order of the original.
        self._extra = boxes.dtype.type(1.0 if plus_one else 0.0)
        self._left, self._top, self._right, self._bottom = np.ascontiguousarray(boxes.T)
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2] + self._extra, 0)
        self._areas = sides[:, 0] * sides[:, 1]
        self._threshold, self._inclusive = threshold, inclusive

    def pairs_within(self, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """All conflicts among the chosen boxes.

        Args:
            chosen: (K,) ascending indices.

        Returns:
            Two (E,) arrays of positions in ``chosen``, the first lower than the second.
        """
        firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for first, second in self._starting_inside(chosen, chosen, side="left"):
            different = first != second
            firsts.append(np.minimum(first, second)[different])
            seconds.append(np.maximum(first, second)[different])
        return np.concatenate(firsts), np.concatenate(seconds)

    def pairs_between(
        self, first: IntArray, second: IntArray
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """All conflicts between two sets of boxes, in blocks: positions in each of the two."""
        yield from self._starting_inside(first, second, side="left")
        # Those of the first set that start later than the box of the second: each pair only once.
        for inner, outer in self._starting_inside(second, first, side="right"):
            yield outer, inner

    def _starting_inside(
        self, hosts: IntArray, guests: IntArray, *, side: Literal["left", "right"]
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Conflicts of hosts with guests whose left side lies in the x-range of the host.

        Args:
            hosts: (H,) indices.
            guests: (G,) indices.
            side: "right" leaves out guests that start exactly where the host does.
        """
        by_left = np.argsort(self._left[guests], kind="stable")
        lefts = self._left[guests[by_left]]
        begin = np.searchsorted(lefts, self._left[hosts], side=side)
        end = np.searchsorted(lefts, self._right[hosts] + self._extra, side="right")
        counts = np.maximum(end - begin, 0)
        totals = np.cumsum(counts)
        start = 0
        while start < len(hosts):
            done = totals[start] - counts[start]
            stop = max(start + 1, int(np.searchsorted(totals, done + _CHUNK_PAIRS, side="right")))
            host = np.repeat(np.arange(start, stop), counts[start:stop])
            # 0, 1, ... within each host, from a number that runs through the block.
            rank = np.arange(len(host)) - (totals[host] - counts[host] - done)
            guest = by_left[begin[host] + rank]
            conflict = self._exceeds(hosts[host], guests[guest])
            yield host[conflict], guest[conflict]
            start = stop

    def _exceeds(self, first: IntArray, second: IntArray) -> IntArray:
        """Positions of the pairs, (P,) and (P,) indices, that overlap too much, (E,)."""
        heights = np.minimum(self._bottom[first], self._bottom[second])
        heights = heights - np.maximum(self._top[first], self._top[second]) + self._extra
        near = np.flatnonzero(heights > 0)
        first, second = first[near], second[near]
        widths = np.minimum(self._right[first], self._right[second])
        widths = widths - np.maximum(self._left[first], self._left[second]) + self._extra
        shared = np.maximum(widths, 0) * heights[near]
        union = self._areas[first] + self._areas[second] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        above = iou >= self._threshold if self._inclusive else iou > self._threshold
        positions: IntArray = near[above]
        return positions
