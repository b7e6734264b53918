"""The log-normal distribution that Gaussian Scale Match aims at."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.gaussian_target import GaussianTarget, log_moments

MU, SIGMA = 2.6, 0.8


def ideal_sample(count):
    return np.array([NormalDist().inv_cdf((k + 0.5) / count) for k in range(count)])


class TestAnalytic:
    def test_edges_lie_at_exact_quantiles_of_2000_samples(self):
        # 0.5 / 2000, 1/4, 1/2, 3/4, 1 - 0.5 / 2000 of the standard normal distribution
        z = np.array([-3.480756404346, -0.674489750196, 0, 0.674489750196, 3.480756404346])
        target = GaussianTarget.analytic(MU, SIGMA, bins=4)
        np.testing.assert_allclose(target.edges, np.exp(MU + SIGMA * z), rtol=1e-11)
        assert target.probabilities.tolist() == [0.25] * 4
        assert target.running_sum.tolist() == [0.25, 0.5, 0.75, 1.0]

    def test_agrees_with_an_ideal_sample(self):
        analytic = GaussianTarget.analytic(MU, SIGMA, bins=100)
        sampled = GaussianTarget.from_sample(ideal_sample(2000), MU, SIGMA, bins=100)
        np.testing.assert_allclose(analytic.edges[[0, -1]], sampled.edges[[0, -1]], rtol=1e-12)
        np.testing.assert_allclose(analytic.edges, sampled.edges, rtol=0.01)
        np.testing.assert_allclose(analytic.probabilities, sampled.probabilities, rtol=1e-12)

    def test_min_size_gives_the_quantiles_of_the_rest(self):
        target = GaussianTarget.analytic(MU, SIGMA, bins=50, min_size=8.0)
        normal = NormalDist(MU, SIGMA)
        left_out = normal.cdf(math.log(8.0))
        shares = [normal.cdf(math.log(edge)) for edge in target.edges]
        expected = left_out + (1 - left_out) * np.array(
            [0.5 / 2000, *(k / 50 for k in range(1, 50)), 1 - 0.5 / 2000]
        )
        np.testing.assert_allclose(shares, expected, rtol=1e-10)
        assert target.edges[0] > 8.0

    @pytest.mark.parametrize("min_size", [0.0, -3.0])
    def test_without_min_size_nothing_is_left_out(self, min_size):
        target = GaussianTarget.analytic(MU, SIGMA, min_size=min_size)
        assert target.edges[0] < 1.0
        assert target.edges[50] == pytest.approx(math.exp(MU), rel=1e-12)

    def test_mu_in_another_unit_scales_the_sizes(self):
        one, two = (GaussianTarget.analytic(mu, SIGMA).edges for mu in (MU, MU + math.log(2)))
        np.testing.assert_allclose(two, 2 * one, rtol=1e-12)

    def test_one_bin_is_enough(self):
        assert len(GaussianTarget.analytic(MU, SIGMA, bins=1).edges) == 2


class TestSample:
    def test_edges_are_every_so_manieth_sample(self):
        # 10 samples, 4 bins: step 3, so 3 + 3 + 3 + 1
        sample = np.arange(10.0)
        target = GaussianTarget.from_sample(sample[::-1], 1.0, 0.1, bins=4)
        expected = np.exp(1 + 0.1 * np.array([0, 3, 6, 9, 9]))
        np.testing.assert_allclose(target.edges, expected, rtol=1e-14)
        np.testing.assert_allclose(target.probabilities, [0.3, 0.3, 0.3, 0.1])

    def test_fewer_bins_than_asked_for_where_they_hold_all_samples(self):
        target = GaussianTarget.from_sample(np.arange(5.0), 0.0, 1.0, bins=4)
        np.testing.assert_allclose(target.probabilities, [0.4, 0.4, 0.2])

    def test_min_size_is_in_pixels_and_left_out_itself(self):
        sample = np.log([1.0, 2.0, 4.0, 8.0])
        target = GaussianTarget.from_sample(sample, 0.0, 1.0, bins=2, min_size=2.0)
        np.testing.assert_allclose(target.edges, [4, 8, 8])

    def test_the_sample_stays_as_it_is(self):
        sample = np.array([3.0, 1.0, 2.0])
        GaussianTarget.from_sample(sample, 0.0, 1.0, bins=2)
        assert sample.tolist() == [3, 1, 2]

    @pytest.mark.parametrize(
        ("sample", "options", "message"),
        [
            ([1.0, np.nan], {}, "must hold finite numbers only"),
            ([1.0], {}, "must hold at least 2 numbers .* min_size 0.0, got 1 of 1"),
            ([1.0, 2.0, 3.0], {"min_size": 9.0}, "above min_size 9.0, got 1 of 3"),
            ([1.0, 2.0], {"bins": 0}, "bins must be at least 1, got 0"),
        ],
    )
    def test_samples_that_cannot_be_used(self, sample, options, message):
        with pytest.raises(InputError, match=message):
            GaussianTarget.from_sample(sample, 0.0, 1.0, **options)


class TestCdf:
    def test_it_is_linear_in_the_logarithm_between_edges(self):
        target = GaussianTarget(np.array([1.0, 4.0, 16.0]), np.array([0.25, 0.75]))
        shares = target.cdf(np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 99.0]))
        np.testing.assert_allclose(shares, [0, 0, 0.125, 0.25, 0.625, 1, 1])

    def test_it_follows_the_normal_distribution(self):
        target = GaussianTarget.analytic(MU, SIGMA)
        sizes = np.linspace(2, 80, 50)
        exact = [NormalDist(MU, SIGMA).cdf(math.log(size)) for size in sizes]
        np.testing.assert_allclose(target.cdf(sizes), exact, atol=2e-3)


def test_log_moments_are_mean_and_deviation_of_the_logarithms():
    sizes = np.random.default_rng(0).lognormal(MU, SIGMA, 200_000)
    assert log_moments(sizes) == (pytest.approx(MU, abs=0.01), pytest.approx(SIGMA, abs=0.01))
    with pytest.raises(InputError, match="sizes are all equal; give mu_sigma"):
        log_moments([4.0, 4.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 0.0}, "mu_sigma must be the mean and the positive deviation .* got 2.6 and 0.0"),
        ({"mu": math.nan}, "mu_sigma must be"),
        ({"sigma": math.inf}, "mu_sigma must be"),
        ({"mu": 25.0, "sigma": 212.0}, r"mu_sigma must give sizes that are numbers, but exp\("),
        ({"bins": 0}, "bins must be at least 1, got 0"),
        ({"bins": 2001}, "bins must be at most 2000 for gsm, got 2001"),
        ({"min_size": math.nan}, "min_size must be a finite number of pixels, got nan"),
        ({"min_size": 1e9}, "min_size must leave a part of the distribution .* got 10+.0 pixels"),
    ],
)
def test_settings_that_cannot_be_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        GaussianTarget.analytic(**{"mu": MU, "sigma": SIGMA, **arguments})
