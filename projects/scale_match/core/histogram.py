"""The distribution of object sizes that Scale Match aims at, as a histogram.

A "rectified" histogram (paper, section 4): the smallest and the largest boxes get one bin each, so
that a few outliers do not stretch the equal bins between them. Sizes are sqrt(w * h) in pixels.
Exact rules with their reasons: sections 1.1 to 1.3 and 2 of the oracle README "Scale-match".
"""

from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from scale_match.core.checks import ascending_sizes, box_counts, ordered_sizes, whole_number
from scale_match.core.counted_sizes import counted_sizes
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray, IntArray

__all__ = ["SizeHistogram", "counted_sizes"]

# Slack of the draw: the bin is the first one with r <= cumulative + DRAW_SLACK (README 1.3).
DRAW_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class SizeHistogram:
    """Counts of boxes between ascending size edges; inside a bin sizes are uniform in pixels.

    The constructor is also the way back from a saved histogram: it accepts lists, checks them and
    keeps read-only copies. Bins may be empty or, for sizes that repeat exactly, have no width: then
    they are a point mass.

    Args:
        counts: Boxes in each bin, (bins,), whole numbers >= 0, not all zero.
        edges: Borders of the bins in pixels, (bins + 1,), positive, finite, never descending.

    Raises:
        InputError: A field breaks its rule; the message names the field and the value.
    """

    counts: IntArray
    edges: FloatArray

    def __post_init__(self) -> None:
        counts = box_counts("counts", self.counts)
        edges = ascending_sizes("edges", self.edges)
        if len(edges) != len(counts) + 1:
            raise InputError(
                f"edges must have one more entry than counts ({len(counts) + 1}), got {len(edges)}"
            )
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "edges", edges)

    @classmethod
    def from_sizes(
        cls,
        sizes: npt.ArrayLike,
        *,
        bins: int = 100,
        log: bool = False,
        except_rate: float | None = None,
    ) -> "SizeHistogram":
        """Count sizes in a head bin, ``bins - 2`` equal bins and a tail bin (README 1.2).

        With few bins the mean of the draws is far above that of the sizes, because the tail bin is
        drawn from uniformly up to the largest size (18.5 px becomes 26.8 px with 10 bins, 19.0 px
        with 100).

        Args:
            sizes: (N,) in pixels, in any order; those that are not positive do not count.
            bins: Number of all bins.
            log: Make the inner bins equally wide in ln(size) instead of in pixels. This moves the
                edges only: inside a bin sizes stay uniform in pixels.
            except_rate: Share of the boxes in head and tail together, in [0, 1); 0 means neither
                head nor tail; 2 / bins by default, which puts floor(N / bins) boxes into the head
                and ceil(N / bins) into the tail.

        Returns:
            The histogram; where all sizes are equal a point mass at that size.

        Raises:
            InputError: There is no positive size, one is not finite, ``bins`` leaves no inner bin,
                or ``except_rate`` is out of range or leaves no box between head and tail.
        """
        ordered = ordered_sizes("sizes", sizes)
        rate = _checked_rate(bins, except_rate)
        if rate == 0.0:
            counts, edges = _equal_bins(ordered, bins, log=log)
            return cls(counts, edges)
        # Double products, truncated, in exactly this order (README 1.2, quirk 31): head and tail
        # differ by a box where N / bins is whole but its double product is not.
        num_boxes = len(ordered)
        head = int(num_boxes * rate / 2)
        tail_start = int(num_boxes * (1 - rate / 2))
        middle = ordered[head:tail_start]
        if len(middle) == 0:
            if ordered[0] < ordered[-1]:
                raise InputError(
                    f"except_rate must leave a box between head and tail, got {rate} "
                    f"for {num_boxes} boxes"
                )
            middle = ordered  # A single size: the edges are known, although the bin is empty.
        inner_counts, inner_edges = _equal_bins(middle, bins - 2, log=log)
        inner_counts = inner_counts if tail_start > head else np.zeros_like(inner_counts)
        return cls(
            np.concatenate([[head], inner_counts, [num_boxes - tail_start]]),
            np.concatenate([ordered[:1], inner_edges, ordered[-1:]]),
        )

    @property
    def num_boxes(self) -> int:
        """Number of counted boxes."""
        return int(self.counts.sum())

    @cached_property
    def probabilities(self) -> FloatArray:
        """Share of the boxes in each bin, (bins,)."""
        shares: FloatArray = self.counts / self.counts.sum()
        return shares

    @cached_property
    def running_sum(self) -> FloatArray:
        """Running double sum of the probabilities, (bins,); the last may miss 1 by rounding.

        The draw and the matching of source edges are defined on this sum, not on the exact
        ``cumsum(counts) / num_boxes``: the two can differ in the last bit and so by one box.
        """
        return np.cumsum(self.probabilities)

    @cached_property
    def _knots(self) -> FloatArray:
        """The distribution function at the edges, (bins + 1,), from exactly 0 to exactly 1."""
        return np.concatenate([[0.0], np.cumsum(self.counts) / self.counts.sum()])

    @overload
    def cdf(self, x: float) -> np.float64: ...

    @overload
    def cdf(self, x: FloatArray) -> FloatArray: ...

    def cdf(self, x: float | FloatArray) -> np.float64 | FloatArray:
        """Share of the sizes up to and including x: straight lines between the edges.

        Args:
            x: Sizes in pixels, a number or an array.

        Returns:
            Values in [0, 1] of the shape of ``x``; continuous from the right, with a jump at a bin
            that has boxes and no width.
        """
        return np.interp(x, self.edges, self._knots)

    @overload
    def quantile(self, u: float) -> np.float64: ...

    @overload
    def quantile(self, u: FloatArray) -> FloatArray: ...

    def quantile(self, u: float | FloatArray) -> np.float64 | FloatArray:
        """The inverse of :meth:`cdf`: the smallest size x with cdf(x) >= u.

        ``quantile(cdf(x)) == x`` for every x in a bin with boxes, its lower edge left out, and
        ``cdf(quantile(u)) == u`` for every u that is not inside a jump of the cdf (there it is
        larger), both up to rounding. Where the cdf is flat (empty bins) the lower end is taken; at
        u = 0 it is the smallest size that has boxes, the limit from above.

        Args:
            u: Probabilities in [0, 1], a number or an array.

        Returns:
            Sizes in pixels of the shape of ``u``, never descending in ``u``.

        Raises:
            ValueError: A value is outside [0, 1].
        """
        share = _checked_unit("u", u)
        first = np.flatnonzero(self.counts)[0]
        # The first bin that reaches u has boxes, since the cdf rises there; only u = 0 needs care.
        k = np.maximum(np.searchsorted(self._knots[1:], share, side="left"), first)
        low, high = self.edges[k], self.edges[k + 1]
        inside = (share - self._knots[k]) / (self._knots[k + 1] - self._knots[k])
        size: np.float64 | FloatArray = np.minimum(low + inside * (high - low), high)
        return size

    @overload
    def draw(self, r: float, u: float) -> np.float64: ...

    @overload
    def draw(self, r: FloatArray, u: FloatArray) -> FloatArray: ...

    def draw(self, r: float | FloatArray, u: float | FloatArray) -> np.float64 | FloatArray:
        """Turn two uniform numbers into a size as the authors do (README 1.3).

        The bin is the first k with r <= running_sum[k] + 1e-6, the size low + u * (high - low). So
        an empty first bin is hit for r <= 1e-6, any other empty bin never.

        Args:
            r: Chooses the bin; in [0, 1], a number or an array.
            u: Chooses the place in the bin; in [0, 1], of a shape that goes with ``r``.

        Returns:
            Sizes in pixels, of the common shape.

        Raises:
            ValueError: A value is outside [0, 1].
        """
        chosen, place = _checked_unit("r", r), _checked_unit("u", u)
        k = np.searchsorted(self.running_sum + DRAW_SLACK, chosen, side="left")
        k = np.minimum(k, len(self.counts) - 1)
        low, high = self.edges[k], self.edges[k + 1]
        size: np.float64 | FloatArray = low + place * (high - low)
        return size


