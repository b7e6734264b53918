"""The size of an image's objects, and its size after scaling."""

import numpy as np
import pytest

from scale_match.core.source_size import CountedBoxes, scaled_size, source_size


def test_source_size_is_the_geometric_mean():
    # 4 * 9 = 6^2 and 24 * 24: the geometric mean of 6 and 24 is 12.
    assert source_size([[0, 0, 4, 9], [30, 30, 24, 24]], 100, 100) == pytest.approx(12)


@pytest.mark.parametrize("side", [3.0, 7.3, 16.0, 50.0, 99.9])
def test_equal_boxes_have_exactly_their_size(side):
    boxes = np.tile([1.0, 1.0, side, side], (7, 1))
    assert source_size(boxes, 200, 200) == source_size(boxes[:1], 200, 200)
    if side == int(side):
        assert source_size(boxes, 200, 200) == side


def test_boxes_are_cut_to_the_image():
    # From -4 to 16 x 16 wide: 16 x 16 are inside.
    assert source_size([[-4, 0, 20, 16]], 100, 100) == 16
    assert source_size([[90, 84, 30, 16]], 100, 100) == pytest.approx(np.sqrt(160))


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 0, 0],
        [10, 10, 1, 30],  # one pixel wide: x2 == x1 in inclusive corners
        [10, 10, 0.5, 0.5],
        [-30, 10, 20, 20],
        [120, 10, 20, 20],
        [10, 10, -5, 5],
        [np.nan, 10, 5, 5],
    ],
)
def test_a_box_without_extent_in_the_image_does_not_count(box):
    assert source_size([box], 100, 100) is None
    assert source_size([box, [5, 5, 8, 8]], 100, 100) == 8


def test_no_box_has_no_size():
    assert source_size([], 100, 100) is None


def test_the_order_of_boxes_does_not_matter():
    boxes = np.random.default_rng(0).uniform(2, 40, (50, 4))
    first = source_size(boxes, 100, 100)
    assert source_size(boxes[::-1], 100, 100) == pytest.approx(first, rel=1e-14)


def test_sizes_scale_with_the_image():
    boxes = np.random.default_rng(1).uniform(2, 40, (50, 4))
    first = source_size(boxes, 100, 100)
    assert source_size(boxes * 4, 400, 400) == pytest.approx(4 * first)


def test_a_box_stays_from_two_inclusive_pixels_on():
    # 5 px wide: x2 - x1 = 4, times 0.25 exactly 1.
    boxes = CountedBoxes.of_image([[0, 0, 5, 5], [0, 0, 4.9, 5], [0, 0, 5, 4.9]], 80, 40)
    assert boxes.staying((10, 20)).tolist() == [True, False, False]


def test_height_and_width_have_ratios_of_their_own():
    boxes = CountedBoxes.of_image([[0, 0, 5, 11]], 80, 40)
    assert boxes.staying((4, 20)).tolist() == [True]
    assert boxes.staying((10, 19)).tolist() == [False]


@pytest.mark.parametrize(
    ("scale", "size"),
    [(0.5, (2, 4)), (0.25, (1, 2)), (0.1, (1, 1)), (1.0, (5, 7)), (0.7, (4, 5))],
)
def test_new_sizes_are_rounded_half_to_even_and_at_least_one(scale, size):
    assert scaled_size(scale, width=7, height=5) == size


def test_new_sizes_are_plain_numbers():
    assert [type(side) for side in scaled_size(np.float64(0.3), np.int64(50), np.int64(40))] == [
        int,
        int,
    ]


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_refused(width, height):
    with pytest.raises(ValueError, match=f"at least one pixel, got {width} x {height}"):
        source_size([], width, height)
