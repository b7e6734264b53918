"""All settings of a target's histogram in one value."""

import numpy as np
import pytest

from scale_match.core.counted_sizes import standardised_sizes
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.histogram_settings import HistogramSettings

SIZES = np.random.default_rng(0).lognormal(2.6, 0.8, 300)


def test_every_setting_reaches_the_histogram():
    settings = HistogramSettings(12, True, 0.3, [25, 12])
    moved = standardised_sizes(SIZES, (25.0, 12.0))
    expected = SizeHistogram.from_sizes(moved, bins=12, log=True, except_rate=0.3)
    histogram = settings.histogram(SIZES)
    assert histogram.counts.tolist() == expected.counts.tolist()
    assert histogram.edges.tolist() == expected.edges.tolist()


def test_the_defaults_are_those_of_the_histogram():
    expected = SizeHistogram.from_sizes(SIZES)
    assert HistogramSettings().histogram(SIZES).edges.tolist() == expected.edges.tolist()


def test_the_rate_is_2_of_the_bins_unless_given():
    assert HistogramSettings(8).rate == 0.25
    assert HistogramSettings(8, except_rate=0.0).rate == 0.0


def test_a_list_of_a_config_becomes_a_tuple():
    assert HistogramSettings(mu_sigma=[25, 12]) == HistogramSettings(mu_sigma=(25.0, 12.0))


@pytest.mark.parametrize("mu_sigma", [[25], [25, 12, 1], [25, 0], [-1, 12], ["a", 1], [np.nan, 1]])
def test_mean_and_deviation_are_two_positive_numbers(mu_sigma):
    with pytest.raises(InputError, match="mu_sigma must be a mean and a deviation in pixels"):
        HistogramSettings(mu_sigma=mu_sigma)


def test_bins_are_a_positive_whole_number():
    with pytest.raises(InputError, match="bins must be at least 1, got 0"):
        HistogramSettings(0)
