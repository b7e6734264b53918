import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.resampling import (
    LARGEST_WEIGHT,
    Interval,
    image_weights,
    interval,
    intervals,
)

# ---- Resamples ----


def test_a_resample_holds_as_many_images_as_there_are():
    weights = image_weights(30, resamples=200, seed=0)
    assert weights.shape == (30, 200)
    assert (weights.sum(axis=0) == 30).all()
    assert 0 == weights.min() < weights.max() <= LARGEST_WEIGHT


def test_every_image_is_drawn_equally_often_and_like_any_other():
    weights = image_weights(20, resamples=5000, seed=1)
    # Of 20 draws each hits an image with probability 1/20: mean 1, variance 0.95.
    assert weights.mean(axis=1) == pytest.approx(np.ones(20), abs=0.07)
    assert weights.var(axis=1) == pytest.approx(np.full(20, 0.95), abs=0.12)


def test_the_resamples_are_a_function_of_seed_and_number_of_images():
    first = image_weights(30, resamples=50, seed=7)
    np.random.default_rng(0).random(100)
    assert (image_weights(30, resamples=50, seed=7) == first).all()
    assert (image_weights(30, resamples=50, seed=8) != first).any()


def test_more_resamples_begin_with_the_same_ones():
    few, many = (image_weights(30, resamples=count, seed=7) for count in (5, 50))
    assert (many[:, :5] == few).all()


def test_the_random_numbers_stay_those_of_today():
    # Otherwise intervals of an old scores file could not be computed again.
    assert image_weights(6, resamples=3, seed=0).T.tolist() == [
        [1, 2, 0, 2, 0, 1],
        [2, 1, 0, 1, 1, 1],
        [0, 0, 0, 4, 1, 1],
    ]


def test_without_images_there_is_nothing_to_draw():
    assert image_weights(0, resamples=3, seed=0).shape == (0, 3)


def test_a_single_image_is_always_drawn():
    assert image_weights(1, resamples=3, seed=0).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("resamples", [0, -1])
def test_no_resample_is_refused(resamples):
    with pytest.raises(InputError, match=f"needs at least one resample; received {resamples}"):
        image_weights(3, resamples=resamples, seed=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed of a bootstrap must not be negative; received -1"):
        image_weights(3, resamples=1, seed=-1)


# ---- Intervals ----


def test_the_interval_holds_the_middle_of_the_samples():
    samples = np.random.default_rng(0).permutation(np.arange(1001) / 1000)
    found = interval(samples, level=0.95)
    assert (found.low, found.high) == (pytest.approx(0.025), pytest.approx(0.975))
    assert found.standard_error == pytest.approx(np.sqrt(1001 * 1002 / 12) / 1000)
    assert (found.num_used, found.num_left_out) == (1001, 0)


def test_a_higher_level_gives_a_wider_interval():
    samples = np.random.default_rng(0).normal(size=500)
    narrow, wide = interval(samples, level=0.5), interval(samples, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_samples_with_nothing_to_measure_are_left_out_and_counted():
    found = interval(np.array([0.25, np.nan, 0.25, np.nan, np.nan]))
    assert found == Interval(0.25, 0.25, 0.0, 2, 3)


def test_one_sample_has_no_spread():
    assert interval(np.array([0.5])) == Interval(0.5, 0.5, 0.0, 1, 0)


def test_without_any_sample_there_is_no_interval():
    assert interval(np.array([np.nan, np.nan])) is None
    assert interval(np.array([])) is None


@pytest.mark.parametrize(
    ("low", "high", "excluded"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False), (0, 0, False)],
)
def test_zero_on_the_bound_is_not_excluded(low, high, excluded):
    assert Interval(low, high, 0.1, 9, 0).excludes_zero is excluded


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(InputError, match=f"level .* between 0 and 1; received {level}"):
        interval(np.array([0.5]), level=level)


def test_several_values_have_an_interval_each():
    samples = {"tiny_50": np.array([0.5]), "small_50": np.array([np.nan])}
    assert intervals(samples) == {"tiny_50": Interval(0.5, 0.5, 0.0, 1, 0), "small_50": None}
