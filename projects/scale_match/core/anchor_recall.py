"""How well the anchors of a pyramid can meet given boxes, without a matrix of boxes and anchors.

The anchors of one level and shape are one box repeated on a grid. Their overlap with a given box is
the product of an overlap in x and one in y, and each falls with the distance of the centres. So the
best of them is the one at the nearest cell, and a data set takes one pass per anchor shape. This
counts where a box lies between the cells, which matters most for tiny ones.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from scale_match.core.data_summary import Objects, disjoint_size_ranges
from scale_match.core.records import FloatArray, IntArray

__all__ = [
    "POSITIVE_IOU",
    "Pyramid",
    "anchors_per_megapixel",
    "best_anchor_ious",
    "best_shape_ious",
    "recall_by_size",
    "spread_sample",
]

POSITIVE_IOU = 0.5
"""Least IoU at which an anchor becomes positive (``MODEL.RETINANET.IOU_THRESHOLDS``)."""


class Pyramid(Protocol):
    """What ``modeling.levels.PyramidLevels`` says about anchors."""

    @property
    def strides(self) -> Sequence[int]:
        """Of the levels, in pixels, (L,)."""

    @property
    def anchor_sizes(self) -> Sequence[Sequence[float]]:
        """Square roots of the areas of the anchors of each level, in pixels."""

    @property
    def aspect_ratios(self) -> Sequence[float]:
        """Height over width."""


def best_anchor_ious(
    pyramid: Pyramid, boxes: FloatArray, image_sides: FloatArray, *, offset: float = 0.0
) -> FloatArray:
    """The IoU of each box with the best anchor of its image.

    Args:
        pyramid: Strides and anchors.
        boxes: XYWH_ABS with positive sides, (N, 4).
        image_sides: Width and height of each box's image in pixels, (N, 2).
        offset: Centre of the first anchor in units of the stride.

    Returns:
        In [0, 1], (N,).
    """
    ratios = np.array(pyramid.aspect_ratios, np.float64)
    shapes = []
    for sizes in pyramid.anchor_sizes:
        widths = (np.array(sizes, np.float64)[:, None] / np.sqrt(ratios)).reshape(-1)
        shapes.append(np.stack([widths, widths * np.tile(ratios, len(sizes))], axis=1))
    return best_shape_ious(pyramid.strides, shapes, boxes, image_sides, offset=offset)


def best_shape_ious(
    strides: Sequence[float],
    shapes: Sequence[FloatArray],
    boxes: FloatArray,
    image_sides: FloatArray,
    *,
    offset: float = 0.0,
) -> FloatArray:
    """The same for anchors of any shapes.

    Args:
        strides: Of the levels in pixels.
        shapes: Per level the widths and heights of its anchors in pixels, (A, 2).
        boxes: XYWH_ABS with positive sides, (N, 4).
        image_sides: Width and height of each box's image in pixels, (N, 2).
        offset: Centre of the first anchor in units of the stride.

    Returns:
        In [0, 1], (N,).
    """
    best = np.zeros(len(boxes))
    centres = boxes[:, :2] + boxes[:, 2:] / 2  # (N, 2)
    areas = boxes[:, 2] * boxes[:, 3]
    for stride, sides_of_level in zip(strides, shapes, strict=True):
        last_cell = np.maximum(np.ceil(image_sides / stride) - 1, 0)
        cell = np.clip(np.rint(centres / stride - offset), 0, last_cell)
        distance = np.abs((cell + offset) * stride - centres)  # (N, 2)
        for sides in sides_of_level:
            shared = np.minimum((boxes[:, 2:] + sides) / 2 - distance, boxes[:, 2:])
            shared = np.clip(np.minimum(shared, sides), 0.0, None)
            intersection = shared[:, 0] * shared[:, 1]
            iou = intersection / (areas + sides[0] * sides[1] - intersection)
            np.maximum(best, iou, out=best)
    return best


def recall_by_size(ious: FloatArray, sizes: FloatArray) -> dict[str, float | None]:
    """Share of the boxes that some anchor meets well enough to become positive, by size.

    Args:
        ious: Of the best anchor, (N,).
        sizes: sqrt(w * h) in pixels, (N,).

    Returns:
        "all" and each disjoint size range -> share; None where there is no box.
    """
    met = ious >= POSITIVE_IOU
    groups = {"all": np.ones(len(sizes), np.bool_)}
    for label, (low, high) in disjoint_size_ranges().items():
        groups[label] = (sizes >= low) & (sizes < high)
    return {
        label: float(met[group].mean()) if group.any() else None for label, group in groups.items()
    }


def anchors_per_megapixel(pyramid: Pyramid) -> float:
    """Anchors in 10^6 pixels of an image: what the heads cost."""
    shapes = (
        len(sizes) * len(pyramid.aspect_ratios) / stride**2
        for stride, sizes in zip(pyramid.strides, pyramid.anchor_sizes, strict=True)
    )
    return 1e6 * sum(shapes)


def spread_sample(objects: Objects, most: int) -> IntArray:
    """Indices of at most so many objects, evenly over the file, ascending."""
    return np.unique(np.linspace(0, max(len(objects) - 1, 0), min(most, len(objects))).astype(int))
