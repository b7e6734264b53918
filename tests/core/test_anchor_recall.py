import numpy as np
import pytest

from data_samples import objects_of, random_objects
from oracles.best_anchor_reference import best_ious
from scale_match.core.anchor_recall import (
    anchors_per_megapixel,
    best_anchor_ious,
    recall_by_size,
    spread_sample,
)
from scale_match.modeling.levels import PyramidLevels


def ious_of(pyramid, objects, **options):
    return best_anchor_ious(pyramid, objects.boxes, objects.image_sides[objects.rows], **options)


def test_a_box_that_is_an_anchor_has_iou_one():
    pyramid = PyramidLevels(strides=(4,), anchor_scale=2.0)
    assert ious_of(pyramid, objects_of([[16, 20, 8, 8]])).tolist() == [1.0]


def test_a_tiny_box_between_the_cells_is_met_badly_however_well_its_size_fits():
    pyramid = PyramidLevels(strides=(8,), anchor_scale=1.0, scales_per_octave=1)
    on_the_cell, between = objects_of([[20, 20, 8, 8]]), objects_of([[24, 24, 8, 8]])
    assert ious_of(pyramid, on_the_cell) == pytest.approx(1.0)
    assert ious_of(pyramid, between) == pytest.approx(16 / (64 + 64 - 16))


@pytest.mark.parametrize("sides", [(70, 50), (64, 64), (33, 47)])
@pytest.mark.parametrize(
    "pyramid",
    [
        PyramidLevels(strides=(4, 8, 16)),
        PyramidLevels(strides=(8, 16), anchor_scale=1.5, aspect_ratios=(0.4, 1.7)),
    ],
)
def test_the_nearest_cell_is_the_best_of_all_cells(pyramid, sides):
    objects = random_objects(3, 40, sides=sides, low=2.0, high=30.0)
    expected = best_ious(pyramid, objects.boxes.tolist(), *sides)
    np.testing.assert_allclose(ious_of(pyramid, objects), expected, rtol=1e-12)


def test_a_box_that_sticks_out_is_met_by_anchors_of_the_image_only():
    pyramid = PyramidLevels(strides=(4,))
    boxes = [[60, 60, 20, 20], [-15, 3, 20, 20]]
    expected = best_ious(pyramid, boxes, 64, 64)
    np.testing.assert_allclose(ious_of(pyramid, objects_of(boxes, (64, 64))), expected, rtol=1e-12)


def test_anchors_at_the_middle_of_cells_are_those_moved_by_half_a_stride():
    pyramid = PyramidLevels(strides=(8,), anchor_scale=1.0)
    moved = objects_of([[24, 24, 8, 8]])
    assert ious_of(pyramid, moved, offset=0.5) == pytest.approx(1.0)


def test_scaling_boxes_and_pyramid_together_changes_nothing():
    objects = random_objects(5, 30, sides=(128, 128))
    doubled = objects_of(2 * objects.boxes, (256, 256))
    small, large = PyramidLevels(strides=(4, 8)), PyramidLevels(strides=(8, 16))
    np.testing.assert_allclose(ious_of(small, objects), ious_of(large, doubled), rtol=1e-12)


def test_recall_is_the_share_that_reaches_half():
    recall = recall_by_size(np.array([0.5, 0.49, 0.9]), np.array([4.0, 5.0, 40.0]))
    assert recall == {
        "all": pytest.approx(2 / 3),
        "tiny1": 0.5,
        "tiny2": None,
        "tiny3": None,
        "small": None,
        "reasonable": 1.0,
    }
    assert set(recall_by_size(np.zeros(0), np.zeros(0)).values()) == {None}


def test_the_cost_is_the_number_of_anchors():
    assert anchors_per_megapixel(PyramidLevels(strides=(4,))) == pytest.approx(9e6 / 16)


@pytest.mark.parametrize(("count", "most"), [(0, 5), (3, 5), (1000, 7)])
def test_a_sample_spreads_over_the_file(count, most):
    rows = spread_sample(random_objects(0, count), most)
    assert len(rows) == min(count, most)
    assert (np.diff(rows) > 0).all()
    assert count == 0 or (rows[0], rows[-1]) == (0, count - 1)
