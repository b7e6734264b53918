import numpy as np

from scale_match.core.packing import pack


def test_rectangles_fill_rows():
    assert pack([(4, 6), (3, 6), (2, 4)], (8, 10)).tolist() == [[0, 0], [0, 4], [6, 0]]


def test_what_has_no_room_is_left_out_and_what_comes_after_is_not():
    assert pack([(4, 10), (9, 9), (4, 11), (6, 2)], (10, 10)).tolist() == [
        [0, 0],
        [-1, -1],
        [-1, -1],
        [0, 4],
    ]


def test_nothing_overlaps_or_leaves_the_canvas():
    rng = np.random.default_rng(0)
    for _ in range(50):
        sizes = [tuple(size) for size in rng.integers(1, 40, (60, 2)).tolist()]
        covered = np.zeros((100, 120), int)
        for (height, width), (x, y) in zip(sizes, pack(sizes, (100, 120)).tolist(), strict=True):
            if x >= 0:
                assert x + width <= 120
                assert y + height <= 100
                covered[y : y + height, x : x + width] += 1
        assert covered.max() == 1
        assert covered.mean() > 0.35


def test_nothing_to_pack_gives_no_place():
    assert pack([], (5, 5)).shape == (0, 2)
