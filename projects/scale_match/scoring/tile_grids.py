"""The tile grid behind a tile ("corner") file, read off its corners."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scale_match.core.errors import InputError
from scale_match.core.records import Annotations
from scale_match.core.tiles import tile_grid

__all__ = ["TileGrid", "gives_tiles", "read_tile_grid"]

_Corner = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How images were cut into tiles.

    Attributes:
        size: Width and height of a tile in pixels; None where the tiles do not show it.
        overlap: Overlap of neighbours in x and y in pixels; None likewise.
    """

    size: tuple[int, int] | None
    overlap: tuple[int, int] | None


def read_tile_grid(tiles: Annotations) -> TileGrid:
    """The grid of ``scale_match.core.tiles.tile_grid`` that gives the tiles of a file.

    Images of one tile do not show its full size, and images of two tiles in a row do not show the
    overlap, since the last tile of a row is moved back into the image. Where only one axis shows
    its overlap, the other is taken to have the same if that gives the same tiles.

    Args:
        tiles: A tile file.

    Returns:
        A grid that gives exactly these tiles; None for what they do not show.
    """
    corners = [tile.corner for tile in tiles.images if tile.corner is not None]
    rows = _starts(tiles)
    size_x, overlap_x = _axis(corners, [(w, xs) for w, _, xs, _ in rows], axis=0)
    size_y, overlap_y = _axis(corners, [(h, ys) for _, h, _, ys in rows], axis=1)
    size = None if size_x is None or size_y is None else (size_x, size_y)
    if size is None or (overlap_x is None and overlap_y is None):
        return TileGrid(size, None)
    overlap = (_first(overlap_x, overlap_y), _first(overlap_y, overlap_x))
    if gives_tiles(tiles, size, overlap):
        return TileGrid(size, overlap)
    guessed = overlap_x is None or overlap_y is None
    return TileGrid(size if guessed else None, None)


def gives_tiles(tiles: Annotations, size: Sequence[int], overlap: Sequence[int]) -> bool:
    """Whether a tile grid gives exactly the tiles of a file.

    Args:
        tiles: A tile file.
        size: Width and height of a tile in pixels.
        overlap: Overlap of neighbours in x and y in pixels.
    """
    tile, lap = (size[0], size[1]), (overlap[0], overlap[1])
    try:
        return all(
            {tuple(each) for each in tile_grid(width, height, tile=tile, overlap=lap).tolist()}
            == set(corners)
            for width, height, corners in _images(tiles)
        )
    except InputError:  # no grid at all, as with an overlap larger than the tile
        return False


def _images(tiles: Annotations) -> Iterable[tuple[int, int, list[_Corner]]]:
    """Width, height and tiles of each whole image that has tiles."""
    of_name: dict[str, list[_Corner]] = {}
    for tile in tiles.images:
        if tile.corner is not None:
            of_name.setdefault(tile.file_name, []).append(tile.corner)
    for image in tiles.old_images:
        if image.file_name in of_name:
            yield image.width, image.height, of_name[image.file_name]


def _starts(tiles: Annotations) -> list[tuple[int, int, list[int], list[int]]]:
    """Width, height, and the starts of columns and rows, of each whole image that has tiles."""
    return [
        (width, height, sorted({c[0] for c in corners}), sorted({c[1] for c in corners}))
        for width, height, corners in _images(tiles)
    ]


def _axis(
    corners: Sequence[_Corner], images: Sequence[tuple[int, list[int]]], *, axis: int
) -> tuple[int | None, int | None]:
    """Side and overlap of the tiles on an axis, from (length, starts) of the images."""
    if all(len(starts) < 2 for _, starts in images):
        return None, None
    side = max(corner[axis + 2] - corner[axis] for corner in corners)
    least, most = 0, side - 1
    for length, starts in images:
        if len(starts) > 2:
            least, most = max(least, side - starts[1]), min(most, side - starts[1])
        elif len(starts) == 2:  # any overlap up to where a third tile would be needed
            most = min(most, 2 * side - length)
    return side, least if least == most else None


def _first(overlap: int | None, other: int | None) -> int:
    return int(other or 0) if overlap is None else overlap
