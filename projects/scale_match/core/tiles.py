"""Cutting large images into overlapping tiles, and giving boxes to them.

One edge rule for everything (oracle README "Tile (corner)"): a tile that would stick out of the
image is moved back inside, so that all tiles have the full size, except in an image that is smaller
than a tile. Coordinates as in :mod:`scale_match.core.boxes`; tiles are whole numbers with
x2 and y2 exclusive.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import box_areas, clip_boxes_xyxy, xywh_to_xyxy, xyxy_to_xywh
from scale_match.core.checks import whole_number
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray, IntArray

__all__ = ["assign_boxes_to_tile", "tile_grid"]


def tile_grid(
    width: int,
    height: int,
    *,
    tile: tuple[int, int] = (640, 512),
    overlap: tuple[int, int] = (100, 100),
) -> IntArray:
    """Tiles that cover an image.

    Args:
        width: Width of the image in pixels, >= 1.
        height: Height of the image in pixels, >= 1.
        tile: (width, height) of a tile in pixels.
        overlap: (horizontal, vertical) overlap of neighbours in pixels, smaller than the tile. The
            last tile of a row or column may overlap more.

    Returns:
        (N, 4) XYXY: top to bottom, in each row left to right; no tile occurs twice.

    Raises:
        InputError: An argument is not a whole number or out of its range.

    >>> tile_grid(1000, 512).tolist()
    [[0, 0, 640, 512], [360, 0, 1000, 512]]
    """
    tile_width, tile_height = _pair("tile", tile, minimum=1)
    overlap_x, overlap_y = _pair("overlap", overlap, minimum=0)
    x1, x2 = _axis("width", width, tile_width, overlap_x)
    y1, y2 = _axis("height", height, tile_height, overlap_y)
    rows = np.repeat(np.arange(len(y1)), len(x1))
    columns = np.tile(np.arange(len(x1)), len(y1))
    return np.stack([x1[columns], y1[rows], x2[columns], y2[rows]], axis=1)


def assign_boxes_to_tile(
    boxes_xywh: npt.ArrayLike, tile: Sequence[int] | IntArray, *, keep: float = 0.7
) -> tuple[IntArray, FloatArray]:
    """Find the boxes that belong to a tile, cut to it.

    A box belongs to a tile if sqrt(clipped area) / sqrt(area) >= ``keep``, so with 0.7 if 49 % of
    its area lie inside. It may belong to several tiles, or to none; one without area to none.

    Args:
        boxes_xywh: (N, 4) XYWH in image coordinates.
        tile: (4,) XYXY in image coordinates, as from :func:`tile_grid`.
        keep: Smallest ratio of the sizes, in (0, 1].

    Returns:
        Indices of the boxes, ascending, (K,), and the clipped boxes, (K, 4) XYWH in coordinates of
        the tile.

    Raises:
        InputError: ``keep`` is out of range.
        ValueError: The boxes are not (N, 4), or the tile is not (4,) with positive sides.
    """
    if not 0.0 < keep <= 1.0:
        raise InputError(f"keep must be in (0, 1], got {keep!r}")
    x1, y1, x2, y2 = np.asarray(tile, dtype=np.float64)
    if not (x2 > x1 and y2 > y1):
        raise ValueError(f"a tile must have positive sides, got {tile!r}")
    corners = xywh_to_xyxy(boxes_xywh) - np.array([x1, y1, x1, y1])
    clipped = xyxy_to_xywh(clip_boxes_xyxy(corners, x2 - x1, y2 - y1))
    before, after = box_areas(boxes_xywh), box_areas(clipped)
    indices = np.flatnonzero((before > 0.0) & (np.sqrt(after) >= keep * np.sqrt(before)))
    return indices, clipped[indices]


def _axis(name: str, length: int, tile: int, overlap: int) -> tuple[IntArray, IntArray]:
    """Starts and ends of the tiles on one axis: 0, tile - overlap, ..., length - tile."""
    length = whole_number(name, length, minimum=1)
    if overlap >= tile:
        raise InputError(f"overlap must be smaller than the tile's {name} {tile}, got {overlap}")
    starts = np.arange(0, max(1, length - overlap), tile - overlap, dtype=np.int64)
    starts = np.minimum(starts, max(0, length - tile))
    return starts, np.minimum(starts + tile, length)


def _pair(name: str, values: tuple[int, int], *, minimum: int) -> tuple[int, int]:
    try:
        x, y = values
    except (TypeError, ValueError):
        raise InputError(f"{name} must be two whole numbers, got {values!r}") from None
    return whole_number(name, x, minimum=minimum), whole_number(name, y, minimum=minimum)
