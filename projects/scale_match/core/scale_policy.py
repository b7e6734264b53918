"""By how much an image is scaled so that its objects get the sizes of the target: Scale Match.

A policy looks at the boxes of one image and decides; it draws nothing itself (uniform numbers come
in as an argument) and resizes nothing. Rules: sections 1.4 to 1.7 of the oracle README
"Scale-match" in the variant "v1" (the paper's own code) with the fixes that its section 2 advises.

* Sampled Scale Match (SM): the geometric mean of the boxes becomes a size drawn from the target.
* Monotone Scale Match (MSM): it becomes the target size at the same place of the distribution of
  the source, so that small stays small and large stays large.

Both know per-box distributions and one scale per image, so the result only roughly has the target's
distribution (README, quirk 13).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from scale_match.core.checks import ascending_sizes, ordered_sizes
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.records import BoolArray, FloatArray
from scale_match.core.scale_limits import ScaleLimits
from scale_match.core.source_size import CountedBoxes, scaled_size, source_size

__all__ = [
    "MatchedTarget",
    "MonotoneScaleMatch",
    "SampledScaleMatch",
    "ScaleDecision",
    "ScaleLimits",
    "ScalePolicy",
    "match_edges",
    "source_size",
]

# The bin of a source size is the first one with size <= upper edge + EDGE_SLACK (README 1.6).
EDGE_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class ScaleDecision:
    """What a policy wants done with an image.

    Attributes:
        scale: Factor after limits and fall-back; ``size`` is the image size times it, rounded.
        size: New (height, width) in pixels, each at least 1.
        keep: One entry for each given box, (N,): whether it stays. Never kept are boxes that do not
            count (see :func:`source_size`); after a fall-back all that count are kept, however
            small they become.
        fallback: No box would have stayed at the policy's own scale, so ``default_scale`` is used.
        source_size: Size of the image's objects before, in pixels; None where no box counts.
    """

    scale: float
    size: tuple[int, int]
    keep: BoolArray
    fallback: bool
    source_size: float | None


class ScalePolicy(Protocol):
    """A rule that chooses the scale of an image from its boxes."""

    @property
    def num_uniforms(self) -> int:
        """How many uniform numbers :meth:`decide` needs; 0 for a rule without randomness."""

    def decide(
        self, boxes_xywh: npt.ArrayLike, width: int, height: int, uniforms: npt.ArrayLike
    ) -> ScaleDecision:
        """Choose the scale of one image.

        Args:
            boxes_xywh: (N, 4) XYWH, the boxes that are neither crowd nor ignored.
            width: Width of the image in pixels.
            height: Height of the image in pixels.
            uniforms: ``num_uniforms`` numbers in [0, 1), in any shape.

        Raises:
            ValueError: The image has no area, or an array has the wrong shape.
        """


class MatchedTarget(Protocol):
    """A distribution in bins that source sizes can be matched with."""

    @property
    def edges(self) -> FloatArray:
        """Borders of the bins in pixels, (bins + 1,), ascending."""

    @property
    def running_sum(self) -> FloatArray:
        """Share of the objects up to the end of each bin, (bins,)."""


@dataclass(frozen=True, eq=False)
class SampledScaleMatch:
    """Scale Match (SM): sizes drawn from the target (README 1.3, 1.5).

    Args:
        target: Distribution of the sizes to reach.
        limits: Allowed scales and number of draws.
    """

    target: SizeHistogram
    limits: ScaleLimits = field(default_factory=ScaleLimits)

    @property
    def num_uniforms(self) -> int:
        """Two numbers a draw: one for the bin, one for the place in the bin."""
        return 2 * self.limits.max_tries

    def scale_for(self, size: float, uniforms: npt.ArrayLike) -> float:
        """The scale for an image with objects of a size: of the first draw that is in range.

        Where no draw is in range the last one decides the end to clip to (quirk 9).

        Args:
            size: Source size in pixels, > 0.
            uniforms: (max_tries, 2) or as many numbers flat, each row the r and u of a draw.
        """
        pairs = np.asarray(uniforms, dtype=np.float64).reshape(self.limits.max_tries, 2)
        scales = self.target.draw(pairs[:, 0], pairs[:, 1]) / size
        inside = np.flatnonzero(self.limits.contains(scales))
        return self.limits.resolve(float(scales[inside[0] if len(inside) else -1]))

    def decide(
        self, boxes_xywh: npt.ArrayLike, width: int, height: int, uniforms: npt.ArrayLike
    ) -> ScaleDecision:
        """See :meth:`ScalePolicy.decide`; ``uniforms`` may have the shape (max_tries, 2)."""
        boxes = CountedBoxes.of_image(boxes_xywh, width, height)
        return _decide(boxes, self.limits, lambda size: self.scale_for(size, uniforms))


@dataclass(frozen=True, eq=False)
class MonotoneScaleMatch:
    """Monotone Scale Match (MSM): source sizes mapped onto target sizes in order (README 1.6).

    Bin k of the source holds the same share of boxes as bin k of the target; inside a bin the map
    is linear in pixels. Sizes beyond the edges are mapped to the target's first or last edge, and a
    source bin without width to the lower edge of its target bin (quirks 2 to 4).

    Args:
        source_edges: (bins + 1,) in pixels, ascending.
        target_edges: (bins + 1,) in pixels, ascending.
        limits: Allowed scales.

    Raises:
        InputError: The edges are not two ascending lists of equal length.
    """

    source_edges: FloatArray
    target_edges: FloatArray
    limits: ScaleLimits = field(default_factory=ScaleLimits)

    def __post_init__(self) -> None:
        for name in ("source_edges", "target_edges"):
            object.__setattr__(self, name, ascending_sizes(name, getattr(self, name)))
        if len(self.source_edges) != len(self.target_edges):
            raise InputError(
                "source_edges and target_edges must have equal lengths, "
                f"got {len(self.source_edges)} and {len(self.target_edges)}"
            )
        if len(self.source_edges) < 2:
            raise InputError("source_edges must bound at least one bin, got fewer than 2 edges")

    @classmethod
    def from_sizes(
        cls,
        source_sizes: npt.ArrayLike,
        target: MatchedTarget,
        limits: ScaleLimits | None = None,
    ) -> Self:
        """Match the sizes of the source's boxes with the target.

        Args:
            source_sizes: (n,) in pixels, those that count in the source file (README 1.1). The file
                must cover the training images, or larger ones are cut to its extremes (quirk 27).
            target: Distribution of the sizes to reach.
            limits: Allowed scales.

        Raises:
            InputError: There is no positive source size.
        """
        edges = match_edges(source_sizes, target.running_sum)
        return cls(edges, target.edges, ScaleLimits() if limits is None else limits)

    @property
    def num_uniforms(self) -> int:
        """0: the map is not random."""
        return 0

    def destination_size(self, size: float) -> float:
        """The target size for objects of a size in the source, both in pixels."""
        edges, targets = self.source_edges, self.target_edges
        last = len(edges) - 1
        if size > edges[last]:
            return float(targets[last])
        k = min(int(np.searchsorted(edges[1:] + EDGE_SLACK, size, side="left")), last - 1)
        source = float(edges[k]), float(edges[k + 1])
        return self.interpolate(size, source, (float(targets[k]), float(targets[k + 1])))

    @staticmethod
    def interpolate(size: float, source: tuple[float, float], target: tuple[float, float]) -> float:
        """The place in a target bin of a size's place in a source bin; linear in pixels.

        Args:
            size: In pixels; outside of the source bin it counts as the nearer edge.
            source: Lower and upper edge; a bin without width gives the lower target edge.
            target: Lower and upper edge.
        """
        width = source[1] - source[0]
        inside = min(max((size - source[0]) / width, 0.0), 1.0) if width > 0.0 else 0.0
        return target[0] + inside * (target[1] - target[0])

    def scale_for(self, size: float) -> float:
        """The scale for an image with objects of a size in pixels."""
        return self.limits.resolve(self.destination_size(size) / size)

    def decide(
        self,
        boxes_xywh: npt.ArrayLike,
        width: int,
        height: int,
        uniforms: npt.ArrayLike = (),
    ) -> ScaleDecision:
        """See :meth:`ScalePolicy.decide`; ``uniforms`` is not used."""
        boxes = CountedBoxes.of_image(boxes_xywh, width, height)
        return _decide(boxes, self.limits, self.scale_for)


def match_edges(sizes: npt.ArrayLike, cumulative: npt.ArrayLike) -> FloatArray:
    """Cut source sizes into bins that hold the shares of the target's bins (README 1.6).

    Args:
        sizes: (n,) in pixels, in any order; those that are not positive do not count.
        cumulative: Running sum of the target's probabilities, (bins,).

    Returns:
        (bins + 1,) ascending edges, each the size of a box, from the smallest to the largest.

    Raises:
        InputError: There is no positive size, or one is not finite.
    """
    ordered = ordered_sizes("source sizes", sizes)
    shares = np.asarray(cumulative, dtype=np.float64)
    ranks = np.minimum((shares * len(ordered)).astype(np.int64), len(ordered) - 1)
    edges: FloatArray = ordered[np.concatenate([[0], ranks])]
    edges[-1] = ordered[-1]  # The running sum may end below 1.
    return edges


def _decide(
    boxes: CountedBoxes, limits: ScaleLimits, scale_for: Callable[[float], float]
) -> ScaleDecision:
    """What policies share: image without boxes, new size, dropped boxes, fall-back (README 1.7)."""
    default = limits.default_scale
    default_size = scaled_size(default, boxes.width, boxes.height)
    size_before = boxes.geometric_mean()
    if size_before is None:
        return ScaleDecision(default, default_size, boxes.mask, fallback=False, source_size=None)
    scale = scale_for(size_before)
    size = scaled_size(scale, boxes.width, boxes.height)
    keep = boxes.staying(size)
    if keep.any():
        return ScaleDecision(scale, size, keep, fallback=False, source_size=size_before)
    # As in the original, default_scale is not checked again and every box is handed on (quirk 12).
    return ScaleDecision(default, default_size, boxes.mask, fallback=True, source_size=size_before)
