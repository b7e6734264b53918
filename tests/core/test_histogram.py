"""Size histograms: bins, distribution function, quantiles and draws."""

import pickle

import numpy as np
import pytest

from oracles import scale_match_reference as reference
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram

SIXTEEN = np.full(80, 16.0)


def lognormal_sizes(seed, count=400):
    return np.random.default_rng(seed).lognormal(2.6, 0.8, count)


def random_histogram(seed, bins=12):
    """With empty bins, bins without width, and bins that are both."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, bins)
    counts[rng.integers(bins)] += 1
    steps = rng.uniform(0.5, 4.0, bins) * (rng.random(bins) < 0.7)
    return SizeHistogram(counts, 1.0 + np.concatenate([[0.0], np.cumsum(steps)]))


class TestBins:
    def test_head_and_tail_hold_the_extremes(self):
        # 15 boxes, 5 bins: floor(15 / 5) = 3 in the head, 3 in the tail, 4..12 between in 3 bins.
        histogram = SizeHistogram.from_sizes(np.arange(15, 0, -1), bins=5)
        assert histogram.edges.tolist() == pytest.approx([1, 4, 4 + 8 / 3, 4 + 16 / 3, 12, 15])
        assert histogram.counts.tolist() == [3, 3, 3, 3, 3]

    def test_without_except_rate_the_bins_are_equal_to_the_extremes(self):
        histogram = SizeHistogram.from_sizes([1, 2, 3, 11], bins=2, except_rate=0.0)
        assert histogram.edges.tolist() == [1, 6, 11]
        assert histogram.counts.tolist() == [3, 1]

    def test_log_bins_are_equally_wide_in_the_logarithm(self):
        histogram = SizeHistogram.from_sizes(
            [1.0, 10.0, 99.0, 100.0], bins=2, log=True, except_rate=0.0
        )
        assert histogram.edges.tolist() == pytest.approx([1, 10, 100])

    @pytest.mark.parametrize("except_rate", [None, 0.0])
    def test_the_extreme_edges_are_sizes_of_boxes_also_with_log(self, except_rate):
        for seed in range(10):
            sizes = lognormal_sizes(seed)
            histogram = SizeHistogram.from_sizes(sizes, log=True, except_rate=except_rate)
            assert (histogram.edges[0], histogram.edges[-1]) == (sizes.min(), sizes.max())

    @pytest.mark.parametrize("log", [False, True])
    @pytest.mark.parametrize("bins", [3, 7, 49, 100])
    @pytest.mark.parametrize("except_rate", [None, 0.0, 0.3])
    def test_agrees_with_the_plain_reference(self, bins, log, except_rate):
        for seed in range(5):
            sizes = lognormal_sizes(seed, count=20 + 61 * seed)
            histogram = SizeHistogram.from_sizes(sizes, bins=bins, log=log, except_rate=except_rate)
            counts, edges = reference.histogram(sizes, bins, log, except_rate)
            assert histogram.counts.tolist() == counts
            np.testing.assert_allclose(histogram.edges, edges, rtol=1e-12)

    def test_every_positive_size_counts_once_in_any_order(self):
        sizes = np.concatenate([lognormal_sizes(1), [0.0, -3.0]])
        first = SizeHistogram.from_sizes(sizes)
        second = SizeHistogram.from_sizes(sizes[::-1])
        assert first.num_boxes == first.counts.sum() == 400
        np.testing.assert_array_equal(first.counts, second.counts)
        np.testing.assert_array_equal(first.edges, second.edges)

    @pytest.mark.parametrize("factor", [0.125, 8.0])
    def test_sizes_in_another_unit_give_the_same_counts(self, factor):
        sizes = lognormal_sizes(2)
        first = SizeHistogram.from_sizes(sizes)
        second = SizeHistogram.from_sizes(sizes * factor)
        np.testing.assert_array_equal(first.counts, second.counts)
        np.testing.assert_allclose(first.edges * factor, second.edges)

    def test_the_given_sizes_stay_as_they_are(self):
        sizes = np.array([5.0, 2.0, 9.0, 1.0])
        SizeHistogram.from_sizes(sizes, bins=3, log=True)
        assert sizes.tolist() == [5, 2, 9, 1]

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize("bins", [3, 4, 100])
    def test_few_boxes_make_a_histogram(self, count, bins):
        histogram = SizeHistogram.from_sizes(np.arange(1, count + 1), bins=bins)
        assert (histogram.num_boxes, len(histogram.counts)) == (count, bins)


class TestPointMass:
    @pytest.mark.parametrize("log", [False, True])
    @pytest.mark.parametrize("except_rate", [None, 0.0, 0.5])
    @pytest.mark.parametrize("count", [1, 2, 80])
    def test_equal_sizes_are_always_drawn_exactly(self, count, log, except_rate):
        histogram = SizeHistogram.from_sizes(
            np.full(count, 16.0), bins=10, log=log, except_rate=except_rate
        )
        assert histogram.num_boxes == count
        assert set(histogram.edges) == {16.0}
        r, u = np.random.default_rng(0).random((2, 50))
        assert set(histogram.draw(r, u)) == set(histogram.quantile(u)) == {16.0}
        np.testing.assert_array_equal(histogram.cdf(np.array([15.999, 16.0, 17.0])), [0, 1, 1])

    def test_equal_sizes_between_the_extremes_keep_the_edges_ascending(self):
        sizes = np.concatenate([[2.0, 3.0], SIXTEEN, [40.0, 50.0]])
        histogram = SizeHistogram.from_sizes(sizes, bins=40, log=True)
        assert histogram.edges.tolist() == [2.0, *[16.0] * 39, 50.0]

    def test_sizes_that_differ_in_the_last_bit_only(self):
        sizes = [*SIXTEEN, np.nextafter(16.0, 17.0)]
        for log in (False, True):
            histogram = SizeHistogram.from_sizes(sizes, bins=100, log=log, except_rate=0.0)
            assert histogram.num_boxes == 81


class TestDistribution:
    def test_cdf_joins_the_edges_by_straight_lines(self):
        histogram = SizeHistogram([1, 0, 3], [2, 4, 6, 10])
        sizes = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 11.0])
        expected = [0, 0, 0.125, 0.25, 0.25, 0.25, 0.625, 1, 1]
        np.testing.assert_array_equal(histogram.cdf(sizes), expected)

    def test_cdf_jumps_at_a_bin_without_width(self):
        histogram = SizeHistogram([1, 2, 1], [2, 4, 4, 6])
        np.testing.assert_allclose(histogram.cdf(np.array([np.nextafter(4, 3), 4])), [0.25, 0.75])

    @pytest.mark.parametrize("seed", range(20))
    def test_cdf_agrees_with_the_plain_reference(self, seed):
        histogram = random_histogram(seed)
        sizes = np.concatenate([np.linspace(0.5, 40, 50), histogram.edges])
        expected = [reference.cdf(histogram.counts, histogram.edges, x) for x in sizes]
        np.testing.assert_allclose(histogram.cdf(sizes), expected, atol=1e-12)

    @pytest.mark.parametrize("seed", range(20))
    def test_quantile_is_the_smallest_size_that_reaches_u(self, seed):
        histogram = random_histogram(seed)
        u = np.concatenate([np.linspace(0, 1, 101)[1:], histogram.running_sum.clip(1e-9, 1)])
        sizes = histogram.quantile(u)
        assert (histogram.cdf(sizes) >= u - 1e-12).all()
        assert (histogram.cdf(sizes * (1 - 1e-9)) < u).all()

    @pytest.mark.parametrize("seed", range(20))
    def test_quantile_and_cdf_undo_each_other_where_there_are_boxes(self, seed):
        histogram = random_histogram(seed)
        widths = np.diff(histogram.edges)
        full = np.flatnonzero((histogram.counts > 0) & (widths > 0))
        for part in (0.25, 1.0):
            sizes = histogram.edges[full] + part * widths[full]
            np.testing.assert_allclose(histogram.quantile(histogram.cdf(sizes)), sizes, rtol=1e-12)
        u = np.concatenate([histogram.cdf(histogram.edges[full] + 0.6 * widths[full])])
        np.testing.assert_allclose(histogram.cdf(histogram.quantile(u)), u, atol=1e-12)

    @pytest.mark.parametrize("seed", range(10))
    def test_quantiles_never_descend_and_stay_between_the_extremes(self, seed):
        histogram = random_histogram(seed)
        sizes = histogram.quantile(np.linspace(0, 1, 1001))
        assert (np.diff(sizes) >= 0).all()
        assert histogram.edges[0] <= sizes[0] <= sizes[-1] <= histogram.edges[-1]

    def test_the_ends_are_the_extreme_sizes_that_have_boxes(self):
        histogram = SizeHistogram([0, 2, 0, 2, 0], [1, 2, 3, 4, 5, 6])
        assert histogram.quantile(0.0) == 2
        assert histogram.quantile(0.5) == 3  # the lower end of the flat piece [3, 4]
        assert histogram.quantile(1.0) == 5

    @pytest.mark.parametrize("u", [-0.1, 1.1, np.nan])
    def test_quantiles_exist_from_0_to_1_only(self, u):
        with pytest.raises(ValueError, match=r"u must be in \[0, 1\], got"):
            random_histogram(0).quantile(u)


class TestDraw:
    @pytest.mark.parametrize("seed", range(10))
    def test_agrees_with_the_plain_reference(self, seed):
        histogram = random_histogram(seed)
        r, u = np.random.default_rng(seed).random((2, 200))
        expected = [
            reference.draw(histogram.counts, histogram.edges, *pair)
            for pair in zip(r, u, strict=True)
        ]
        np.testing.assert_allclose(histogram.draw(r, u), expected, rtol=1e-14)

    @pytest.mark.parametrize("seed", range(3))
    def test_draws_follow_the_distribution(self, seed):
        histogram = SizeHistogram.from_sizes(lognormal_sizes(seed))
        steps = (np.arange(400) + 0.5) / 400
        r, u = (grid.ravel() for grid in np.meshgrid(steps, steps))
        drawn = np.sort(histogram.draw(r, u))
        # Evenly spaced draws miss the distribution by a step of r, at most.
        ranks = np.arange(1, len(drawn) + 1) / len(drawn)
        assert np.abs(histogram.cdf(drawn) - ranks).max() < 1.5 / 400

    def test_r_within_the_slack_above_a_border_stays_below_it(self):
        histogram = SizeHistogram([1, 1], [1, 2, 3])
        r = np.array([0.5, 0.5 + 9e-7, 0.5 + 1e-6, 0.5 + 1.1e-6])
        assert histogram.draw(r, np.full(4, 0.5)).tolist() == [1.5, 1.5, 1.5, 2.5]

    def test_an_empty_bin_is_not_hit_except_the_first_near_zero(self):
        histogram = SizeHistogram([0, 3, 0, 1], [1, 2, 3, 4, 5])
        drawn = histogram.draw(np.linspace(0.01, 1, 100), np.full(100, 0.5))
        assert set(drawn) == {2.5, 4.5}
        assert histogram.draw(0.0, 0.5) == 1.5

    def test_shapes_go_together(self):
        histogram = random_histogram(0)
        assert histogram.draw(np.full((3, 1), 0.2), np.full((1, 5), 0.7)).shape == (3, 5)
        assert histogram.draw(np.zeros(0), np.zeros(0)).shape == (0,)

    @pytest.mark.parametrize(("r", "u", "name"), [(1.5, 0, "r"), (0, -1, "u"), (np.nan, 0, "r")])
    def test_uniform_numbers_outside_0_to_1_are_refused(self, r, u, name):
        with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got"):
            random_histogram(0).draw(r, u)


def test_numbers_give_numbers_and_arrays_give_arrays():
    histogram = random_histogram(3)
    for value in (histogram.cdf(5.0), histogram.quantile(0.5), histogram.draw(0.5, 0.5)):
        assert type(value) is np.float64
    grid = np.full((2, 3), 0.5)
    for values in (histogram.cdf(grid), histogram.quantile(grid), histogram.draw(grid, grid)):
        assert values.shape == (2, 3)
        assert values.dtype == np.float64


def test_probabilities_sum_to_one():
    histogram = SizeHistogram([9, 0, 9, 9], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(histogram.probabilities, [1 / 3, 0, 1 / 3, 1 / 3])
    np.testing.assert_allclose(histogram.running_sum, [1 / 3, 1 / 3, 2 / 3, 1])


class TestRebuilding:
    def test_lists_of_a_file_give_the_same_histogram(self):
        first = SizeHistogram.from_sizes(lognormal_sizes(0))
        second = SizeHistogram(first.counts.tolist(), first.edges.tolist())
        u = np.linspace(0, 1, 50)
        np.testing.assert_array_equal(first.quantile(u), second.quantile(u))
        assert (second.counts.dtype, second.edges.dtype) == (np.int64, np.float64)

    def test_survives_the_way_to_a_worker_process(self):
        first = SizeHistogram.from_sizes(lognormal_sizes(0))
        second = pickle.loads(pickle.dumps(first))
        np.testing.assert_array_equal(first.edges, second.edges)
        assert second.draw(0.3, 0.3) == first.draw(0.3, 0.3)

    def test_later_changes_of_the_given_arrays_do_not_matter(self):
        edges = np.array([1.0, 2.0])
        histogram = SizeHistogram(np.array([1]), edges)
        edges[:] = 9
        assert histogram.edges.tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("counts", "edges", "message"),
        [
            ([1, 2], [1, 2], r"edges must have one more entry than counts \(3\), got 2"),
            ([1, -2], [1, 2, 3], "counts must not be negative, got -2 at index 1"),
            ([1], [2, 1], "edges must not descend"),
        ],
    )
    def test_fields_that_do_not_fit_are_named(self, counts, edges, message):
        with pytest.raises(InputError, match=message):
            SizeHistogram(counts, edges)


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"bins": 2}, "bins must be at least 3 .* got bins=2, except_rate=None"),
            ({"bins": 2, "except_rate": 0.1}, "bins must be at least 3"),
            ({"bins": 1}, "bins must be at least 3"),
            ({"bins": 0}, "bins must be at least 1, got 0"),
            ({"bins": 10.0}, "bins must be a whole number, got 10.0"),
            ({"except_rate": -0.1}, r"except_rate must be in \[0, 1\), got -0.1"),
            ({"except_rate": 1.0}, r"except_rate must be in \[0, 1\), got 1.0"),
            ({"except_rate": np.nan}, r"except_rate must be in \[0, 1\), got nan"),
            ({"except_rate": 0.9}, "except_rate must leave a box between .* 0.9 for 3 boxes"),
        ],
    )
    def test_options_out_of_range_are_named(self, options, message):
        with pytest.raises(InputError, match=message):
            SizeHistogram.from_sizes([1.0, 2.0, 3.0], **options)

    @pytest.mark.parametrize("sizes", [[], [0.0, 0.0]])
    def test_no_usable_size(self, sizes):
        with pytest.raises(InputError, match="sizes must hold at least one box of positive size"):
            SizeHistogram.from_sizes(sizes)

    def test_an_infinite_size(self):
        with pytest.raises(InputError, match="sizes must be finite, got inf at index 1"):
            SizeHistogram.from_sizes([1.0, np.inf])