def _equal_bins(ordered: FloatArray, bins: int, *, log: bool) -> tuple[IntArray, FloatArray]:
    """Count ascending sizes in equal bins from the first to the last: half open, the last closed.

    Unlike ``numpy.histogram`` this keeps the edges between the extremes where all sizes are equal:
    bins without width, the boxes in the last one.

    Returns:
        Counts (bins,) and edges (bins + 1,).
    """
    values = np.log(ordered) if log else ordered
    edges = np.linspace(values[0], values[-1], bins + 1)
    below = np.searchsorted(values, edges[1:-1], side="left")
    counts = np.diff(np.concatenate([[0], below, [len(values)]]))
    if log:
        # exp(ln(x)) misses x by rounding; the extremes are sizes of boxes and stay exact.
        edges = np.clip(np.exp(edges), ordered[0], ordered[-1])
        edges[0], edges[-1] = ordered[0], ordered[-1]
    return counts, edges


def _checked_rate(bins: int, except_rate: float | None) -> float:
    """The share of head and tail, after a check of ``bins`` against it."""
    whole_number("bins", bins, minimum=1)
    # In doubles and in this order of operations (README 1.2).
    rate = (1 / bins) * 2 if except_rate is None else float(except_rate)
    if except_rate is not None and not 0.0 <= rate < 1.0:
        raise InputError(f"except_rate must be in [0, 1), got {except_rate!r}")
    if rate > 0.0 and bins < 3:
        raise InputError(
            f"bins must be at least 3 (a head, an inner and a tail bin), or except_rate 0; "
            f"got bins={bins}, except_rate={except_rate}"
        )
    return rate


def _checked_unit(name: str, values: float | FloatArray) -> FloatArray:
    checked = np.asarray(values, dtype=np.float64)
    if not np.all((checked >= 0.0) & (checked <= 1.0)):
        raise ValueError(f"{name} must be in [0, 1], got {values!r}")
    return checked
