import numpy as np
import pytest

from report_samples import detections_of, evaluated, jittered, truth_of
from scale_match.core.ap_outcomes import FALSE_POSITIVE, TRUE_POSITIVE
from scale_match.core.errors import InputError
from scale_match.scoring.operating_point import OperatingPoint, find_operating_point

OBJECTS = [[1, 1, 0, 0, 10, 10], [1, 1, 30, 0, 10, 10], [1, 1, 60, 0, 10, 10]]
HITS = [[1, 1, 0, 0, 10, 10, 0.9], [1, 1, 30, 0, 10, 10, 0.7]]
FALSE = [[1, 1, 0, 60, 10, 10, 0.8], [1, 1, 90, 60, 10, 10, 0.1]]


def test_it_is_the_score_of_the_best_f1():
    point = find_operating_point(
        evaluated(truth_of(OBJECTS), detections_of(HITS + FALSE)), "tiny_50", 200
    )
    # F1 is 2/4 from 0.9 on, 2/5 from 0.8, 4/6 from 0.7, 4/7 from 0.1
    assert point == OperatingPoint(0.7, 2 / 3, 2 / 3)


def test_it_agrees_with_trying_every_score():
    generator = np.random.default_rng(3)
    boxes = generator.uniform(0, 80, (40, 2))
    rows = np.column_stack(
        [np.repeat([1, 2], 20), np.ones(40), boxes, np.full(40, 12.0), np.full(40, 9.0)]
    )
    truth = truth_of(rows, num_images=2)
    result = evaluated(truth, jittered(truth, 5, false_per_image=20))
    outcomes, scores = result.record.outcomes[1, 1], result.record.scores

    def f1(score):
        chosen = outcomes[scores >= score]
        found = (chosen == TRUE_POSITIVE).sum()
        return 2 * found / (found + (chosen == FALSE_POSITIVE).sum() + len(truth.table))

    best = max(map(f1, scores))
    expected = min(score for score in scores if f1(score) == best)
    assert find_operating_point(result, "tiny_50", 200).score == expected


def test_equal_scores_stay_together():
    tied = [[*row[:6], 0.5] for row in HITS + FALSE]
    point = find_operating_point(evaluated(truth_of(OBJECTS), detections_of(tied)), "tiny_50", 200)
    assert point == OperatingPoint(0.5, 2 / 4, 2 / 3)


def test_detections_beyond_the_limit_do_not_take_part():
    result = evaluated(truth_of(OBJECTS), detections_of(HITS), (1, 200))
    assert find_operating_point(result, "tiny_50", 1) == OperatingPoint(0.9, 1.0, 1 / 3)


@pytest.mark.parametrize(
    ("objects", "detections", "expected"),
    [
        (OBJECTS, [], OperatingPoint(0.0, -1.0, 0.0)),
        ([], [], OperatingPoint(0.0, -1.0, -1.0)),
        ([], FALSE, OperatingPoint(0.1, 0.0, -1.0)),
        (OBJECTS, FALSE, OperatingPoint(0.1, 0.0, 0.0)),
    ],
)
def test_without_a_true_positive_everything_is_shown(objects, detections, expected):
    result = evaluated(truth_of(objects), detections_of(detections))
    assert find_operating_point(result, "tiny_50", 200) == expected


def test_a_key_that_was_not_evaluated_is_refused():
    result = evaluated(truth_of(OBJECTS), detections_of(HITS))
    with pytest.raises(InputError, match=r"tiny_40 was not evaluated, only \['all_25', "):
        find_operating_point(result, "tiny_40", 200)
