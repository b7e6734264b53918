import numpy as np
import pytest

from report_samples import detections_of, evaluated, truth_of
from scale_match.core.errors import InputError
from scale_match.scoring.size_outcomes import find_size_outcomes, size_edges

TRUTH = truth_of(
    [[1, 1, 0, 0, 4, 4], [1, 1, 30, 0, 8, 8], [1, 1, 60, 0, 8, 8], [1, 1, 90, 0, 20, 20]]
)
DETECTIONS = detections_of(
    [
        [1, 1, 30, 0, 8, 8, 0.9],
        [1, 1, 60, 0, 8, 8, 0.3],
        [1, 1, 90, 0, 20, 20, 0.8],
    ]
)
EDGES = np.array([4.0, 8.0, 16.0, 32.0])


def sizes_with(max_dets, score, truth=TRUTH, edges=EDGES):
    return find_size_outcomes(
        evaluated(truth, DETECTIONS, (1, 200)),
        truth.table,
        "all_50",
        max_dets=max_dets,
        min_score=score,
        edges=edges,
    )


def test_objects_are_found_late_or_missed():
    sizes = sizes_with(200, 0.5)
    assert sizes.found.tolist() == [0, 1, 1]
    assert sizes.found_below.tolist() == [0, 1, 0]  # a size on an edge belongs to the bin above
    assert sizes.missed.tolist() == [1, 0, 0]
    assert sizes.objects.tolist() == [1, 2, 1]


def test_what_only_the_largest_limit_finds_is_found_late():
    sizes = sizes_with(1, 0.0)
    assert sizes.found.tolist() == [0, 1, 0]
    assert sizes.found_below.tolist() == [0, 1, 1]


def test_ignored_objects_are_not_counted():
    truth = truth_of([[1, 1, 0, 0, 4, 4], [1, 1, 30, 0, 8, 8]], ignored=[0])
    assert sizes_with(200, 0.5, truth).objects.tolist() == [0, 1, 0]


def test_sizes_beyond_the_edges_belong_to_the_outermost_bins():
    assert sizes_with(200, 0.5, edges=np.array([8.0, 10.0, 12.0])).objects.tolist() == [3, 1]


def test_edges_are_whole_octaves_around_all_sizes():
    edges = size_edges(np.array([3.0, 20.0]))
    assert edges[[0, 3, 6, -1]].tolist() == pytest.approx([2.0, 4.0, 8.0, 32.0])
    assert len(edges) == 1 + 4 * 3


@pytest.mark.parametrize("sizes", [[8.0], [16.0, 16.0], [0.0], [1e-3, 1e5], [5.0, 8.0]])
def test_edges_hold_every_size_in_at_most_forty_bins(sizes):
    sizes = np.maximum(np.array(sizes), 0.5)
    edges = size_edges(sizes)
    assert edges[0] <= sizes.min()
    assert sizes.max() <= edges[-1]
    assert len(edges) - 1 <= 40
    ratios = edges[1:] / edges[:-1]
    assert ratios == pytest.approx(ratios[0])


def test_without_sizes_there_are_edges_all_the_same():
    assert size_edges(np.empty(0))[[0, -1]].tolist() == [8.0, 16.0]


def test_a_bin_wider_than_an_octave_is_an_error():
    with pytest.raises(InputError, match="`bins_per_octave` must be at least 1, but is 0"):
        size_edges(np.array([8.0]), bins_per_octave=0)
