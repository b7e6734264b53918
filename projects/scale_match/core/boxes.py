"""Arithmetic of axis-aligned boxes; the coordinate convention of the package is stated here.

Coordinates are absolute pixels on a continuous axis: pixel (0, 0) covers [0, 1] x [0, 1], and an
image covers [0, width] x [0, height]. There is no "+1" anywhere except where a function says so.

* XYWH (``BoxMode.XYWH_ABS``): left, top, width, height.
* XYXY (``BoxMode.XYXY_ABS``): left, top, right, bottom with right = left + width.

The size of a box is the square root of its area, in pixels (paper, section 3: "absolute size").
Functions return new arrays and leave their arguments as they are. Letters of shapes: N, M boxes.
"""

import numpy as np
import numpy.typing as npt

from scale_match.core.records import FloatArray

__all__ = [
    "GREATEST_COORDINATE",
    "as_boxes",
    "box_areas",
    "box_sizes",
    "clip_boxes_xyxy",
    "pairwise_intersection",
    "pairwise_iou",
    "xywh_to_xyxy",
    "xyxy_to_xywh",
]

# Pixels. No image is as large; products of greater numbers could leave the range of doubles.
GREATEST_COORDINATE = 1e9


def as_boxes(boxes: npt.ArrayLike) -> FloatArray:
    """View anything box-like as a float64 table, an empty sequence as one without rows.

    Args:
        boxes: (N, 4) numbers in any mode, or an empty sequence.

    Returns:
        (N, 4) float64; the argument itself where it already is that, so do not write into it.

    Raises:
        ValueError: The shape is not (N, 4).
    """
    table = np.asarray(boxes, dtype=np.float64)
    if table.size == 0:
        return table.reshape(0, 4)
    if table.ndim != 2 or table.shape[1] != 4:
        raise ValueError(f"boxes must have the shape (N, 4), got {table.shape}")
    return table


def xywh_to_xyxy(boxes: npt.ArrayLike) -> FloatArray:
    """Turn (N, 4) XYWH boxes into (N, 4) XYXY boxes."""
    table = as_boxes(boxes)
    return np.concatenate([table[:, :2], table[:, :2] + table[:, 2:]], axis=1)


def xyxy_to_xywh(boxes: npt.ArrayLike) -> FloatArray:
    """Turn (N, 4) XYXY boxes into (N, 4) XYWH boxes."""
    table = as_boxes(boxes)
    return np.concatenate([table[:, :2], table[:, 2:] - table[:, :2]], axis=1)


def box_areas(boxes_xywh: npt.ArrayLike) -> FloatArray:
    """Areas of (N, 4) XYWH boxes in square pixels, (N,); 0 where a side is negative."""
    sides = np.maximum(as_boxes(boxes_xywh)[:, 2:], 0.0)
    areas: FloatArray = sides[:, 0] * sides[:, 1]
    return areas


def box_sizes(boxes_xywh: npt.ArrayLike) -> FloatArray:
    """Sizes sqrt(w * h) of (N, 4) XYWH boxes in pixels, (N,); 0 where a side is negative.

    >>> box_sizes([[10, 10, 4, 9]]).tolist()
    [6.0]
    """
    sizes: FloatArray = np.sqrt(box_areas(boxes_xywh))
    return sizes


def clip_boxes_xyxy(boxes: npt.ArrayLike, width: float, height: float) -> FloatArray:
    """Clip XYXY boxes to an image, [0, width] x [0, height].

    Args:
        boxes: (N, 4) XYXY.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        (N, 4) XYXY; a box that lies outside becomes one without area on the border.
    """
    limits = np.array([width, height, width, height], dtype=np.float64)
    clipped: FloatArray = np.minimum(np.maximum(as_boxes(boxes), 0.0), limits)  # faster than clip
    return clipped


def pairwise_intersection(boxes_a: npt.ArrayLike, boxes_b: npt.ArrayLike) -> FloatArray:
    """Areas that the boxes of two tables share.

    Args:
        boxes_a: (N, 4) XYXY.
        boxes_b: (M, 4) XYXY.

    Returns:
        (N, M) in square pixels.
    """
    a, b = as_boxes(boxes_a)[:, None], as_boxes(boxes_b)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])  # (N, M, 2)
    np.maximum(sides, 0.0, out=sides)
    areas: FloatArray = sides[..., 0] * sides[..., 1]
    return areas


def pairwise_iou(boxes_a: npt.ArrayLike, boxes_b: npt.ArrayLike) -> FloatArray:
    """Intersection over union of the boxes of two tables.

    Args:
        boxes_a: (N, 4) XYXY.
        boxes_b: (M, 4) XYXY.

    Returns:
        (N, M) in [0, 1]; 0 where both boxes have no area.
    """
    shared = pairwise_intersection(boxes_a, boxes_b)
    areas_a = box_areas(xyxy_to_xywh(boxes_a))[:, None]
    areas_b = box_areas(xyxy_to_xywh(boxes_b))[None]
    union = areas_a + areas_b - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0.0)
