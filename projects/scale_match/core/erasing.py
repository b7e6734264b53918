"""Erasing regions of an image: each is filled with its own mean colour.

TinyPerson's authors train on images whose ignored and uncertain regions are filled "with mean value
of the region in image" (their dataset page, section 3), so that a detector neither learns them as
persons nor as background. Coordinates as in :mod:`scale_match.core.boxes`.
"""

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import as_boxes, xywh_to_xyxy
from scale_match.core.records import IntArray

__all__ = ["erase_regions", "touched_pixels"]

# Corners closer than this to a pixel border lie on it: 0.1 + 0.2 must not touch one pixel more.
_ON_BORDER = 1e-6

Pixels = npt.NDArray[np.uint8]


def touched_pixels(boxes_xywh: npt.ArrayLike, width: int, height: int) -> IntArray:
    """The rectangles of whole pixels that boxes touch, cut to the image.

    Args:
        boxes_xywh: (N, 4) XYWH.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        (N, 4) XYXY, whole numbers, x2 and y2 exclusive; [0, 0, 0, 0] for a box without area and for
        one outside the image.

    >>> touched_pixels([[1.5, 2, 3, 4], [5, 5, 0, 9], [-4, 0, 6, 2]], 100, 100).tolist()
    [[1, 2, 5, 6], [0, 0, 0, 0], [0, 0, 2, 2]]
    """
    boxes = as_boxes(boxes_xywh)
    corners = xywh_to_xyxy(boxes)  # (N, 4)
    first = np.floor(corners[:, :2] + _ON_BORDER)
    last = np.ceil(corners[:, 2:] - _ON_BORDER)
    limits = np.array([width, height, width, height], dtype=np.float64)
    pixels: IntArray = np.clip(np.concatenate([first, last], axis=1), 0, limits).astype(np.int64)
    empty = (boxes[:, 2:] <= 0).any(axis=1) | (pixels[:, 2:] <= pixels[:, :2]).any(axis=1)
    pixels[empty] = 0
    return pixels


def erase_regions(
    image: Pixels, regions_xywh: npt.ArrayLike, objects_xywh: npt.ArrayLike = ()
) -> Pixels:
    """Fill regions of an image with their mean colours; objects in them stay visible.

    The mean is that of all touched pixels of a region in the image as it came, so the order of the
    regions decides only which of two overlapping ones fills their common part (the later one).

    Args:
        image: (H, W, C) or (H, W).
        regions_xywh: (R, 4) XYWH; parts outside the image, and boxes without area, are left out.
        objects_xywh: (M, 4) XYWH of boxes that are trained on: their pixels keep the image's
            content where they lie in a region.

    Returns:
        A new array like ``image``.

    >>> erase_regions(np.array([[0, 10, 20, 99]], dtype=np.uint8), [[0, 0, 3, 1]]).tolist()
    [[10, 10, 10, 99]]
    """
    height, width = image.shape[:2]
    erased = image.copy()
    for x1, y1, x2, y2 in touched_pixels(regions_xywh, width, height).tolist():
        if x2 > x1:
            colour = image[y1:y2, x1:x2].mean(axis=(0, 1), dtype=np.float64)
            erased[y1:y2, x1:x2] = np.rint(colour).astype(np.uint8)
    for x1, y1, x2, y2 in touched_pixels(objects_xywh, width, height).tolist():
        erased[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    return erased
