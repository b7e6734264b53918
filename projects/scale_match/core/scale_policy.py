"""By how much an image is scaled so that its objects get the sizes of the target: Scale Match.

A policy looks at the boxes of one image and decides; it draws nothing itself (uniform numbers come
in as an argument) and resizes nothing. Rules: ``../shared/oracle/scale_match/README.md`` sections
1.4 to 1.7 in the variant "v1" (the paper's own code) with the fixes that its section 2 advises.

* Sampled Scale Match (SM): the geometric mean of the boxes becomes a size drawn from the target.
* Monotone Scale Match (MSM): it becomes the target size at the same place of the distribution of
  the source, so that small stays small and large stays large.

Both know per-box distributions and one scale per image, so the result only roughly has the target's
distribution (README, quirk 13).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import as_boxes
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.records import BoolArray, FloatArray

__all__ = [
    "MonotoneScaleMatch",
    "SampledScaleMatch",
    "ScaleDecision",
    "ScaleLimits",
    "ScalePolicy",
    "match_edges",
    "scaled_size",
    "source_size",
]

# The bin of a source size is the first one with size <= upper edge + EDGE_SLACK (README 1.6).
EDGE_SLACK = 1e-6

# A box stays when both its sides are at least this long after scaling, in the +1 convention of the
# original: x2 - x1 + 1 >= 2 with x2 = x1 + w - 1 (README 1.7).
MIN_INCLUSIVE_SPAN = 1.0


@dataclass(frozen=True)
class ScaleLimits:
    """Which scales are allowed, and what happens to the others.

    The defaults are those of the published experiments, not of the original classes (quirk 29).

    Args:
        scale_range: (low, high); a scale must be strictly between them.
        default_scale: Scale of an image without boxes, of one whose boxes would all vanish, and,
            with ``out_of_range="default"``, of one whose scale is not in the range.
        out_of_range: "clip" sets such a scale to the nearer end, "default" to ``default_scale``.
        max_tries: Draws of sampled Scale Match before ``out_of_range`` applies to the last of them.

    Raises:
        InputError: A value breaks its rule.
    """

    scale_range: tuple[float, float] = (0.1, 1.0)
    default_scale: float = 0.25
    out_of_range: Literal["clip", "default"] = "clip"
    max_tries: int = 5

    def __post_init__(self) -> None:
        _check_range(self.scale_range)
        if not (np.isfinite(self.default_scale) and self.default_scale > 0):
            raise InputError(f"default_scale must be positive, got {self.default_scale!r}")
        if self.out_of_range not in ("clip", "default"):
            raise InputError(f'out_of_range must be "clip" or "default", got {self.out_of_range!r}')
        tries = self.max_tries
        if isinstance(tries, bool) or not isinstance(tries, (int, np.integer)) or tries < 1:
            raise InputError(f"max_tries must be a whole number >= 1, got {tries!r}")

    def contains(self, scale: npt.ArrayLike) -> BoolArray:
        """Which scales are inside the range; both ends are outside (quirk 10)."""
        low, high = self.scale_range
        values = np.asarray(scale, dtype=np.float64)
        return np.asarray((low < values) & (values < high))

    def resolve(self, scale: float) -> float:
        """The scale to use where a policy wants ``scale``."""
        if self.contains(scale):
            return float(scale)
        if self.out_of_range == "default":
            return self.default_scale
        low, high = self.scale_range
        return float(min(max(scale, low), high))


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
        return _decide(
            _count_boxes(boxes_xywh, width, height),
            (height, width),
            self.limits.default_scale,
            lambda size: self.scale_for(size, uniforms),
        )


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
            object.__setattr__(self, name, _checked_edges(name, getattr(self, name)))
        if len(self.source_edges) != len(self.target_edges):
            raise InputError(
                "source_edges and target_edges must have equal lengths, "
                f"got {len(self.source_edges)} and {len(self.target_edges)}"
            )

    @classmethod
    def from_sizes(
        cls,
        source_sizes: npt.ArrayLike,
        target: SizeHistogram,
        limits: ScaleLimits | None = None,
    ) -> "MonotoneScaleMatch":
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
        width = edges[k + 1] - edges[k]
        inside = min(max((size - edges[k]) / width, 0.0), 1.0) if width > 0.0 else 0.0
        return float(targets[k] + inside * (targets[k + 1] - targets[k]))

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
        return _decide(
            _count_boxes(boxes_xywh, width, height),
            (height, width),
            self.limits.default_scale,
            self.scale_for,
        )


def source_size(boxes_xywh: npt.ArrayLike, width: int, height: int) -> float | None:
    """Geometric mean of the sizes of an image's boxes (README 1.4, v1).

    As in the original, boxes are clipped to the image in inclusive pixel corners, x2 = x + w - 1,
    within [0, width - 1] x [0, height - 1]. A box counts when x2 > x1 and y2 > y1 then, so not when
    it is outside, has no area, or is at most one pixel wide or high.

    Args:
        boxes_xywh: (N, 4) XYWH, without crowd and ignored boxes.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        The size in pixels; None where no box counts.

    Raises:
        ValueError: The image has no area, or the boxes are not (N, 4).
    """
    counted = _count_boxes(boxes_xywh, width, height)
    return _geometric_mean(counted.spans[counted.mask])


def scaled_size(scale: float, width: int, height: int) -> tuple[int, int]:
    """New (height, width) of an image: rounded half to even, at least 1 (README 1.7, quirk 16).

    >>> scaled_size(0.25, 640, 586)  # 146.5 is rounded to the even number
    (146, 160)
    """
    return max(1, round(scale * height)), max(1, round(scale * width))


def match_edges(sizes: npt.ArrayLike, cumulative: npt.ArrayLike) -> FloatArray:
    """Cut source sizes into bins that hold the shares of the target's bins (README 1.6).

    Args:
        sizes: (n,) in pixels, in any order; those that are not positive do not count.
        cumulative: Running sum of the target's probabilities, (bins,).

    Returns:
        (bins + 1,) ascending edges, each the size of a box, from the smallest to the largest.

    Raises:
        InputError: There is no positive size.
    """
    values = np.asarray(sizes, dtype=np.float64).reshape(-1)
    ordered = np.sort(values[values > 0.0])
    if len(ordered) == 0:
        raise InputError(f"the source needs a box of positive size, got {len(values)} boxes")
    shares = np.asarray(cumulative, dtype=np.float64)
    ranks = np.minimum((shares * len(ordered)).astype(np.int64), len(ordered) - 1)
    edges: FloatArray = ordered[np.concatenate([[0], ranks])]
    edges[-1] = ordered[-1]  # The running sum may end below 1.
    return edges


class _CountedBoxes(NamedTuple):
    """The boxes of an image after the original's clipping.

    Attributes:
        mask: Which of the given boxes count, (N,).
        spans: x2 - x1 and y2 - y1 of inclusive corners, so one less than the sides, (N, 2).
    """

    mask: BoolArray
    spans: FloatArray


def _count_boxes(boxes_xywh: npt.ArrayLike, width: int, height: int) -> _CountedBoxes:
    if width < 1 or height < 1:
        raise ValueError(f"an image needs at least one pixel, got width={width}, height={height}")
    boxes = as_boxes(boxes_xywh)
    last_pixel = np.array([width, height], dtype=np.float64) - 1.0
    first = np.clip(boxes[:, :2], 0.0, last_pixel)
    last = np.clip(boxes[:, :2] + boxes[:, 2:] - 1.0, 0.0, last_pixel)
    spans = last - first
    return _CountedBoxes(np.asarray((spans > 0.0).all(axis=1)), spans)


def _geometric_mean(spans: FloatArray) -> float | None:
    """exp(mean(ln size)) of boxes given by their inclusive spans, (N, 2); None of no box."""
    if len(spans) == 0:
        return None
    sizes = np.sqrt((spans[:, 0] + 1.0) * (spans[:, 1] + 1.0))
    # Relative to the largest, because exp(ln(x)) misses x in the last bits: the mean of equal sizes
    # is exactly that size, and one that sits on an edge of the source stays on it.
    largest = sizes.max()
    return float(largest * np.exp(np.mean(np.log(sizes / largest))))


def _decide(
    boxes: _CountedBoxes,
    image_size: tuple[int, int],
    default_scale: float,
    scale_for: Callable[[float], float],
) -> ScaleDecision:
    """What policies share: image without boxes, new size, dropped boxes, fall-back (README 1.7)."""
    height, width = image_size
    size_before = _geometric_mean(boxes.spans[boxes.mask])
    if size_before is None:
        size = scaled_size(default_scale, width, height)
        return ScaleDecision(default_scale, size, boxes.mask, fallback=False, source_size=None)
    scale = scale_for(size_before)
    size = scaled_size(scale, width, height)
    ratios = np.array([size[1] / width, size[0] / height])  # x, y: the true ones, after rounding
    keep = boxes.mask & (boxes.spans * ratios >= MIN_INCLUSIVE_SPAN).all(axis=1)
    if keep.any():
        return ScaleDecision(scale, size, keep, fallback=False, source_size=size_before)
    # As in the original, default_scale is not checked again and every box is handed on (quirk 12).
    size = scaled_size(default_scale, width, height)
    return ScaleDecision(default_scale, size, boxes.mask, fallback=True, source_size=size_before)


def _check_range(scale_range: tuple[float, float]) -> None:
    try:
        low, high = scale_range
        valid = bool(0.0 <= low < high < np.inf)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InputError(f"scale_range must be two numbers 0 <= low < high, got {scale_range!r}")


def _checked_edges(name: str, edges: npt.ArrayLike) -> FloatArray:
    values = np.array(edges, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise InputError(f"{name} must be a flat list of at least 2 sizes, got {edges!r}")
    if not (np.isfinite(values).all() and values[0] > 0.0 and (np.diff(values) >= 0.0).all()):
        raise InputError(f"{name} must be positive and never descend, got {values.tolist()}")
    values.setflags(write=False)
    return values
