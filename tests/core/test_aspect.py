import numpy as np
import pytest

from scale_match.core.aspect import mean_aspect, stretched_size


def test_the_mean_is_geometric():
    assert mean_aspect([[0, 0, 2, 8], [9, 9, 8, 2]]) == pytest.approx(1.0)
    assert mean_aspect([[0, 0, 10, 30]]) == pytest.approx(3.0)


def test_boxes_without_area_do_not_count():
    assert mean_aspect([[0, 0, 2, 8], [0, 0, 0, 5], [0, 0, 5, -1]]) == pytest.approx(4.0)
    assert mean_aspect([]) is None
    assert mean_aspect([[0, 0, 0, 5]]) is None


def test_stretching_reaches_the_wanted_mean_and_keeps_the_area():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(0, 500, (20, 2)), rng.uniform(5, 90, (20, 2))], axis=1)
    height, width = stretched_size(600, 800, 2.5 / mean_aspect(boxes))
    ratios = [width / 800, height / 600]
    assert mean_aspect(boxes * [*ratios, *ratios]) == pytest.approx(2.5, rel=0.01)
    assert height * width == pytest.approx(600 * 800, rel=0.01)


def test_a_side_has_at_least_one_pixel():
    assert stretched_size(1, 9, 0.001) == (1, 285)
