"""Which pyramid and which FCOS ranges suit the objects of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scale_match.core.anchor_recall import (
    Pyramid,
    anchors_per_megapixel,
    best_anchor_ious,
    recall_by_size,
    spread_sample,
)
from scale_match.core.data_summary import Objects, size_range_shares
from scale_match.core.records import FloatArray

__all__ = [
    "AnchorAdvice",
    "FcosAdvice",
    "advise_fcos",
    "choose_pyramid",
    "data_aspect_ratios",
    "describe_pyramid",
]

# Boxes that candidates are compared on; the chosen pyramid is described on more.
_SEARCH_BOXES = 4000
_FINAL_BOXES = 200_000
# A candidate must be this much better (share of the boxes) to be worth more anchors.
_WORTH = 0.01
# The same in one size range, and the share of the objects from which on a range matters.
_WORTH_IN_RANGE, _COMMON = 0.05, 0.01
# Coarse levels hardly count: one more of them is no more anchors worth speaking of.
_SAME_COST = 1.1
# Limits of the authors' Adap FCOS, in strides: 16 px at stride 4 and so on.
_FCOS_LIMIT = 4

AnyPyramid = TypeVar("AnyPyramid", bound=Pyramid)


@dataclass(frozen=True, slots=True)
class AnchorAdvice:
    """What the anchors of a pyramid mean for a data set.

    Attributes:
        strides: Of the levels in pixels.
        anchor_sizes: Square roots of the anchors' areas in pixels, per level.
        aspect_ratios: Height over width.
        recall: "all" or size range -> share of the objects that an anchor can become positive for;
            None where there is no object.
        mean_iou: Mean IoU of the objects with their best anchor.
        anchors_per_megapixel: What the heads cost.
    """

    strides: tuple[int, ...]
    anchor_sizes: tuple[tuple[float, ...], ...]
    aspect_ratios: tuple[float, ...]
    recall: Mapping[str, float | None]
    mean_iou: float
    anchors_per_megapixel: float

    @property
    def anchor_scale(self) -> float:
        """Side of the smallest square anchor of a level in units of its stride."""
        return self.anchor_sizes[0][0] / self.strides[0]

    @property
    def scales_per_octave(self) -> int:
        """Anchor sizes per level."""
        return len(self.anchor_sizes[0])


@dataclass(frozen=True, slots=True)
class FcosAdvice:
    """Regression ranges for an anchor-free detector on the same levels.

    Attributes:
        strides: Of the levels in pixels.
        ranges: Per level the least and greatest distance from a point to the farthest side of its
            box, in pixels; -1 and None are the open ends.
        shares: Share of the objects that each level gets.
    """

    strides: tuple[int, ...]
    ranges: tuple[tuple[float, float | None], ...]
    shares: tuple[float, ...]


def data_aspect_ratios(ratios: FloatArray) -> tuple[float, float, float]:
    """Three ratios in the middle of the lower, middle and upper third of those given.

    Args:
        ratios: Height over width, > 0, (N,), N >= 1.

    >>> data_aspect_ratios(np.array([0.5, 0.5, 1.0, 1.0, 3.0, 3.0]))
    (0.5, 1.0, 3.0)
    """
    low, middle, high = np.exp(np.quantile(np.log(ratios), (1 / 6, 1 / 2, 5 / 6))).round(2).tolist()
    return low, middle, high


def choose_pyramid(candidates: Sequence[AnyPyramid], objects: Objects) -> AnyPyramid:
    """The cheapest candidate that reaches about as many objects as the best one.

    Args:
        candidates: Those that are equally good and equally cheap count in this order, so that the
            usual ones come first.
        objects: N >= 1.

    Returns:
        Of the candidates within 0.01 of the highest recall, and within 0.05 of it in each size
        range that holds a hundredth of the objects, the first of those with the fewest anchors.
    """
    rows = spread_sample(objects, _SEARCH_BOXES)
    boxes, sides = objects.boxes[rows], objects.image_sides[objects.rows[rows]]
    sizes = objects.sizes[rows]
    shares = {"all": 1.0, **size_range_shares(sizes)}
    recalls = [
        recall_by_size(best_anchor_ious(candidate, boxes, sides), sizes) for candidate in candidates
    ]
    common = [label for label in recalls[0] if shares[label] >= _COMMON]
    table = np.array([[recall[label] for label in common] for recall in recalls], np.float64)
    lacking = table.max(axis=0) - table  # (candidates, ranges), "all" first
    good = np.flatnonzero((lacking[:, 0] <= _WORTH) & (lacking <= _WORTH_IN_RANGE).all(axis=1))
    if not len(good):  # no candidate is good everywhere: what is good on the whole
        good = np.flatnonzero(lacking[:, 0] <= _WORTH)
    costs = {k: anchors_per_megapixel(candidates[k]) for k in good.tolist()}
    least = min(costs.values())
    return candidates[next(k for k, cost in costs.items() if cost <= _SAME_COST * least)]


def describe_pyramid(pyramid: Pyramid, objects: Objects, *, zoom: float = 1.0) -> AnchorAdvice:
    """What the anchors of a pyramid mean for a data set.

    Args:
        pyramid: Strides and anchors.
        objects: N >= 1.
        zoom: Factor by which the images are enlarged first; sizes for the ranges stay as they are.
    """
    rows = spread_sample(objects, _FINAL_BOXES)
    sides = objects.image_sides[objects.rows[rows]]
    ious = best_anchor_ious(pyramid, zoom * objects.boxes[rows], zoom * sides)
    return AnchorAdvice(
        strides=tuple(pyramid.strides),
        anchor_sizes=tuple(tuple(sizes) for sizes in pyramid.anchor_sizes),
        aspect_ratios=tuple(pyramid.aspect_ratios),
        recall=recall_by_size(ious, objects.sizes[rows]),
        mean_iou=float(ious.mean()),
        anchors_per_megapixel=anchors_per_megapixel(pyramid),
    )


def advise_fcos(strides: Sequence[int], objects: Objects) -> FcosAdvice:
    """Ranges for FCOS on the levels with these strides.

    The limit between two levels is four strides of the finer one, as in the authors' Adap FCOS. A
    box belongs where the point at its centre puts it, by half its longer side.

    Args:
        strides: In pixels, ascending.
        objects: N >= 1.
    """
    limits = [float(_FCOS_LIMIT * stride) for stride in strides[:-1]]
    ranges = tuple(zip([-1.0, *limits], [*limits, None], strict=True))
    level = np.searchsorted(limits, objects.boxes[:, 2:].max(axis=1) / 2, side="left")
    counts = np.bincount(level, minlength=len(strides))
    return FcosAdvice(tuple(strides), ranges, tuple((counts / counts.sum()).tolist()))
