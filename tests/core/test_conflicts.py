"""The search for boxes that overlap too much."""

import numpy as np
import pytest

from oracles.nms_reference import iou
from scale_match.core.conflicts import Conflicts


def random_boxes(seed, count, dtype):
    rng = np.random.default_rng(seed)
    corners = np.round(rng.uniform(0, 40, (count, 2)))
    boxes = np.concatenate([corners, corners + np.round(rng.uniform(0, 15, (count, 2)))], axis=1)
    return boxes.astype(dtype)


def all_conflicts(boxes, threshold, plus_one, inclusive):
    """(i, j) of every pair of different boxes that overlaps too much, in both orders."""
    extra = boxes.dtype.type(plus_one)
    found = set()
    for i, j in np.ndindex(len(boxes), len(boxes)):
        value = iou(boxes[i], boxes[j], extra)
        if i != j and (value > threshold or (inclusive and value == threshold)):
            found.add((i, j))
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("block", [3, 1 << 18])
def test_finds_every_pair_that_overlaps_too_much(monkeypatch, block, inclusive, plus_one, dtype):
    monkeypatch.setattr("scale_match.core.conflicts._CHUNK_PAIRS", block)
    boxes = random_boxes(0, 60, dtype)
    expected = all_conflicts(boxes, 0.25, plus_one, inclusive)
    conflicts = Conflicts(boxes, 0.25, plus_one=plus_one, inclusive=inclusive)

    chosen = np.arange(0, 60, 2)
    within = set(
        zip(*(chosen[part].tolist() for part in conflicts.pairs_within(chosen)), strict=True)
    )
    assert within == {(i, j) for i, j in expected if i < j and i % 2 == j % 2 == 0}

    first, second = np.arange(20), np.arange(20, 60)
    between = [
        pair
        for blocks in conflicts.pairs_between(first, second)
        for pair in zip(first[blocks[0]].tolist(), second[blocks[1]].tolist(), strict=True)
    ]
    assert set(between) == {(i, j) for i, j in expected if i < 20 <= j}
    assert len(set(between)) == len(between)


def test_no_boxes_have_no_conflicts():
    conflicts = Conflicts(np.zeros((1, 4)), 0.5, plus_one=False, inclusive=False)
    none = np.zeros(0, dtype=np.int64)
    assert [len(part) for part in conflicts.pairs_within(none)] == [0, 0]
    assert all(len(hit) == 0 for _, hit in conflicts.pairs_between(none, np.array([0])))
