import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import (
    ExactTiling,
    SourceImage,
    SourceWindows,
    counted_sizes_of,
    every_nth,
    result_sizes,
)
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_limits import ScaleLimits
from scale_match.core.size_map import SizeMap
from scale_match.core.size_summary import ks_distance
from source_images import drawn_images

TARGET = SizeHistogram.from_sizes(np.exp(np.random.default_rng(5).normal(2.3, 0.7, 3000)))
IMAGES = drawn_images(60)


def windows(**arguments):
    size_map = SizeMap(np.array([10.0, 100.0]), np.array([5.0, 20.0]))
    return SourceWindows(size_map, **{"largest": (64, 64), **arguments})


def an_image(boxes, image_id=1, size=(400, 400)):
    return SourceImage.of_boxes(image_id, *size, np.array(boxes, dtype=np.float64).reshape(-1, 4))


def test_the_anchor_gets_its_size_in_the_target():
    image = an_image([[100, 100, 100, 100]])
    window = windows().around(image, 0, np.array([0.5, 0.0, 0.0]))
    assert result_sizes([window]).tolist() == [20.0]
    assert window.size == (64, 64)


def test_a_box_whose_size_asks_for_another_zoom_is_kept_out():
    image = an_image([[100, 100, 100, 100], [210, 120, 10, 10], [110, 210, 90, 90]])
    window = windows().around(image, 0, np.array([0.5, 0.9, 0.9]))
    assert window.keep.tolist() == [True, False, True]
    assert not window.ignored.any()
    assert window.corner[2] <= 210
    tolerant = windows(tolerance=9.0).around(image, 0, np.array([0.5, 0.9, 0.9]))
    assert tolerant.corner[2] > 210


def test_a_zoom_is_kept_in_its_limits():
    image = an_image([[100, 100, 100, 100]])
    window = windows(limits=ScaleLimits((0.1, 0.15))).around(image, 0, np.array([0.5, 0, 0]))
    assert result_sizes([window])[0] == pytest.approx(15.0, rel=0.02)


def test_a_thin_anchor_is_not_scaled_away():
    image = an_image([[100, 100, 4, 2500]], size=(3000, 400))
    window = windows().around(image, 0, np.array([0.5, 0, 0]))
    assert window.keep.tolist() == [True]


def test_boxes_that_do_not_count_are_neither_kept_nor_ignored():
    image = an_image([[100, 100, 100, 100], [150, 150, 1, 1], [390, 390, 0, 5]])
    assert image.counted.tolist() == [True, False, False]
    window = windows().around(image, 0, np.array([0.5, 0, 0]))
    assert window.keep.tolist() == [True, False, False]
    assert not window.ignored.any()


def test_an_image_without_boxes_comes_whole_and_no_larger_than_a_tile():
    image = an_image([])
    assert windows().whole(image).size == (64, 64)
    assert windows(largest=(300, 300)).whole(image).size == (100, 100)  # at 0.25
    tiling = ExactTiling(windows())
    assert tiling.sample(image, np.zeros(4)).corner == (0, 0, 400, 400)


def test_the_sizes_in_tiles_follow_the_target():
    tiling = ExactTiling.from_images(IMAGES, TARGET)
    rng = np.random.default_rng(3)
    samples = [tiling.sample(image, rng.random(4)) for _ in range(10) for image in IMAGES]
    assert ks_distance(result_sizes(samples), TARGET.cdf) < 0.04
    assert all(window.size <= (512, 640) for window in samples)


def test_each_box_may_be_the_anchor():
    image = an_image([[0, 0, 50, 50], [100, 300, 1, 1], [200, 200, 100, 100], [5, 300, 70, 70]])
    tiling = ExactTiling(windows(tolerance=1.0))
    shown = [tiling.sample(image, [draw, 0.5, 0.5, 0.5]).keep for draw in (0.0, 0.5, 0.999)]
    assert [each[[0, 2, 3]].tolist()[place] for place, each in enumerate(shown)] == [True] * 3
    assert tiling.num_uniforms == 4


def test_a_calibration_plays_images_from_the_whole_list():
    assert every_nth(list(range(10)), most=4) == [0, 3, 6, 9]
    assert every_nth(list(range(4)), most=4) == [0, 1, 2, 3]
    assert counted_sizes_of([an_image([[0, 0, 4, 9], [0, 0, 1, 9]]), an_image([])]).tolist() == [6]


def test_images_without_boxes_that_count_are_refused():
    with pytest.raises(InputError, match="source sizes must hold at least one box"):
        ExactTiling.from_images([an_image([])], TARGET)


def test_no_windows_give_no_sizes():
    assert result_sizes([]).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"largest": (0, 64)}, r"largest must be a height and a width >= 1, got \(0, 64\)"),
        ({"tolerance": 0.9}, "tolerance must be at least 1, got 0.9"),
        ({"tolerance": float("nan")}, "tolerance must be at least 1, got nan"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        windows(**arguments)
