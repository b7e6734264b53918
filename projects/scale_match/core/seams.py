"""How far boxes are from the seams of a tiled test, where objects are cut.

A seam is a border of a tile inside the image. The distance of a box is that of its nearest point,
so 0 if a seam cuts or touches it. Coordinates as in :mod:`scale_match.core.boxes`.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from scale_match.core.boxes import as_boxes
from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, FloatArray, IntArray
from scale_match.core.tiles import tile_grid

__all__ = [
    "SEAM_BANDS",
    "band_indices",
    "grid_seams",
    "seam_distances",
    "seams_of_tile_file",
    "tile_seams",
]

SEAM_BANDS = ("0-8", "8-16", "16-32", "32-64", "64+", "no seam")
"""Names of the bands of distances in pixels; the lower bound belongs to a band."""

_BOUNDS = np.array([8.0, 16.0, 32.0, 64.0, np.inf])


def tile_seams(tiles: Iterable[Sequence[int]], width: int, height: int) -> IntArray:
    """The seams of one image.

    Args:
        tiles: XYXY of each tile in the image.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        Lines as boxes without width (upright ones, first) or without height, (S, 4) XYXY; those of
        neighbouring tiles that continue one another are one.

    Example:
        >>> tile_seams([(0, 0, 640, 512), (360, 0, 1000, 512)], 1000, 512).tolist()
        [[360, 0, 360, 512], [640, 0, 640, 512]]
    """
    upright: dict[int, list[tuple[int, int]]] = {}
    level: dict[int, list[tuple[int, int]]] = {}
    for x1, y1, x2, y2 in tiles:
        for x in (x1, x2):
            if 0 < x < width:
                upright.setdefault(x, []).append((y1, y2))
        for y in (y1, y2):
            if 0 < y < height:
                level.setdefault(y, []).append((x1, x2))
    lines = [(x, y1, x, y2) for x in sorted(upright) for y1, y2 in _joined(upright[x])]
    lines += [(x1, y, x2, y) for y in sorted(level) for x1, x2 in _joined(level[y])]
    return np.array(lines, dtype=np.int64).reshape(-1, 4)


def grid_seams(
    annotations: Annotations,
    tile: tuple[int, int],
    overlap: tuple[int, int],
    *,
    scale: float = 1.0,
) -> dict[int, FloatArray]:
    """The seams that a tile grid has in each image.

    Args:
        annotations: The images.
        tile: Width and height of a tile in pixels of the tested image.
        overlap: Horizontal and vertical overlap in such pixels.
        scale: Size of the tested image, 1 as in the file.

    Returns:
        Image id -> seams, (S, 4) XYXY in pixels of the file.

    Raises:
        InputError: There is no such grid, or the scale is not positive.
    """
    if not scale > 0:
        raise InputError(f"the scale of the tested images must be positive, got {scale!r}")
    of_size: dict[tuple[int, int], FloatArray] = {}
    for image in annotations.images:
        size = image.width, image.height
        if size not in of_size:
            width, height = (max(1, round(side * scale)) for side in size)
            grid = tile_grid(width, height, tile=tile, overlap=overlap)
            ratios = np.array([image.width / width, image.height / height])  # undoes rounding, too
            of_size[size] = tile_seams(grid.tolist(), width, height) * np.tile(ratios, 2)
    return {image.image_id: of_size[image.width, image.height] for image in annotations.images}


def seams_of_tile_file(tiles: Annotations) -> dict[int, FloatArray]:
    """The seams of the images that a tile file cuts.

    Args:
        tiles: Its images have a corner, and equal file names connect them with its old images.

    Returns:
        Id of the old image -> seams, (S, 4) XYXY.

    Raises:
        InputError: An image has no corner.
    """
    corners: dict[str, list[tuple[int, int, int, int]]] = {}
    for each in tiles.images:
        if each.corner is None:
            raise InputError(
                f"{tiles.source}: image {each.image_id} has no corner, so it is not a tile"
            )
        corners.setdefault(each.file_name, []).append(each.corner)
    return {
        image.image_id: tile_seams(
            corners.get(image.file_name, []), image.width, image.height
        ).astype(np.float64)
        for image in tiles.old_images
    }


def seam_distances(boxes: FloatArray, images: IntArray, seams: Sequence[FloatArray]) -> FloatArray:
    """Distance of each box to the nearest seam of its image.

    Args:
        boxes: XYWH_ABS, (N, 4).
        images: Index into ``seams``, (N,).
        seams: Seams of each image, (S, 4) XYXY.

    Returns:
        In pixels; infinite where the image has no seam, (N,).

    Example:
        >>> seams = [np.array([[640.0, 0.0, 640.0, 512.0]])]
        >>> seam_distances([[600, 10, 20, 20], [630, 10, 20, 20]], np.array([0, 0]), seams).tolist()
        [20.0, 0.0]
    """
    table = as_boxes(boxes)
    distances = np.full(len(table), np.inf)
    order = np.argsort(images, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(images[order])) + 1):
        if not len(rows):
            continue
        left, top, right, bottom = (*table[rows, :2].T, *(table[rows, :2] + table[rows, 2:]).T)
        squares = np.full(len(rows), np.inf)
        for x1, y1, x2, y2 in seams[images[rows[0]]]:
            x = np.maximum(np.maximum(x1 - right, left - x2), 0.0)
            y = np.maximum(np.maximum(y1 - bottom, top - y2), 0.0)
            np.minimum(squares, x * x + y * y, out=squares)
        distances[rows] = np.sqrt(squares)
    return distances


def band_indices(distances: FloatArray) -> IntArray:
    """Index into SEAM_BANDS of each distance in pixels, (N,)."""
    return np.searchsorted(_BOUNDS, distances, side="right")


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Intervals that meet or overlap, made one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
