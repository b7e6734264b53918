import numpy as np
import pytest

from scale_match.core.erasing import erase_regions, touched_pixels


def image(height=20, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def filled_by_loops(pixels, box):
    """The rule, pixel by pixel: every pixel that shares area with the box gets their mean."""
    x, y, w, h = box
    inside = [
        (row, column)
        for row in range(pixels.shape[0])
        for column in range(pixels.shape[1])
        if min(column + 1, x + w) > max(column, x) and min(row + 1, y + h) > max(row, y)
    ]
    result = pixels.copy()
    mean = [round(sum(int(pixels[place][c]) for place in inside) / len(inside)) for c in range(3)]
    for place in inside:
        result[place] = mean
    return result


def test_a_region_gets_its_mean_colour_and_the_rest_stays():
    before = image()
    after = erase_regions(before, [[3, 4, 10, 6]])
    mean = np.rint(before[4:10, 3:13].reshape(-1, 3).mean(axis=0))
    assert (after[4:10, 3:13] == mean).all()
    untouched = np.ones(before.shape[:2], dtype=bool)
    untouched[4:10, 3:13] = False
    np.testing.assert_array_equal(after[untouched], before[untouched])


@pytest.mark.parametrize("seed", range(5))
def test_random_regions_agree_with_the_rule_written_as_loops(seed):
    rng = np.random.default_rng(seed)
    box = [*rng.uniform(-5, 20, 2).round(2), *rng.uniform(0.5, 15, 2).round(2)]
    before = image(seed=seed)
    np.testing.assert_array_equal(erase_regions(before, [box]), filled_by_loops(before, box))


def test_parts_outside_the_image_are_left_out():
    before = image()
    inside = erase_regions(before, [[0, 15, 5, 5]])
    np.testing.assert_array_equal(erase_regions(before, [[-7, 15, 12, 99]]), inside)
    np.testing.assert_array_equal(erase_regions(before, [[30, 0, 5, 5], [-9, -9, 9, 9]]), before)


def test_a_region_without_area_changes_nothing():
    before = image()
    regions = [[3.5, 4.5, 0, 6], [3.5, 4.5, 6, 0], [3, 3, 0, 0]]
    np.testing.assert_array_equal(erase_regions(before, regions), before)
    np.testing.assert_array_equal(erase_regions(before, []), before)


def test_objects_stay_visible_in_a_region_but_count_for_its_mean():
    before = image()
    covered = erase_regions(before, [[2, 2, 12, 12]])
    after = erase_regions(before, [[2, 2, 12, 12]], [[4.5, 5.5, 2, 2], [20, 0, 3, 3]])
    np.testing.assert_array_equal(after[5:8, 4:7], before[5:8, 4:7])
    covered[5:8, 4:7] = before[5:8, 4:7]
    np.testing.assert_array_equal(after, covered)


def test_the_means_are_those_of_the_image_as_it_came():
    before = np.zeros((1, 4), dtype=np.uint8)
    before[0] = [0, 100, 200, 60]
    after = erase_regions(before, [[0, 0, 2, 1], [1, 0, 2, 1]])
    assert after.tolist() == [[50, 150, 150, 60]]  # not 125, the mean after the first filling


def test_grey_images_and_the_argument_stay_what_they_are():
    before = image()[..., 0].copy()
    copy = before.copy()
    after = erase_regions(before, [[0, 0, 30, 20]])
    assert after.shape == before.shape
    assert len(np.unique(after)) == 1
    np.testing.assert_array_equal(before, copy)


def test_a_corner_that_misses_a_pixel_border_by_rounding_lies_on_it():
    assert touched_pixels([[0.1 + 0.2 - 0.3, 0, 3 * 0.1 * 10, 1]], 9, 9).tolist() == [[0, 0, 3, 1]]
    assert touched_pixels([[2.9999999, 0, 2, 1]], 9, 9).tolist() == [[3, 0, 5, 1]]


def test_a_box_smaller_than_a_pixel_touches_one():
    assert touched_pixels([[2.2, 3.3, 0.2, 0.2]], 9, 9).tolist() == [[2, 3, 3, 4]]
