import numpy as np
import pytest
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.errors import InputError
from scale_match.data.augmentation import ScaleMatchAugInput
from scale_match.data.reaspect import ReAspect

IMAGE = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)


def run(ratios, boxes, seed=0):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    aug_input = ScaleMatchAugInput(IMAGE, boxes=boxes, rng=np.random.default_rng(seed))
    return aug_input, ReAspect(ratios)(aug_input)


def test_boxes_get_the_wanted_height_over_width():
    aug_input, _ = run([2.0], [[20, 20, 40, 30]])  # from 1 / 2: four times
    assert aug_input.image.shape == (200, 100, 3)
    assert aug_input.boxes.tolist() == [[10, 40, 20, 60]]


def test_each_ratio_is_drawn():
    shapes = {run([1.0, 4.0], [[20, 20, 40, 40]], seed)[0].image.shape for seed in range(20)}
    assert shapes == {(100, 200, 3), (200, 100, 3)}


@pytest.mark.parametrize("boxes", [[], [[5, 5, 5, 30]]])
def test_without_a_box_to_measure_the_image_stays(boxes):
    aug_input, transform = run([4.0], boxes)
    assert isinstance(transform, T.NoOpTransform)
    assert aug_input.image is IMAGE


@pytest.mark.parametrize("ratios", [[], [0.0], [1.0, float("inf")], [-2.0]])
def test_ratios_must_be_positive_numbers(ratios):
    with pytest.raises(InputError, match="the ratios of ReAspect must be positive numbers, got"):
        ReAspect(ratios)
