"""A distribution of sizes in a few numbers, and how far two distributions are apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.records import FloatArray

__all__ = ["PERCENTS", "SizeSummary", "empirical_cdf", "ks_distance", "summarise_sizes"]

PERCENTS = (1, 5, 25, 50, 75, 95, 99)

Cdf = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class SizeSummary:
    """Sizes in pixels in a few numbers; all but ``count`` are None where there is no size.

    Attributes:
        count: How many.
        mean: Their arithmetic mean.
        std: Their standard deviation (of the population).
        smallest: The least of them.
        largest: The greatest of them.
        percentiles: Those of :data:`PERCENTS`, linear between neighbours.
    """

    count: int
    mean: float | None = None
    std: float | None = None
    smallest: float | None = None
    largest: float | None = None
    percentiles: tuple[float, ...] | None = None


def summarise_sizes(sizes: npt.ArrayLike) -> SizeSummary:
    """Sizes, (N,), in a few numbers; N may be 0.

    >>> summarise_sizes([4.0, 6.0]).mean
    5.0
    """
    values = np.asarray(sizes, dtype=np.float64)
    if len(values) == 0:
        return SizeSummary(0)
    return SizeSummary(
        len(values),
        float(values.mean()),
        float(values.std()),
        float(values.min()),
        float(values.max()),
        tuple(np.percentile(values, PERCENTS).tolist()),
    )


def empirical_cdf(sample: npt.ArrayLike) -> Cdf:
    """The distribution function of a sample, (N,) with N >= 1: the share up to and including x."""
    ordered = np.sort(np.asarray(sample, dtype=np.float64))
    return lambda x: np.searchsorted(ordered, x, side="right") / len(ordered)


def ks_distance(sample: npt.ArrayLike, cdf: Cdf) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of the shares up to any size.

    Args:
        sample: (N,), N >= 1.
        cdf: Distribution function of the other side, continuous from the right; it may jump.

    Returns:
        In [0, 1].

    Raises:
        ValueError: The sample is empty.

    >>> ks_distance([1.0, 2.0, 3.0, 4.0], empirical_cdf([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    points, counts = np.unique(np.asarray(sample, dtype=np.float64), return_counts=True)
    if len(points) == 0:
        raise ValueError("the Kolmogorov-Smirnov distance needs a sample, got none")
    upto = np.cumsum(counts) / counts.sum()
    below = np.concatenate([[0.0], upto[:-1]])
    # Between two points the share of the sample stands still and the other one rises, so the
    # largest difference is at a point or just below it.
    at = np.abs(upto - cdf(points))
    before = np.abs(below - cdf(np.nextafter(points, -np.inf)))
    return float(max(at.max(), before.max()))
