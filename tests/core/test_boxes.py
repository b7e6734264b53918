"""Box arithmetic."""

import numpy as np
import pytest

from scale_match.core.boxes import (
    as_boxes,
    box_areas,
    box_sizes,
    clip_boxes_xyxy,
    pairwise_intersection,
    pairwise_iou,
    xywh_to_xyxy,
    xyxy_to_xywh,
)


def random_boxes(seed, count):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-50, 50, (count, 2)), rng.uniform(0, 40, (count, 2))], 1)


def test_right_is_left_plus_width_without_plus_one():
    assert xywh_to_xyxy([[10, 20, 3, 4]]).tolist() == [[10, 20, 13, 24]]
    assert xyxy_to_xywh([[10, 20, 13, 24]]).tolist() == [[10, 20, 3, 4]]


def test_conversions_undo_each_other():
    boxes = random_boxes(0, 200)
    np.testing.assert_allclose(xyxy_to_xywh(xywh_to_xyxy(boxes)), boxes, atol=1e-12)


def test_size_is_the_square_root_of_the_area():
    np.testing.assert_array_equal(box_sizes([[0, 0, 4, 9], [5, 5, 0, 7]]), [6, 0])


def test_a_negative_side_means_no_area():
    np.testing.assert_array_equal(box_areas([[0, 0, -4, -9], [0, 0, -4, 9]]), [0, 0])


def test_clipping_leaves_an_outside_box_without_area_on_the_border():
    clipped = clip_boxes_xyxy([[-5, 2, 4, 30], [25, 2, 30, 4]], width=20, height=10)
    np.testing.assert_array_equal(clipped, [[0, 2, 4, 10], [20, 2, 20, 4]])


def test_boxes_that_touch_share_nothing():
    assert pairwise_intersection([[0, 0, 2, 2]], [[2, 0, 4, 2]]).tolist() == [[0]]


def test_iou_of_a_shifted_copy():
    # 10 x 10 shifted by 5: 50 shared of 150.
    assert pairwise_iou([[0, 0, 10, 10]], [[5, 0, 15, 10]])[0, 0] == pytest.approx(1 / 3)


def test_iou_agrees_with_one_pair_at_a_time():
    a, b = xywh_to_xyxy(random_boxes(1, 30)), xywh_to_xyxy(random_boxes(2, 20))
    iou = pairwise_iou(a, b)
    assert iou.shape == (30, 20)
    for i, j in np.ndindex(iou.shape):
        w = max(0.0, min(a[i, 2], b[j, 2]) - max(a[i, 0], b[j, 0]))
        h = max(0.0, min(a[i, 3], b[j, 3]) - max(a[i, 1], b[j, 1]))
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a[i], b[j])]
        assert iou[i, j] == pytest.approx(w * h / (sum(areas) - w * h))


def test_iou_of_boxes_without_area_is_zero():
    assert pairwise_iou([[1, 1, 1, 1]], [[1, 1, 1, 1], [0, 0, 2, 2]]).tolist() == [[0, 0]]


def test_no_boxes_have_no_pairs():
    assert pairwise_iou([], [[0, 0, 2, 2]]).shape == (0, 1)
    assert xywh_to_xyxy([]).shape == (0, 4)


def test_arguments_stay_as_they_are():
    boxes = np.array([[-5.0, -5.0, 30.0, 30.0]])
    before = boxes.copy()
    for function in (xywh_to_xyxy, xyxy_to_xywh, box_sizes, lambda b: clip_boxes_xyxy(b, 9, 9)):
        function(boxes)
    pairwise_iou(boxes, boxes)
    np.testing.assert_array_equal(boxes, before)


@pytest.mark.parametrize("shape", [(4,), (2, 5), (1, 2, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"boxes must have the shape \(N, 4\), got"):
        as_boxes(np.zeros(shape))
