"""Whether to cut images into tiles, how large, and with how much overlap."""

import inspect
from dataclasses import dataclass

import numpy as np

from scale_match.core.data_summary import Objects
from scale_match.core.records import BoolArray, FloatArray, IntArray
from scale_match.core.tiles import tile_grid

__all__ = ["DEFAULT_OVERLAP", "DEFAULT_TILE", "TileAdvice", "advise_tiles", "whole_in_a_tile"]

_DEFAULTS = inspect.signature(tile_grid).parameters
DEFAULT_TILE: tuple[int, int] = _DEFAULTS["tile"].default
"""(width, height) in pixels, the one of ``core.tiles``."""
DEFAULT_OVERLAP: tuple[int, int] = _DEFAULTS["overlap"].default
"""(horizontal, vertical) in pixels, likewise."""

# Tiles are a multiple of the coarsest stride of a ResNet, so that nothing is padded.
_TILE_STEP = 32
_OVERLAP_STEP = 10
# Share of the objects that the overlap is meant to keep whole.
_WHOLE = 0.99


@dataclass(frozen=True, slots=True)
class TileAdvice:
    """How to cut the images.

    Attributes:
        enabled: False where the images are no larger than a tile, or the objects so large that
            tiles would cut them.
        tile: (width, height) in pixels.
        overlap: (horizontal, vertical) in pixels.
        tiles_per_image: Mean; 1 without tiles.
        whole_share: Share of the objects that lie whole in a tile at least; None without objects.
        default_whole_share: The same with the default tile and overlap.
        reason: One line.
    """

    enabled: bool
    tile: tuple[int, int]
    overlap: tuple[int, int]
    tiles_per_image: float
    whole_share: float | None
    default_whole_share: float | None
    reason: str


def advise_tiles(objects: Objects) -> TileAdvice:
    """Tile and overlap for a data set of M >= 1 images; N may be 0."""
    sides = objects.image_sides
    default_share = _whole_share(objects, DEFAULT_TILE, DEFAULT_OVERLAP)
    needed = list(DEFAULT_OVERLAP)
    if len(objects):
        needed = np.ceil(np.quantile(objects.boxes[:, 2:], _WHOLE, axis=0)).astype(int).tolist()
    typical = np.quantile(sides, 0.9, axis=0).astype(int).tolist()
    if not _larger_than(typical, DEFAULT_TILE):
        reason = (
            f"nine of ten images are no larger than {typical[0]}x{typical[1]} px, one tile of "
            f"{DEFAULT_TILE[0]}x{DEFAULT_TILE[1]}"
        )
        return TileAdvice(False, DEFAULT_TILE, DEFAULT_OVERLAP, 1.0, None, default_share, reason)
    if default_share is None or default_share >= _WHOLE:
        overlap = DEFAULT_OVERLAP
        reason = "the default holds the objects"
    else:
        overlap = (_overlap(needed[0], 0), _overlap(needed[1], 1))
        reason = (
            f"99 % of the objects are no larger than {needed[0]}x{needed[1]} px, which the overlap "
            "must hold"
        )
    tile = (_tile(overlap[0], 0), _tile(overlap[1], 1))
    if not _larger_than(typical, tile):
        reason = (
            f"one object of a hundred is larger than {needed[0]}x{needed[1]} px, and tiles that "
            "hold it would be as large as the images"
        )
        return TileAdvice(False, tile, overlap, 1.0, None, default_share, reason)
    distinct, counts = np.unique(sides.astype(np.int64), axis=0, return_counts=True)
    grids = [tile_grid(*size, tile=tile, overlap=overlap) for size in distinct.tolist()]
    num_tiles = sum(len(grid) * count for grid, count in zip(grids, counts.tolist(), strict=True))
    share = _whole_share(objects, tile, overlap)
    return TileAdvice(True, tile, overlap, num_tiles / len(sides), share, default_share, reason)


def whole_in_a_tile(objects: Objects, tile: tuple[int, int], overlap: tuple[int, int]) -> BoolArray:
    """Which objects lie whole in one tile of their image at least, (N,).

    Boxes that stick out of their image are judged by the part inside.
    """
    sides = objects.image_sides[objects.rows]  # (N, 2)
    low = np.clip(objects.boxes[:, :2], 0, sides)
    high = np.clip(objects.boxes[:, :2] + objects.boxes[:, 2:], 0, sides)
    whole = np.zeros(len(objects), np.bool_)
    distinct, group = np.unique(sides, axis=0, return_inverse=True)
    for index, (width, height) in enumerate(distinct.astype(int).tolist()):
        grid = tile_grid(width, height, tile=tile, overlap=overlap)
        members = np.flatnonzero(group.reshape(-1) == index)
        # The grid is the product of its columns and rows, so x and y are judged apart.
        inside = [
            _inside_one(grid[:, [axis, axis + 2]], low[members, axis], high[members, axis])
            for axis in (0, 1)
        ]
        whole[members] = inside[0] & inside[1]
    return whole


def _inside_one(spans: IntArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Which intervals lie in one of the spans, all of one length, (N,)."""
    starts, ends = np.unique(spans[:, 0]), np.unique(spans[:, 1])
    # The last span that begins before the interval reaches farthest.
    last = np.searchsorted(starts, low, side="right") - 1
    return np.asarray(ends[last] >= high)


def _whole_share(objects: Objects, tile: tuple[int, int], overlap: tuple[int, int]) -> float | None:
    return float(whole_in_a_tile(objects, tile, overlap).mean()) if len(objects) else None


def _larger_than(sides: list[int], tile: tuple[int, int]) -> bool:
    """Whether an image has clearly more than a tile in one direction; a tenth is not worth it."""
    return sides[0] > 1.1 * tile[0] or sides[1] > 1.1 * tile[1]


def _overlap(needed: int, axis: int) -> int:
    return max(DEFAULT_OVERLAP[axis], -(-needed // _OVERLAP_STEP) * _OVERLAP_STEP)


def _tile(overlap: int, axis: int) -> int:
    """The default, or larger, so that neighbours share no more than half of a tile."""
    return max(DEFAULT_TILE[axis], -(-2 * overlap // _TILE_STEP) * _TILE_STEP)
