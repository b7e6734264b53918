"""Sizes that count: of boxes, of images, and moved to a mean and a deviation."""

import numpy as np
import pytest

from oracles import scale_match_reference as reference
from oracles.scale_match_files import annotation_table
from scale_match.core.counted_sizes import counted_sizes, image_sizes, standardised_sizes
from scale_match.core.errors import InputError


def test_neither_crowd_nor_ignored_boxes_count_but_uncertain_ones_do():
    box = {"bbox": [0, 0, 4, 9]}
    table = annotation_table(
        [
            box,
            box | {"iscrowd": 1},
            box | {"ignore": True},
            box | {"uncertain": True},
            {"bbox": [0, 0, 0, 9]},
        ]
    )
    assert counted_sizes(table).tolist() == [6, 6]


class TestImageSizes:
    def test_an_image_has_the_geometric_mean_of_its_boxes(self):
        sizes = image_sizes([4.0, 25.0, 16.0, 100.0], np.array([7, 3, 7, 9]))
        np.testing.assert_allclose(sizes, [25, 8, 100])

    def test_images_without_a_box_that_counts_are_left_out(self):
        assert image_sizes([4.0, 0.0], np.array([1, 2])).tolist() == pytest.approx([4])
        assert image_sizes([], np.empty(0, np.int64)).tolist() == []
        assert image_sizes([0.0], np.array([1])).tolist() == []

    def test_agrees_with_a_loop(self):
        rng = np.random.default_rng(0)
        sizes, ids = rng.lognormal(3, 1, 500), rng.integers(-40, 40, 500)
        expected = [np.exp(np.log(sizes[ids == image]).mean()) for image in np.unique(ids)]
        np.testing.assert_allclose(image_sizes(sizes, ids), expected, rtol=1e-12)


class TestStandardisedSizes:
    def test_they_have_the_mean_and_the_deviation(self):
        sizes = standardised_sizes(np.random.default_rng(0).lognormal(3, 0.5, 1000), (200.0, 12.0))
        assert (sizes.mean(), sizes.std()) == (pytest.approx(200), pytest.approx(12))

    def test_none_is_under_a_pixel(self):
        assert standardised_sizes([1.0, 2.0, 3.0], (1.0, 9.0)).min() == 1.0

    def test_order_stays_and_sizes_that_do_not_count_go(self):
        assert standardised_sizes([4.0, 0.0, 2.0], (10.0, 3.0)).tolist() == [13, 7]

    def test_agrees_with_the_plain_reference(self):
        sizes = np.random.default_rng(1).lognormal(2.6, 0.8, 300)
        expected = reference.standardised(sizes, 25.0, 12.0)
        np.testing.assert_allclose(standardised_sizes(sizes, (25.0, 12.0)), expected, rtol=1e-12)

    def test_equal_sizes_have_no_deviation_to_change(self):
        with pytest.raises(InputError, match="mu_sigma 25 12 cannot be reached: all 3 sizes are"):
            standardised_sizes([4.0, 4.0, 4.0], (25.0, 12.0))

    def test_no_size(self):
        with pytest.raises(InputError, match="sizes must hold at least one box"):
            standardised_sizes([], (25.0, 12.0))
