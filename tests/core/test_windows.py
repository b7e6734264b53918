import numpy as np
import pytest

from scale_match.core.tiles import assign_boxes_to_tile
from scale_match.core.windows import boxes_in_window, window_around

IMAGE = (100, 200)  # height, width


def around(boxes, anchor=0, reach=(1000, 1000), avoid=None, uniforms=(0.0, 0.0)):
    boxes = np.array(boxes, dtype=np.float64)
    avoid = np.ones(len(boxes), bool) if avoid is None else np.array(avoid)
    return window_around(boxes, anchor, IMAGE, reach=reach, avoid=avoid, uniforms=uniforms)


def test_alone_a_box_gets_the_whole_image():
    assert around([[10, 10, 20, 20]]) == (0, 0, 200, 100)


def test_a_window_has_the_size_that_it_may_reach_and_holds_its_box():
    box = [60.4, 40.0, 80.6, 50.0]
    assert around([box], reach=(30.7, 40), uniforms=(0.0, 0.0)) == (41, 20, 81, 50)
    assert around([box], reach=(30.7, 40), uniforms=(0.999, 0.999)) == (60, 40, 100, 70)


def test_a_box_larger_than_the_reach_is_still_whole():
    assert around([[60.4, 40.0, 80.6, 50.0]], reach=(4, 4)) == (60, 40, 81, 50)


@pytest.mark.parametrize("uniforms", [(0.0, 0.0), (0.5, 0.999), (0.999, 0.5)])
def test_windows_stay_in_the_image(uniforms):
    for box in ([0, 0, 9, 9], [190.5, 90.5, 200, 100], [0, 50, 200, 60]):
        x1, y1, x2, y2 = around([box], reach=(20, 20), uniforms=uniforms)
        assert 0 <= x1 <= box[0]
        assert box[2] <= x2 <= 200
        assert 0 <= y1 <= box[1]
        assert box[3] <= y2 <= 100


def test_boxes_to_avoid_are_cut_away_where_the_most_remains():
    # To the right of x = 149 there is less than above y = 60, so the lower part goes.
    assert around([[10, 10, 20, 20], [50, 60.5, 60, 70]]) == (0, 0, 200, 60)
    # One in the same rows can only go to the side.
    assert around([[10, 10, 20, 20], [50.5, 5, 60, 70]]) == (0, 0, 50, 100)
    assert around([[110, 10, 120, 20], [5, 5, 60.5, 70]]) == (61, 0, 200, 100)
    assert around([[110, 80, 120, 90], [105, 5, 160, 70.5]]) == (0, 71, 200, 100)


def test_boxes_not_to_avoid_and_overlapping_ones_stay():
    boxes = [[10, 10, 20, 20], [50, 60, 60, 70], [15, 15, 30, 30]]
    assert around(boxes, avoid=[True, False, True]) == (0, 0, 200, 100)


def test_no_avoided_box_beside_the_anchor_is_seen():
    rng = np.random.default_rng(0)
    for _ in range(200):
        corner = rng.uniform(0, 80, (12, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(1, 20, (12, 2))], axis=1)
        x1, y1, x2, y2 = around(boxes, uniforms=rng.random(2))
        first, last = np.floor(boxes[0, :2]), np.ceil(boxes[0, 2:])
        for box in boxes[1:]:
            beside = (np.ceil(box[2:]) <= first).any() or (np.floor(box[:2]) >= last).any()
            seen = box[0] < x2 and box[2] > x1 and box[1] < y2 and box[3] > y1
            assert not (beside and seen)


def test_boxes_follow_into_the_scaled_window():
    window = boxes_in_window(np.array([[30.0, 20.0, 50.0, 60.0]]), (20, 10, 60, 90), 0.5)
    assert window.size == (40, 20)
    assert window.boxes.tolist() == [[5, 5, 15, 25]]
    assert window.keep.tolist() == [True]
    assert window.ignored.tolist() == [False]


def test_boxes_are_kept_by_the_rule_of_the_tiles():
    rng = np.random.default_rng(3)
    xywh = np.concatenate([rng.uniform(0, 100, (500, 2)), rng.uniform(5, 60, (500, 2))], axis=1)
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    indices, _ = assign_boxes_to_tile(xywh, (30, 20, 90, 100))
    window = boxes_in_window(xyxy, (30, 20, 90, 100), 1.0)
    assert np.flatnonzero(window.keep).tolist() == indices.tolist()


def test_a_piece_of_a_box_is_ignored_and_one_outside_is_not():
    boxes = np.array([[0.0, 0.0, 30.0, 20.0], [90.0, 90.0, 99.0, 99.0]])
    window = boxes_in_window(boxes, (20, 0, 60, 40), 1.0)
    assert window.keep.tolist() == [False, False]
    assert window.ignored.tolist() == [True, False]


def test_a_box_that_becomes_too_small_is_ignored():
    # (11 - 1) * 0.1 is just enough, (10.9 - 1) * 0.1 is not.
    boxes = np.array([[0.0, 0.0, 11.0, 11.0], [0.0, 0.0, 10.9, 50.0]])
    window = boxes_in_window(boxes, (0, 0, 100, 100), 0.1)
    assert window.keep.tolist() == [True, False]
    assert window.ignored.tolist() == [False, True]


def test_a_window_has_at_least_one_pixel_and_may_hold_no_box():
    window = boxes_in_window(np.empty((0, 4)), (0, 0, 3, 3), 0.1)
    assert window.size == (1, 1)
    assert window.keep.shape == (0,)
