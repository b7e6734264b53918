"""Gaussian Scale Match: monotone, and linear in ln(size)."""

import math
import pickle

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.gaussian_scale_match import GaussianScaleMatch
from scale_match.core.gaussian_target import GaussianTarget
from scale_match.core.scale_limits import ScaleLimits
from scale_match.core.scale_policy import MonotoneScaleMatch

POLICY = GaussianScaleMatch([10, 40, 160], [2, 8, 18])


def test_inside_a_bin_the_map_is_linear_in_the_logarithm():
    # 20 is halfway from 10 to 40, 80 from 40 to 160; halfway from 8 to 18 is 12.
    assert [POLICY.destination_size(size) for size in (20, 80)] == pytest.approx([4, 12])


def test_edges_are_mapped_to_edges_exactly_and_what_is_beyond_to_the_last():
    sizes = [1, 10, 40, 160, 1000]
    assert [POLICY.destination_size(size) for size in sizes] == [2, 2, 8, 18, 18]


def test_it_agrees_with_monotone_scale_match_at_the_edges_and_differs_between():
    monotone = MonotoneScaleMatch(POLICY.source_edges, POLICY.target_edges)
    assert POLICY.destination_size(40) == monotone.destination_size(40)
    assert POLICY.destination_size(80) > monotone.destination_size(80)


def test_keeps_the_order_of_sizes():
    rng = np.random.default_rng(0)
    target = GaussianTarget.analytic(2.6, 0.8)
    policy = GaussianScaleMatch.from_sizes(rng.lognormal(4, 1, 300), target)
    assert isinstance(policy, GaussianScaleMatch)
    sizes = [policy.destination_size(size) for size in np.linspace(0.1, 2000, 5000)]
    assert (np.diff(sizes) >= 0).all()


def test_sizes_become_normal_in_the_logarithm():
    source = np.random.default_rng(0).uniform(30, 400, 4000)
    policy = GaussianScaleMatch.from_sizes(source, GaussianTarget.analytic(2.6, 0.8))
    logs = np.log([policy.destination_size(size) for size in source])
    assert (logs.mean(), logs.std()) == (pytest.approx(2.6, abs=0.01), pytest.approx(0.8, abs=0.02))


def test_a_bin_without_width_maps_to_its_lower_target_edge():
    assert GaussianScaleMatch([16, 16, 50], [4, 10, 20]).destination_size(16) == 4


def test_limits_apply_in_both_ways():
    boxes = [[0, 0, 160, 160]]
    clipped = GaussianScaleMatch([10, 160], [2, 8], ScaleLimits((0.1, 1.0)))
    assert clipped.decide(boxes, 640, 480).scale == 0.1
    default = GaussianScaleMatch([10, 160], [2, 8], ScaleLimits((0.1, 1.0), 0.5, "default"))
    assert default.decide(boxes, 640, 480).scale == 0.5


def test_it_draws_nothing_and_travels_to_workers_in_a_few_kilobytes():
    assert POLICY.num_uniforms == 0
    policy = GaussianScaleMatch.from_sizes(np.arange(1.0, 9999.0), GaussianTarget.analytic(2, 1))
    packed = pickle.dumps(policy)
    assert len(packed) < 5000
    assert pickle.loads(packed).destination_size(77) == policy.destination_size(77)


def test_edges_that_do_not_fit_are_named():
    with pytest.raises(InputError, match="must have equal lengths, got 3 and 2"):
        GaussianScaleMatch([1, 2, 3], [1, 2])


def test_interpolation_is_between_the_given_edges():
    value = GaussianScaleMatch.interpolate(math.e, (1.0, math.e**2), (4.0, 9.0))
    assert value == pytest.approx(6.0)
    assert GaussianScaleMatch.interpolate(99.0, (1.0, 2.0), (4.0, 9.0)) == 9.0
