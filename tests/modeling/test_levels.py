"""One description of the pyramid, and what follows from it."""

import pytest

from scale_match.core.errors import InputError
from scale_match.modeling.levels import PyramidLevels


def test_default_is_the_pyramid_of_adap_retinanet():
    levels = PyramidLevels()

    assert levels.strides == (4, 8, 16, 32, 64)
    assert levels.feature_names == ("p2", "p3", "p4", "p5", "p6")
    assert levels.bottom_up_features == ("res2", "res3", "res4", "res5")
    assert levels.num_extra_levels == 1
    assert levels.num_anchors == 9


def test_anchor_sizes_start_at_twice_the_stride_and_divide_an_octave_in_three():
    first, second, *_, last = PyramidLevels().anchor_sizes

    assert first == pytest.approx((8.0, 10.0794, 12.6992), abs=1e-4)  # 8 x 2^(0, 1/3, 2/3)
    assert second == pytest.approx([2 * size for size in first])
    assert last == pytest.approx((128.0, 161.2699, 203.1873), abs=1e-4)


def test_stride_8_pyramid_is_the_usual_retinanet():
    levels = PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4)

    assert levels.feature_names == ("p3", "p4", "p5", "p6", "p7")
    assert levels.bottom_up_features == ("res3", "res4", "res5")
    assert levels.num_extra_levels == 2
    # detectron2's configs/common/models/retinanet.py: 32 to 512 px
    assert [sizes[0] for sizes in levels.anchor_sizes] == [32, 64, 128, 256, 512]


def test_three_fine_levels_need_no_res5():
    levels = PyramidLevels(strides=(4, 8, 16))

    assert levels.bottom_up_features == ("res2", "res3", "res4")
    assert levels.num_extra_levels == 0
    assert levels.pooled_features == ("p2", "p3", "p4")


def test_a_second_stage_pools_from_the_four_finest_levels():
    assert PyramidLevels().pooled_features == ("p2", "p3", "p4", "p5")
    assert PyramidLevels(strides=(8, 16)).pooled_features == ("p3", "p4")


def test_one_size_per_level():
    levels = PyramidLevels(scales_per_octave=1, aspect_ratios=(0.5, 1, 2))

    assert levels.anchor_sizes == ((8.0,), (16.0,), (32.0,), (64.0,), (128.0,))
    assert levels.num_anchors == 3


def test_lists_make_the_same_pyramid_as_tuples():
    from_lists = PyramidLevels(
        strides=[4, 8, 16, 32, 64], anchor_scale=2, aspect_ratios=[0.5, 1, 2]
    )

    assert from_lists == PyramidLevels()
    assert hash(from_lists) == hash(PyramidLevels())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strides": ()}, r"`strides` must start at one of \[4, 8, 16, 32\], received \[\]"),
        ({"strides": (2, 4, 8)}, r"must start at one of .* received \[2, 4, 8\]"),
        ({"strides": (64, 128)}, r"must start at one of .* received \[64, 128\]"),
        ({"strides": (4, 16)}, r"must double from level to level, received \[4, 16\]"),
        ({"strides": (8, 4)}, r"must double from level to level, received \[8, 4\]"),
        ({"strides": (4, 8, 12)}, r"must double from level to level"),
        ({"anchor_scale": 0}, r"`anchor_scale` must be positive, received 0"),
        ({"anchor_scale": float("nan")}, r"`anchor_scale` must be positive, received nan"),
        ({"scales_per_octave": 0}, r"`scales_per_octave` must be a whole number .* received 0"),
        ({"scales_per_octave": 1.5}, r"`scales_per_octave` must be a whole number .* received 1.5"),
        ({"aspect_ratios": ()}, r"`aspect_ratios` must be positive numbers, received \[\]"),
        ({"aspect_ratios": (1, -2)}, r"`aspect_ratios` must be positive .* received \[1.0, -2.0\]"),
    ],
)
def test_a_pyramid_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        PyramidLevels(**wrong)
