from dataclasses import replace

import pytest

from evaluation_samples import as_annotations
from scale_match.core.records import ImageRecord
from scale_match.core.tiles import tile_grid
from scale_match.scoring.tile_grids import TileGrid, gives_tiles, read_tile_grid
from scale_match.storage.annotations import read_annotations

EMPTY = as_annotations({"images": [], "annotations": [], "categories": []})


def tiles_of(sizes, tile, overlap):
    """The tile file of images of these sizes, without boxes."""
    images = tuple(ImageRecord(i, f"{i}.jpg", w, h) for i, (w, h) in enumerate(sizes))
    tiles = []
    for image in images:
        for corner in tile_grid(image.width, image.height, tile=tile, overlap=overlap).tolist():
            width, height = corner[2] - corner[0], corner[3] - corner[1]
            tiles.append(
                ImageRecord(len(tiles), image.file_name, width, height, corner=tuple(corner))
            )
    return replace(EMPTY, images=tuple(tiles), old_images=images)


def test_the_grid_of_the_authors_split_is_read(shared):
    tiles = read_annotations(shared("oracle/merge/corner_gt.json"))
    # Rows of at most two tiles: only the columns show that it is 50.
    assert read_tile_grid(tiles) == TileGrid((640, 512), (50, 50))


@pytest.mark.parametrize(
    ("tile", "overlap"), [((64, 48), (10, 5)), ((50, 50), (0, 0)), ((33, 20), (32, 19))]
)
def test_the_grid_that_made_the_tiles_is_read(tile, overlap):
    tiles = tiles_of([(300, 200), (257, 310), (20, 10)], tile, overlap)
    assert read_tile_grid(tiles) == TileGrid(tile, overlap)
    assert gives_tiles(tiles, tile, overlap)


def test_a_row_of_two_tiles_that_just_suffice_does_not_contradict():
    # 54 + 64 = 118: with a larger overlap a third tile would be needed.
    tiles = tiles_of([(300, 200), (118, 118)], (64, 64), (10, 10))
    assert read_tile_grid(tiles) == TileGrid((64, 64), (10, 10))


def test_two_tiles_in_a_row_do_not_show_the_overlap():
    # 10 and 28 give the same tiles: the second one is moved back to start at 36.
    tiles = tiles_of([(100, 80)], (64, 64), (10, 10))
    assert tiles.images == tiles_of([(100, 80)], (64, 64), (28, 28)).images
    assert read_tile_grid(tiles) == TileGrid((64, 64), None)
    assert gives_tiles(tiles, (64, 64), (10, 28))
    assert not gives_tiles(tiles, (64, 64), (29, 10))


def test_one_tile_per_image_shows_nothing():
    tiles = tiles_of([(60, 40), (64, 64)], (64, 64), (10, 10))
    assert read_tile_grid(tiles) == TileGrid(None, None)
    assert gives_tiles(tiles, (64, 64), (10, 10))
    assert read_tile_grid(EMPTY) == TileGrid(None, None)


def test_an_axis_that_shows_nothing_is_taken_as_the_other_only_if_that_fits():
    # In y 30 would need a third tile.
    tiles = tiles_of([(300, 100)], (64, 64), (30, 10))
    assert read_tile_grid(tiles) == TileGrid((64, 64), None)
    assert read_tile_grid(tiles_of([(300, 90)], (64, 64), (30, 10))).overlap == (30, 30)


def test_tiles_that_no_grid_gives_show_nothing():
    tiles = tiles_of([(300, 200)], (64, 48), (10, 5))
    assert read_tile_grid(replace(tiles, images=tiles.images[1:])) == TileGrid(None, None)
    assert not gives_tiles(tiles, (64, 48), (10, 6))
    assert not gives_tiles(tiles, (64, 48), (64, 5))  # no grid at all


def test_images_of_one_grid_that_disagree_show_nothing():
    one = tiles_of([(300, 200)], (64, 48), (10, 5))
    two = tiles_of([(300, 200)], (64, 48), (20, 5))
    renamed = tuple(replace(tile, file_name="other.jpg") for tile in two.images)
    old = (*one.old_images, replace(one.old_images[0], file_name="other.jpg"))
    both = replace(one, images=(*one.images, *renamed), old_images=old)
    assert read_tile_grid(both).overlap is None
