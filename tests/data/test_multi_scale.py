import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.data.augmentation import ScaleMatchAugInput
from scale_match.data.multi_scale import MultiScalePadded

SIZES, PAD_TO = [[60, 100], [80, 133], [100, 160]], [100, 160]


def run(height, width, seed=0, sizes=SIZES, boxes=((0, 0, 10, 20),)):
    image = np.full((height, width, 3), 7, dtype=np.uint8)
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    aug_input = ScaleMatchAugInput(image, boxes=boxes, rng=np.random.default_rng(seed))
    MultiScalePadded(sizes, PAD_TO)(aug_input)
    return aug_input


def test_images_are_resized_to_fit_and_padded_on_the_right_and_below():
    result = run(60, 120, sizes=[[60, 100]])
    assert result.image.shape == (100, 160, 3)
    assert (result.image[:50, :100] == 7).all()
    assert (result.image[50:] == 128).all()
    assert (result.image[:, 100:] == 128).all()
    assert result.boxes == pytest.approx(np.array([[0, 0, 100 / 12, 50 / 3]]))


def test_every_image_gets_one_size_and_a_high_one_its_turned_version():
    for seed in range(12):
        assert run(48, 64, seed).image.shape == (100, 160, 3)
        assert run(30, 300, seed).image.shape == (100, 160, 3)
        assert run(64, 48, seed).image.shape == (160, 100, 3)


def test_each_size_is_drawn():
    heights = {(run(50, 50, seed).image[..., 0] == 7).sum() for seed in range(20)}
    assert heights == {60 * 60, 80 * 80, 100 * 100}


def test_an_image_without_boxes_is_resized_too():
    assert run(50, 80, boxes=()).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("sizes", "pad_to", "message"),
    [
        ([], [100, 160], "sizes must name at least one pair of sides, got none"),
        ([[60, 170]], [100, 160], r"sizes must fit into pad_to \[100, 160\], got \[60, 170\]"),
        ([[101, 120]], [100, 160], r"sizes must fit into pad_to \[100, 160\], got \[101, 120\]"),
        ([[60]], [100, 160], r"sizes must be whole sides 1 <= short <= long, got \[60\]"),
        ([60, 100], [100, 160], "sizes must be whole sides 1 <= short <= long, got 60"),
        ([[60.5, 90]], [100, 160], "sizes must be whole sides 1 <= short <= long"),
        ([[60, 90]], [160, 100], r"pad_to must be whole sides 1 <= short <= long, got \[160, 100"),
        ([[60, 90]], [0, 100], r"pad_to must be whole sides 1 <= short <= long, got \[0, 100"),
    ],
)
def test_settings_that_break_a_rule_are_named(sizes, pad_to, message):
    with pytest.raises(InputError, match=message):
        MultiScalePadded(sizes, pad_to)
