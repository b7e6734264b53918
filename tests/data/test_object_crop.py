import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.data.augmentation import ScaleMatchAugInput
from scale_match.data.object_crop import ObjectCrop, ObjectCropTransform

IMAGE = np.random.default_rng(0).integers(0, 100, (120, 200, 3), dtype=np.uint8)


def run(boxes, seed=0, crop=(40, 60), scales=(1.0, 1.0)):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    aug_input = ScaleMatchAugInput(IMAGE, boxes=boxes, rng=np.random.default_rng(seed))
    ObjectCrop(crop, scales)(aug_input)
    return aug_input


def test_the_crop_is_centred_on_the_object():
    result = run([[100, 50, 110, 70]])
    assert (result.image == IMAGE[40:80, 75:135]).all()
    assert result.boxes.tolist() == [[25, 10, 35, 30]]


def test_at_the_border_the_crop_is_moved_into_the_image():
    assert (run([[0, 0, 4, 4]]).image == IMAGE[:40, :60]).all()
    assert (run([[190, 110, 200, 120]]).image == IMAGE[80:, 140:]).all()


def test_the_image_is_resized_before():
    result = run([[100, 50, 110, 70]], scales=(2.0, 2.0))
    assert result.boxes.tolist() == [[20, 0, 40, 40]]
    widths = {run([[100, 50, 110, 70]], s, scales=(0.5, 2.0)).boxes[0, 2] for s in range(9)}
    assert len(widths) > 6


def test_each_object_has_its_turn():
    boxes = [[0, 0, 10, 10], [190, 110, 200, 120], [100, 60, 100, 70]]
    drawn = {tuple((run(boxes, seed).boxes[:, 2] > 0).tolist()) for seed in range(20)}
    assert drawn == {(True, False, False), (False, True, False)}


def test_a_box_that_is_cut_too_much_loses_its_area():
    # The crop is around one of two: of the first of the others 0.707 of the size is left.
    boxes = [[100, 50, 110, 70], [60, 50, 90, 60], [59, 50, 90, 60], [60.5, 50, 89.5, 60]]
    result = {tuple(map(tuple, run(boxes, seed).boxes.tolist())) for seed in range(30)}
    centred = next(each for each in result if each[0] == (25, 10, 35, 30))
    assert centred[1:] == ((-15, 10, 15, 20), (0, 0, 0, 0), (-14.5, 10, 14.5, 20))


def test_the_object_that_the_crop_is_centred_on_stays_however_large():
    boxes = [[20, 10, 180, 110], [60, 20, 140, 100]]
    result = {tuple(map(tuple, run(boxes, seed).boxes.tolist())) for seed in range(20)}
    assert result == {
        ((-50, -30, 110, 70), (0, 0, 0, 0)),
        ((0, 0, 0, 0), (-10, -20, 70, 60)),
    }


def test_the_transform_itself_moves_any_box():
    transform = ObjectCropTransform(50, 10, 40, 40)
    assert transform.apply_box(np.array([[40.0, 0, 60, 10]])).tolist() == [[-10, -10, 10, 0]]


def test_empty_images_are_cropped_anywhere():
    crops = {run([], seed).image.tobytes() for seed in range(5)}
    assert len(crops) == 5
    assert run([]).image.shape == (40, 60, 3)
    assert run([]).boxes.shape == (0, 4)


def test_a_small_image_is_padded():
    result = run([[0, 0, 50, 50]], crop=(200, 300))
    assert (result.image[:120, :200] == IMAGE).all()
    assert (result.image[120:] == 128).all()
    assert (result.image[:, 200:] == 128).all()
    assert run([], crop=(200, 300)).image.shape == (200, 300, 3)


@pytest.mark.parametrize(
    ("crop", "scales", "message"),
    [
        ([40], [1, 1], r"crop_size must be a height and a width in whole pixels, got \[40\]"),
        ([40, 0], [1, 1], "crop_size must be a height and a width in whole pixels"),
        ([40, 6.5], [1, 1], "crop_size must be a height and a width in whole pixels"),
        ([40, 60], [2, 1], r"scales must be two numbers 0 < low <= high, got \[2, 1\]"),
        ([40, 60], [0, 1], "scales must be two numbers 0 < low <= high"),
        ([40, 60], [1], "scales must be two numbers 0 < low <= high"),
    ],
)
def test_settings_that_break_a_rule_are_named(crop, scales, message):
    with pytest.raises(InputError, match=message):
        ObjectCrop(crop, scales)
