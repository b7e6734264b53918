import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from oracles import average_precision_reference as reference
from scale_match.core.ap_outcomes import FALSE_POSITIVE, TRUE_POSITIVE
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.precision_curve import (
    RECALL_LEVELS,
    average_over_categories,
    interpolated_precision,
)


def test_two_hits_of_three_objects_with_a_false_positive_between_them():
    # docs/metrics.md, "A worked example": 34 levels at 1, 33 at 2/3, 34 at 0.
    curve = interpolated_precision(np.array([0, 1]), 3)
    assert curve.tolist() == pytest.approx([1.0] * 34 + [2 / 3] * 33 + [0.0] * 34, abs=1e-15)


def test_the_recall_levels_are_those_doubles_and_no_others():
    assert RECALL_LEVELS[57] == 0.5700000000000001
    assert RECALL_LEVELS.tolist() == reference.RECALL_LEVELS


def test_precision_never_rises_with_recall():
    curve = interpolated_precision(np.array([3, 3, 3, 9]), 4)
    assert (np.diff(curve) <= 0).all()
    assert curve[0] == pytest.approx(3 / 6)


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_exactly_that_of_the_evaluation_and_of_the_plain_loops(seed):
    ground_truth, results = crowded(seed)
    annotations, detections = as_annotations(ground_truth), as_detections(results)
    result = evaluate_average_precision(annotations, detections)
    record, compared = result.record, 0
    for r, t, k in np.ndindex(result.precision.shape[1:4]):
        if not result.num_targets[r, k]:
            continue
        outcome = record.outcomes[r, t, record.starts[k] : record.starts[k + 1]]
        hits = np.flatnonzero(outcome == TRUE_POSITIVE)
        before = np.cumsum(outcome == FALSE_POSITIVE)[hits]
        curve = interpolated_precision(before, int(result.num_targets[r, k]))
        assert (curve == result.precision[-1, r, t, k]).all()
        assert curve.tolist() == reference.curve(outcome.tolist(), result.num_targets[r, k])[0]
        compared += 1
    assert compared > 20


def test_without_hits_precision_is_zero_everywhere():
    assert interpolated_precision(np.zeros(0, np.int64), 2).tolist() == [0.0] * 101


def test_the_average_is_over_levels_and_categories():
    assert average_over_categories([np.full(101, 0.25), np.full(101, 0.75)]) == 0.5


def test_without_categories_there_is_nothing_to_measure():
    assert average_over_categories([]) == -1.0
