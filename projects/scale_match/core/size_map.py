"""A monotone map of object sizes that is corrected until what it leads to has the target's sizes.

Scale Match chooses one scale for an image, so its boxes only roughly get the target's distribution
(quirk 13 of the oracle README "Scale-match"). The samplers of :mod:`exact_tiling` and
:mod:`mosaic` choose one for a part of an image. They too let boxes in at another size than their
own, drop some, and show some more often than others. :func:`calibrated` plays such a sampler and
moves the map until the sizes that come out are those of the target.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scale_match.core.checks import ordered_sizes
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.records import FloatArray
from scale_match.core.size_summary import ks_distance

__all__ = ["SizeMap", "calibrated"]

# Source sizes are known by so many equally likely steps; the map is linear between them.
_STEPS = 256


@dataclass(frozen=True, eq=False)
class SizeMap:
    """Sizes of the target for sizes of the source, in the same order.

    Attributes:
        source: Ascending sizes in pixels at equally spaced ranks from 0 to 1, (K,).
        destination: Sizes in pixels that they become, ascending, (K,).
        jitter: How far, in ranks, a drawn size may be from the one of equal rank; in [0, 1].
    """

    source: FloatArray
    destination: FloatArray
    jitter: float = 0.05

    @classmethod
    def from_sizes(
        cls, source_sizes: npt.ArrayLike, target: SizeHistogram, *, jitter: float = 0.05
    ) -> "SizeMap":
        """Map equal ranks onto each other, as monotone Scale Match does.

        Args:
            source_sizes: (N,) in pixels, in any order; those that are not positive do not count.
            target: Distribution of the sizes to reach.
            jitter: See above.

        Raises:
            InputError: There is no positive size, one is not finite, or ``jitter`` is not in
                [0, 1].
        """
        if not 0.0 <= jitter <= 1.0:
            raise InputError(f"jitter must be in [0, 1], got {jitter}")
        ranks = np.linspace(0.0, 1.0, _STEPS)
        source = np.quantile(ordered_sizes("source sizes", source_sizes), ranks)
        return cls(source, np.asarray(target.quantile(ranks)), jitter)

    def sizes_for(self, sizes: npt.ArrayLike, uniforms: npt.ArrayLike | None = None) -> FloatArray:
        """The sizes that boxes should get.

        The rank is moved by at most ``jitter`` and folded back at 0 and 1, which leaves evenly
        spread ranks evenly spread: the jitter does not change the distribution.

        Args:
            sizes: In pixels, > 0, of any shape; beyond the source's extremes the extreme counts.
            uniforms: In [0, 1), of the same shape; None leaves ranks where they are.

        Returns:
            Sizes in pixels, of the same shape.

        >>> target = SizeHistogram(counts=[1], edges=[10.0, 20.0])
        >>> SizeMap.from_sizes([100.0, 200.0], target).sizes_for(150.0).item()
        15.0
        """
        ranks = np.linspace(0.0, 1.0, len(self.source))
        rank = np.interp(np.asarray(sizes, dtype=np.float64), self.source, ranks)
        if uniforms is not None:
            moved = rank + self.jitter * (2.0 * np.asarray(uniforms, dtype=np.float64) - 1.0)
            rank = 1.0 - np.abs(1.0 - np.abs(moved))
        return np.asarray(np.interp(rank, ranks, self.destination))


def calibrated(
    size_map: SizeMap,
    target: SizeHistogram,
    results: Callable[[SizeMap], FloatArray],
    *,
    rounds: int = 4,
) -> SizeMap:
    """The map moved so that the sizes that it leads to follow the target.

    Each round replaces a destination by the target's size at the rank that it has among the
    results: where too many boxes end up below it, it moves up. Of the maps of all rounds the one
    whose results have the least Kolmogorov-Smirnov distance to the target is taken.

    Args:
        size_map: Where to start.
        target: Distribution of the sizes to reach.
        results: Plays the sampler with a map: sizes in pixels of the boxes in its samples, (N,).
            With N = 0 the map stays as it is.
        rounds: How often to correct.
    """
    best, least = size_map, math.inf
    for last in (*[False] * rounds, True):
        sizes = np.sort(results(size_map))
        if len(sizes) == 0:
            return best
        distance = ks_distance(sizes, target.cdf)
        if distance < least:
            best, least = size_map, distance
        if not last:
            below = np.searchsorted(sizes, size_map.destination, side="left")
            upto = np.searchsorted(sizes, size_map.destination, side="right")
            moved = target.quantile((below + upto) / (2.0 * len(sizes)))
            size_map = replace(size_map, destination=np.maximum.accumulate(moved))
    return best
