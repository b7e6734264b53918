"""Messages of the checks that several modules of the core share."""

import numpy as np
import pytest

from scale_match.core.checks import (
    ascending_sizes,
    box_counts,
    ordered_sizes,
    positive_sizes,
    whole_number,
)
from scale_match.core.errors import InputError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_become_int(value):
    assert type(whole_number("tile", value, minimum=3)) is int


@pytest.mark.parametrize("value", [3.0, "3", None, True, np.bool_(True), [3]])
def test_other_values_are_not_whole_numbers(value):
    with pytest.raises(InputError, match="tile must be a whole number, got"):
        whole_number("tile", value, minimum=0)


def test_a_whole_number_below_its_minimum_is_named():
    with pytest.raises(InputError, match="tile must be at least 1, got 0"):
        whole_number("tile", 0, minimum=1)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], "counts must have at least one entry, got none"),
        ([1, 2.5], r"counts must be whole numbers, got \[1.0, 2.5\]"),
        (["1", "2", "3", "4"], r"counts must be whole numbers, got \['1', '2', '3', ...\]"),
        ([True, False], "counts must be whole numbers"),
        ([1, None], "counts must be whole numbers"),
        ([10**30], "counts must be whole numbers"),
        ([1, -2], "counts must not be negative, got -2 at index 1"),
        ([0, 0], "counts must hold at least one box, got 2 empty bins"),
        ([[1, 2]], r"counts must be a flat list, got the shape \(1, 2\)"),
        ([[1], [1, 2]], "counts must be a flat list of numbers, got a ragged one"),
        (3, r"counts must be a flat list, got the shape \(\)"),
    ],
)
def test_counts_that_cannot_be_are_named(counts, message):
    with pytest.raises(InputError, match=message):
        box_counts("counts", counts)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (["a"], r"edges must be numbers, got \['a'\]"),
        ([1, None], "edges must be numbers"),
        ([0.0, 1.0], "edges must be positive and finite, got 0.0 at index 0"),
        ([1.0, np.nan], "edges must be positive and finite, got nan at index 1"),
        ([1.0, np.inf], "edges must be positive and finite, got inf at index 1"),
        ([1, 3, 2], "edges must not descend, got 3 at index 1 before 2"),
        ([[1.0]], "edges must be a flat list"),
    ],
)
def test_edges_that_cannot_be_are_named(sizes, message):
    with pytest.raises(InputError, match=message):
        ascending_sizes("edges", sizes)


def test_checked_arrays_are_read_only_copies():
    counts, edges = np.array([1, 2]), np.array([1.0, 1.0, 2.0])
    for checked in (box_counts("counts", counts), ascending_sizes("edges", edges)):
        with pytest.raises(ValueError, match="read-only"):
            checked[0] = 5
    counts[0], edges[0] = 7, 0.5  # The given arrays stay writable.


def test_sizes_that_are_not_positive_do_not_count():
    np.testing.assert_array_equal(positive_sizes("sizes", [3, 0, -1, 2]), [3, 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sizes_must_be_finite(bad):
    with pytest.raises(InputError, match=rf"sizes must be finite, got {bad} at index 1"):
        positive_sizes("sizes", [3, bad])


@pytest.mark.parametrize(("sizes", "count"), [([], 0), ([0, -1], 2)])
def test_some_size_must_be_positive(sizes, count):
    message = f"sizes must hold at least one box of positive size, got none among {count}"
    with pytest.raises(InputError, match=message):
        positive_sizes("sizes", sizes)


def test_ordered_sizes_are_sorted_and_positive():
    assert ordered_sizes("sizes", [3, 0, 1, -1, 2]).tolist() == [1, 2, 3]
    assert ordered_sizes("sizes", [0.0, 1.0, 2.0]).tolist() == [1, 2]


def test_sizes_in_order_are_not_copied():
    sizes = np.array([1.0, 1.0, 2.0])
    assert np.shares_memory(ordered_sizes("sizes", sizes), sizes)
    assert not np.shares_memory(ordered_sizes("sizes", sizes[::-1]), sizes)


@pytest.mark.parametrize("sizes", [[1, 2, np.inf], [1, np.nan, 2], [np.nan], [-np.inf, 1]])
def test_ordered_sizes_must_be_finite(sizes):
    with pytest.raises(InputError, match=r"sizes must be finite, got"):
        ordered_sizes("sizes", sizes)


def test_ordered_sizes_must_not_be_none():
    with pytest.raises(InputError, match="got none among 0"):
        ordered_sizes("sizes", [])
