import inspect

import numpy as np
import pytest

from data_samples import objects_of, random_objects
from scale_match.core.tile_advice import (
    DEFAULT_OVERLAP,
    DEFAULT_TILE,
    advise_tiles,
    whole_in_a_tile,
)
from scale_match.core.tiles import tile_grid

DRONE = (1920, 1080)


def test_the_defaults_are_those_of_the_tile_grid():
    parameters = inspect.signature(tile_grid).parameters
    assert parameters["tile"].default == DEFAULT_TILE
    assert parameters["overlap"].default == DEFAULT_OVERLAP


@pytest.mark.parametrize("sides", [(640, 512), (300, 200), (700, 512)])
def test_images_no_larger_than_a_tile_are_not_cut(sides):
    advice = advise_tiles(objects_of([[1, 1, 9, 9]], sides))
    assert not advice.enabled
    assert advice.tiles_per_image == 1.0
    assert "no larger than" in advice.reason


def test_tiny_objects_on_large_images_get_the_default_tiles():
    advice = advise_tiles(random_objects(0, 300, sides=DRONE, low=4, high=40))
    assert (advice.enabled, advice.tile, advice.overlap) == (True, DEFAULT_TILE, DEFAULT_OVERLAP)
    assert advice.whole_share == advice.default_whole_share == 1.0
    assert advice.tiles_per_image == len(tile_grid(*DRONE))
    assert advice.reason == "the default holds the objects"


def test_objects_that_the_default_overlap_cuts_get_a_larger_one():
    advice = advise_tiles(random_objects(0, 2000, sides=(4000, 3000), low=180, high=200))
    assert advice.enabled
    assert 180 <= advice.overlap[0] <= 200
    assert advice.whole_share >= 0.99 > advice.default_whole_share


def test_a_few_objects_that_the_default_cuts_are_enough_for_a_larger_overlap():
    parts = [
        random_objects(k, n, sides=(4000, 3000), low=low, high=1.1 * low).boxes
        for k, n, low in ((0, 1800, 9), (1, 200, 300))
    ]
    advice = advise_tiles(objects_of(np.concatenate(parts), (4000, 3000)))
    assert 0.9 < advice.default_whole_share < 0.99 <= advice.whole_share
    assert advice.overlap[0] > 300


def test_a_tile_is_at_least_twice_the_overlap_and_a_multiple_of_32():
    advice = advise_tiles(random_objects(0, 500, sides=(4000, 3000), low=380, high=400))
    assert advice.tile[0] >= 2 * advice.overlap[0] > DEFAULT_TILE[0]
    assert np.mod(advice.tile, 32).tolist() == [0, 0]


def test_objects_about_as_large_as_the_images_are_not_cut():
    advice = advise_tiles(random_objects(0, 100, sides=(1000, 800), low=450, high=700))
    assert not advice.enabled
    assert "as large as the images" in advice.reason


def test_images_without_objects_are_cut_by_default():
    advice = advise_tiles(objects_of([], DRONE))
    assert (advice.enabled, advice.overlap, advice.whole_share) == (True, DEFAULT_OVERLAP, None)


def test_a_box_is_whole_where_a_tile_holds_both_of_its_sides():
    grid = {"tile": (100, 100), "overlap": (20, 20)}
    assert tile_grid(180, 100, **grid).tolist() == [[0, 0, 100, 100], [80, 0, 180, 100]]
    boxes = [[78, 5, 22, 9], [79, 5, 22, 9], [80, 5, 100, 90], [0, 0, 101, 5], [170, 0, 50, 9]]
    whole = whole_in_a_tile(objects_of(boxes, (180, 100)), **grid)
    assert whole.tolist() == [True, False, True, False, True]


def test_whole_boxes_are_those_that_a_search_of_all_tiles_finds():
    sides = [(900, 700), (640, 512), (500, 1300)]
    parts = [random_objects(k, 80, sides=one, low=30, high=250) for k, one in enumerate(sides)]
    boxes = np.concatenate([part.boxes for part in parts])
    rows = np.repeat([0, 1, 2], 80)
    found = whole_in_a_tile(objects_of(boxes, sides, rows=rows), (300, 260), (90, 70))
    expected = []
    for (x, y, w, h), row in zip(boxes, rows, strict=True):
        tiles = tile_grid(*sides[row], tile=(300, 260), overlap=(90, 70)).tolist()
        expected.append(
            any(a <= x and b <= y and x + w <= c and y + h <= d for a, b, c, d in tiles)
        )
    assert found.tolist() == expected
    assert 0 < found.sum() < len(found)
