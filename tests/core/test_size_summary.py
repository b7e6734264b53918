"""Distributions in a few numbers, and their distances."""

import numpy as np
import pytest

from oracles.scale_match_files import distance_to_cdf, kolmogorov_smirnov
from scale_match.core.histogram import SizeHistogram
from scale_match.core.size_summary import empirical_cdf, ks_distance, summarise_sizes


def test_sizes_in_a_few_numbers():
    few = summarise_sizes(np.arange(1.0, 102.0))
    assert (few.count, few.mean, few.smallest, few.largest) == (101, 51, 1, 101)
    assert few.std == pytest.approx(np.sqrt((101**2 - 1) / 12))
    assert few.percentiles == (2, 6, 26, 51, 76, 96, 100)


def test_no_size_has_no_numbers_but_its_count():
    few = summarise_sizes([])
    assert (few.count, few.mean, few.percentiles) == (0, None, None)


def test_the_share_up_to_a_size_includes_it():
    cdf = empirical_cdf([4.0, 2.0, 2.0, 9.0])
    assert cdf(np.array([1.0, 2.0, 3.9, 4.0, 9.0, 10.0])).tolist() == [0, 0.5, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize("seed", range(10))
def test_the_distance_of_two_samples_agrees_with_the_plain_one(seed):
    rng = np.random.default_rng(seed)
    # Rounded, so that sizes repeat in both.
    first, second = (rng.lognormal(mu, 0.7, 60 + 50 * mu).round(1) for mu in (2, 3))
    assert ks_distance(first, empirical_cdf(second)) == kolmogorov_smirnov(first, second)


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_to_a_continuous_function_agrees_with_the_plain_one(seed):
    rng = np.random.default_rng(seed)
    histogram = SizeHistogram.from_sizes(rng.lognormal(2, 0.7, 200))
    sample = rng.lognormal(2.3, 0.7, 100)
    expected = distance_to_cdf(sample, histogram.cdf)
    assert ks_distance(sample, histogram.cdf) == pytest.approx(expected, rel=1e-12)


def test_equal_samples_have_distance_zero_and_separate_ones_one():
    sample = np.array([3.0, 5.0, 5.0, 8.0])
    assert ks_distance(sample, empirical_cdf(sample[::-1])) == 0
    assert ks_distance(sample, empirical_cdf(sample + 10)) == 1
    assert ks_distance(sample + 10, empirical_cdf(sample)) == 1


def test_a_point_mass_is_met_exactly():
    histogram = SizeHistogram.from_sizes(np.full(9, 16.0))
    assert ks_distance([16.0, 16.0], histogram.cdf) == 0
    assert ks_distance([15.0, 16.0], histogram.cdf) == 0.5


def test_an_empty_sample_has_no_distance():
    with pytest.raises(ValueError, match="needs a sample, got none"):
        ks_distance([], empirical_cdf([1.0]))
