import numpy as np
import pytest

from scale_match.core.average_precision import RECALL_LEVELS
from scale_match.core.weighted_curve import (
    WeightTable,
    find_steps,
    interpolated_precision,
    recall_thresholds,
)

# FALSE_POSITIVE, TRUE_POSITIVE, IGNORED
F, T, X = 0, 1, 2


def table_of(weights, *, with_copies=True):
    return WeightTable.of(np.array(weights, np.int16), with_copies=with_copies)


def steps_of(table, detections):
    """Steps of a list of (image, score, outcome)."""
    images, scores, outcomes = zip(*detections, strict=True) if detections else ((), (), ())
    return find_steps(
        np.array(images, np.int64), np.array(scores), np.array(outcomes, np.int8), table
    )


def as_lists(steps):
    """[false positives, true positives] of each step."""
    begins = zip([0, *steps.false_ends], [0, *steps.true_ends], strict=True)
    ends = zip(steps.false_ends, steps.true_ends, strict=True)
    return [
        [steps.false_positives[a:c].tolist(), steps.true_positives[b:d].tolist()]
        for (a, b), (c, d) in zip(begins, ends, strict=False)
    ]


def curve(weights, detections, num_targets, levels):
    table = table_of(weights)
    targets = np.full(table.rows.shape[1], num_targets)
    return interpolated_precision(steps_of(table, detections), table, targets, np.array(levels))


# ---- Steps ----


def test_hits_without_a_false_positive_between_them_are_one_step():
    detections = [(0, 0.9, T), (1, 0.8, T), (2, 0.7, F), (0, 0.6, F), (1, 0.5, X), (2, 0.4, T)]
    assert as_lists(steps_of(table_of([[1], [1], [1]]), detections)) == [
        [[], [0, 1]],
        [[2, 0], [2]],
    ]


def test_what_comes_after_the_last_hit_is_left_out():
    detections = [(0, 0.9, F), (1, 0.8, T), (0, 0.7, F), (1, 0.6, F)]
    assert as_lists(steps_of(table_of([[1], [1]]), detections)) == [[[0], [1]]]


@pytest.mark.parametrize("detections", [[], [(0, 0.9, F), (1, 0.8, F)], [(0, 0.9, X)]])
def test_without_a_hit_there_is_no_step(detections):
    table = table_of([[1], [1]])
    assert len(steps_of(table, detections)) == 0
    assert curve([[1], [1]], detections, 3, [0, 1]).tolist() == [[0, 0]]


def test_a_hit_and_a_false_positive_of_one_image_and_score_are_taken_apart_by_copies():
    # Three copies at most; rows 2.. are images 0, 1 with a first copy, 4.. with a second.
    detections = [(1, 0.9, T), (0, 0.5, T), (0, 0.5, F), (1, 0.5, F)]
    table = table_of([[3, 0], [1, 2]])
    assert as_lists(steps_of(table, detections)) == [
        [[], [1, 2]],
        [[2], [4]],
        [[4], [6]],
    ]


def test_equal_scores_of_several_images_or_of_one_outcome_stay_together():
    detections = [(0, 0.5, F), (0, 0.5, F), (0, 0.5, X), (1, 0.5, T), (1, 0.5, T)]
    assert as_lists(steps_of(table_of([[3], [1]]), detections)) == [[[0, 0], [1, 1]]]


def test_the_table_has_rows_of_copies_only_where_they_are_needed():
    assert table_of([[3, 0], [1, 2]]).rows.tolist() == [
        *([3, 0], [1, 2]),
        *([1, 0], [1, 1]),
        *([1, 0], [0, 1]),
        *([1, 0], [0, 0]),
    ]
    assert table_of([[3, 0], [1, 2]], with_copies=False).rows.tolist() == [[3, 0], [1, 2]]


# ---- Precision ----


def test_each_detection_counts_with_the_weight_of_its_image():
    detections = [(0, 0.9, T), (1, 0.8, F), (2, 0.7, T)]
    # Twice image 0, three times image 1, once image 2: 2 hits, then 3 of 6 are hits.
    found = curve([[2], [3], [1]], detections, 4, [0, 0.5, 0.51, 0.75, 0.76])
    assert found == pytest.approx(np.array([[1, 1, 0.5, 0.5, 0]]), abs=1e-15)


def test_an_image_that_is_not_drawn_does_not_count():
    detections = [(0, 0.9, F), (1, 0.8, T), (2, 0.7, T)]
    found = curve([[0], [1], [0]], detections, 2, [0, 0.5, 0.51])
    assert found == pytest.approx(np.array([[1, 1, 0]]), abs=1e-15)


def test_precision_does_not_fall_before_a_higher_one():
    detections = [(0, 0.9, F), (1, 0.8, T), (2, 0.7, T), (2, 0.6, T)]
    found = curve([[1], [1], [1]], detections, 3, [0, 1 / 3, 1])
    assert found.tolist() == [[0.75, 0.75, 0.75]]


def test_resamples_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    detections = [(int(rng.integers(9)), float(-k), int(rng.integers(3))) for k in range(200)]
    weights = rng.integers(0, 4, (9, 30))
    together = curve(weights, detections, 150, RECALL_LEVELS)
    for b in range(30):
        alone = curve(weights[:, [b]], detections, 150, RECALL_LEVELS)
        assert (together[b] == alone[0]).all()


# ---- Recall ----


def test_the_thresholds_are_those_at_which_the_quotient_reaches_the_level():
    totals = np.array([1, 2, 3, 7, 49, 50, 100, 101, 18600, 999_999])
    for total, found in zip(totals, recall_thresholds(totals, RECALL_LEVELS), strict=True):
        recalls = np.arange(total + 1) / total
        expected = np.searchsorted(recalls, RECALL_LEVELS, side="left")
        assert found.tolist() == expected.tolist()


def test_rounding_decides_a_threshold_as_it_decides_a_recall():
    # The 58th level is 0.5700000000000001: 57 of 100 do not reach it.
    assert recall_thresholds(np.array([100]), RECALL_LEVELS)[0, 57] == 58


def test_without_targets_a_threshold_is_legal():
    assert recall_thresholds(np.array([0]), np.array([0.0, 1.0])).tolist() == [[0, 1]]
