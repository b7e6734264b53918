from itertools import pairwise

import numpy as np
import pytest

from data_samples import categories_of, images_of, objects_of, random_objects, table_of
from scale_match.core.data_summary import (
    disjoint_size_ranges,
    find_objects,
    size_range_shares,
    summarise_data,
)
from scale_match.core.records import Annotations


def annotations_of(rows, *sides, **columns):
    return Annotations("f", images_of(*sides), categories_of("a", "b"), table_of(rows, **columns))


def test_a_small_data_set_is_summarised_as_by_hand():
    rows = [(1, 1, 1, 0, 0, 4, 9), (2, 1, 1, 42, 52, 20, 20), (3, 2, 2, 0, 0, 8, 2)]
    rows.append((4, 2, 1, 5, 5, 3, 3))
    annotations = annotations_of(
        rows, (100, 100), (40, 10), (40, 10), ignore=[False, False, False, True]
    )
    objects = find_objects(annotations, np.ones(4, np.bool_))
    summary = summarise_data(annotations, objects)
    assert objects.sizes.tolist() == [6.0, 20.0, 4.0]
    assert objects.relative_sizes.tolist() == [0.06, 0.2, 0.2]
    assert objects.aspect_ratios.tolist() == [2.25, 1.0, 0.25]
    assert objects.per_image.tolist() == [2, 1, 0]
    assert (summary.num_images, summary.num_empty_images, summary.num_tiles) == (3, 1, 0)
    assert (summary.num_annotations, summary.num_objects) == (4, 3)
    assert summary.flagged == {"iscrowd": 0, "ignore": 1, "uncertain": 0}
    assert summary.image_sides == ((40, 10, 2), (100, 100, 1))
    assert [(one.name, one.objects, one.median_size) for one in summary.categories] == [
        ("a", 2, 13.0),
        ("b", 1, 4.0),
    ]
    assert summary.size_shares["tiny1"] == pytest.approx(2 / 3)
    assert summary.size_shares["small"] == pytest.approx(1 / 3)
    assert summary.positions[0][0] == pytest.approx(1 / 3)  # (0.02, 0.045)
    assert summary.positions[6][5] == pytest.approx(1 / 3)  # (0.52, 0.62)
    assert summary.positions[1][1] == pytest.approx(1 / 3)  # (0.1, 0.1)


def test_boxes_that_are_not_usable_are_no_objects():
    annotations = annotations_of([(1, 1, 1, 0, 0, 4, 9), (2, 1, 1, 0, 0, 5, 5)], (50, 50))
    objects = find_objects(annotations, np.array([False, True]))
    assert objects.boxes.tolist() == [[0, 0, 5, 5]]


@pytest.mark.parametrize("sides", [(), ((30, 20),)])
def test_data_without_objects_are_summarised(sides):
    annotations = annotations_of([], *sides)
    summary = summarise_data(annotations, find_objects(annotations, np.zeros(0, np.bool_)))
    assert summary.num_objects == 0
    assert summary.sizes.mean is None
    assert set(summary.size_shares.values()) == {0.0}
    assert np.sum(summary.positions) == 0.0


def test_shares_of_sizes_and_places_sum_to_one():
    objects = random_objects(0, 500, low=0.3, high=400.0)
    assert sum(size_range_shares(objects.sizes).values()) == pytest.approx(1.0)


def test_the_disjoint_ranges_touch_and_none_holds_another():
    ranges = sorted(disjoint_size_ranges().values())
    assert all(one[1] == other[0] for one, other in pairwise(ranges))
    assert "all" not in disjoint_size_ranges()
    assert "tiny" not in disjoint_size_ranges()


def test_a_size_on_a_limit_counts_in_the_upper_range_only():
    shares = size_range_shares(np.array([8.0]))
    assert (shares["tiny1"], shares["tiny2"]) == (0.0, 1.0)


def test_centres_on_and_beyond_the_border_lie_in_the_outer_cells():
    annotations = annotations_of([(1, 1, 1, 90, 90, 40, 40), (2, 1, 1, -9, -9, 4, 4)], (100, 100))
    summary = summarise_data(
        annotations, objects_of([[90, 90, 40, 40], [-9, -9, 4, 4]], (100, 100))
    )
    assert summary.positions[9][9] == summary.positions[0][0] == 0.5
