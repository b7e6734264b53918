import numpy as np
import pytest

from scale_match.core.overlaps import overlapping_pairs


def collected(groups, boxes, other_groups, other_boxes, **options):
    """Pair -> intersection; fails if a pair occurs twice."""
    arrays = (np.array(groups), np.array(boxes, float).reshape(-1, 4))
    others = (np.array(other_groups), np.array(other_boxes, float).reshape(-1, 4))
    found = {}
    for chunk in overlapping_pairs(*arrays, *others, **options):
        for first, second, area in zip(*chunk, strict=True):
            assert (first, second) not in found
            found[int(first), int(second)] = float(area)
    return found


def dense(groups, boxes, other_groups, other_boxes):
    found = {}
    for i, (group, (x, y, w, h)) in enumerate(zip(groups, boxes, strict=True)):
        for j, (other, (u, v, p, q)) in enumerate(zip(other_groups, other_boxes, strict=True)):
            width = min(x + w, u + p) - max(x, u)
            height = min(y + h, v + q) - max(y, v)
            if group == other and width > 0 and height > 0:
                found[i, j] = width * height
    return found


def test_two_boxes_that_overlap_give_their_intersection():
    assert collected([0], [[0, 0, 10, 10]], [0], [[6, 8, 10, 10]]) == {(0, 0): 8.0}


@pytest.mark.parametrize(
    "other",
    [[10, 0, 5, 5], [-5, 0, 5, 5], [0, 10, 5, 5], [3, 3, 0, 4], [3, 3, 4, 0], [20, 20, 2, 2]],
    ids=["right edge", "left edge", "lower edge", "no width", "no height", "apart"],
)
def test_boxes_without_a_common_area_are_no_pair(other):
    assert collected([0], [[0, 0, 10, 10]], [0], [other]) == {}
    assert collected([0], [other], [0], [[0, 0, 10, 10]]) == {}


def test_boxes_of_different_groups_are_no_pair():
    box = [0, 0, 10, 10]
    assert collected([0, 1, 2], [box] * 3, [2, 0], [box] * 2) == {(0, 1): 100.0, (2, 0): 100.0}


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_the_pairs_are_those_of_the_dense_matrix(seed, chunk):
    rng = np.random.default_rng(seed)
    if seed % 2:  # a grid: many boxes that begin and end at the same place
        first, second = (rng.integers(0, 9, (n, 4)) for n in (70, 30))
    else:
        first, second = (rng.random((n, 4)) for n in (70, 30))
    groups, others = rng.integers(0, 4, 70), rng.integers(0, 4, 30)
    pairs = collected(groups, first, others, second, chunk=chunk)
    assert pairs == dense(groups, first, others, second)
    assert pairs


def test_coordinates_that_differ_in_the_last_digit_are_told_apart():
    end = 0.1 + 0.2  # 0.30000000000000004
    assert collected([0], [[0.1, 0, 0.2, 1]], [0], [[0.3, 0, 1, 1]]).keys() == {(0, 0)}
    assert collected([0], [[0.1, 0, 0.2, 1]], [0], [[end, 0, 1, 1]]) == {}


def test_an_empty_set_has_no_pairs():
    assert collected([], [], [0], [[0, 0, 1, 1]]) == {}
    assert collected([0], [[0, 0, 1, 1]], [], []) == {}
