import numpy as np
import pytest

from report_samples import detections_of, evaluated, jittered, truth_of
from scale_match.core.errors import InputError
from scale_match.scoring.image_outcomes import find_image_outcomes

# Image 1: one found, one missed, one too large for "tiny". Image 2: one ignored. Image 3: nothing.
TRUTH = truth_of(
    [
        [1, 1, 0, 0, 10, 10],
        [1, 1, 30, 0, 10, 10],
        [1, 1, 60, 0, 30, 30],
        [2, 1, 0, 0, 10, 10],
    ],
    num_images=3,
    ignored=[3],
)
DETECTIONS = detections_of(
    [
        [1, 1, 0, 0, 10, 9, 0.9],  # found
        [1, 1, 30, 0, 10, 10, 0.2],  # would find, but with a low score
        [1, 1, 60, 0, 30, 30, 0.8],  # at the large object
        [1, 1, 0, 60, 10, 10, 0.7],  # false
        [2, 1, 0, 0, 10, 10, 0.6],  # at the ignored object
        [3, 1, 0, 0, 10, 10, 0.5],  # false
    ]
)


def outcomes_from(score, max_dets=200):
    result = evaluated(TRUTH, DETECTIONS, (1, 200))
    return find_image_outcomes(result, "tiny_50", max_dets=max_dets, min_score=score)


def test_every_box_has_its_outcome():
    images = outcomes_from(0.5)
    assert images.objects.tolist() == [2, 0, 0]
    assert images.found.tolist() == [1, 0, 0]
    assert images.missed.tolist() == [1, 0, 0]
    assert images.false.tolist() == [1, 0, 1]
    assert images.ignored.tolist() == [1, 1, 0]
    boxes = images.boxes(0, TRUTH.table, DETECTIONS)
    assert boxes.found.tolist() == [[0, 0, 10, 9]]  # the detection, not the object
    assert boxes.missed.tolist() == [[30, 0, 10, 10]]
    assert boxes.false.tolist() == [[0, 60, 10, 10]]
    assert boxes.ignored.tolist() == [[60, 0, 30, 30], [60, 0, 30, 30]]
    assert images.boxes(1, TRUTH.table, DETECTIONS).ignored.tolist() == [[0, 0, 10, 10]] * 2
    assert images.boxes(2, TRUTH.table, DETECTIONS).found.shape == (0, 4)


def test_a_lower_score_finds_more():
    assert outcomes_from(0.1).found.tolist() == [2, 0, 0]
    assert outcomes_from(0.95).missed.tolist() == [2, 0, 0]


def test_the_limit_cuts_as_in_the_evaluation():
    images = outcomes_from(0.1, max_dets=1)
    assert images.found.tolist() == [1, 0, 0]
    assert images.false.tolist() == [0, 0, 1]
    assert images.ignored.tolist() == [0, 1, 0]


def test_all_scores_together_give_the_counts_of_the_evaluation():
    generator = np.random.default_rng(1)
    rows = [
        [1 + k % 3, 1 + k % 2, *generator.uniform(0, 80, 2), *generator.uniform(4, 25, 2)]
        for k in range(60)
    ]
    truth = truth_of(rows, num_images=3, categories=(1, 2), ignored=range(0, 60, 7))
    result = evaluated(truth, jittered(truth, 2, false_per_image=9))
    for key, counts in result.counts().items():
        images = find_image_outcomes(result, key, max_dets=200, min_score=0.0)
        assert images.objects.sum() == counts["npos"]
        assert images.found.sum() == counts["tp"]
        assert images.false.sum() == counts["fp"]
        assert images.ignored.sum() == counts["ignored"]


def test_errors_are_missed_and_false_boxes():
    assert outcomes_from(0.5).errors.tolist() == [2, 0, 1]


def test_no_boxes_are_no_outcomes():
    nothing = truth_of([], num_images=2)
    result = evaluated(nothing, detections_of([]))
    images = find_image_outcomes(result, "all_25", max_dets=200, min_score=0.0)
    assert images.objects.tolist() == images.found.tolist() == images.false.tolist() == [0, 0]


def test_an_unknown_key_is_an_error():
    with pytest.raises(InputError, match="tiny_51 was not evaluated"):
        find_image_outcomes(evaluated(TRUTH, DETECTIONS), "tiny_51", max_dets=200, min_score=0.0)
