import numpy as np
import pytest

from error_samples import tables
from evaluation_samples import crowded
from oracles import error_types_reference as reference
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.error_fixes import ERROR_TYPES, RangeErrors, fixed_values, shares
from scale_match.core.error_types import TargetLabel, curve_places, split_errors

CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = (1 << k for k in range(6))
FOUND, NOTHING = 5, -1
# The protocol adds 2.2e-16 to the denominator of a precision.
NEARLY_ONE = pytest.approx(1.0, abs=1e-15)


def values_of(labels, partners, num_targets, *, categories=None, target_categories=None):
    """AP for every choice of types; detections best first."""
    labels, partners = np.array(labels, np.int8), np.array(partners, np.int64)
    found_by = np.full(num_targets, NOTHING)
    found_by[partners[labels == FOUND]] = np.flatnonzero(labels == FOUND)
    explained = np.zeros(num_targets, bool)
    explained[partners[labels < 2]] = True
    zeros = np.zeros(len(labels), np.int64)
    return fixed_values(
        RangeErrors(
            places=np.arange(len(labels)),
            categories=zeros if categories is None else np.array(categories),
            labels=labels,
            partners=partners,
            target_categories=np.array(target_categories or [0] * num_targets, np.int64),
            found_by=found_by,
            counted=np.ones(num_targets, bool),
            missed=(found_by < 0) & ~explained,
        )
    )


def test_a_false_positive_before_the_only_hit_is_the_whole_gap():
    values = values_of([4, FOUND], [NOTHING, 0], 1)
    assert values[0] == 0.5
    assert values[BACKGROUND] == NEARLY_ONE
    assert shares(values).tolist() == pytest.approx([0, 0, 0, 0, 0.5, 0], abs=1e-15)


def test_two_errors_that_matter_only_together_share_the_gain():
    # Nothing found; a duplicate-free localisation error behind a background one, one object.
    values = values_of([4, 1], [NOTHING, 0], 1)
    assert values[0] == values[BACKGROUND] == 0.0
    assert values[LOCALISATION] == 0.5
    assert values[LOCALISATION | BACKGROUND] == NEARLY_ONE
    # Localisation first gains 1/2, then background 1/2; the other way round 0 and 1.
    assert shares(values).tolist() == pytest.approx([0, 0.75, 0, 0, 0.25, 0], abs=1e-15)


def test_of_two_errors_on_an_object_the_best_finds_it_and_the_other_goes():
    values = values_of([1, 4, 1, FOUND], [0, NOTHING, 0, 1], 2)
    assert values[LOCALISATION] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_an_error_on_a_found_object_goes():
    values = values_of([1, FOUND], [0, 0], 1)
    assert values[0] == 0.5
    assert values[LOCALISATION] == NEARLY_ONE


def test_a_classification_error_finds_its_object_in_the_objects_category():
    values = values_of([0, FOUND], [1, 0], 2, categories=[0, 0], target_categories=[0, 1])
    assert values[0] == (0.5 + 0) / 2
    # Gone from category 0, and the first detection of category 1.
    assert values[CLASSIFICATION] == NEARLY_ONE


def test_missed_objects_no_longer_count():
    values = values_of([FOUND], [0], 4)
    assert values[0] == pytest.approx(26 / 101, abs=1e-15)  # levels up to recall 1/4
    assert values[MISSED] == NEARLY_ONE


def test_a_category_of_which_all_is_missed_counts_as_one_once_that_is_fixed():
    values = values_of([4, FOUND], [NOTHING, 0], 3, target_categories=[0, 1, 1])
    assert values[0] == 0.25
    assert values[MISSED] == pytest.approx((0.5 + 1) / 2, abs=1e-15)


def test_without_ground_truth_no_choice_has_a_value():
    assert (values_of([4], [NOTHING], 0) == -1).all()
    assert shares(np.full(64, -1.0)).tolist() == [0.0] * 6


def test_shares_of_independent_gains_are_these_gains():
    gains = np.array([0.01, 0.02, 0.04, 0.08, 0.16, 0.32])
    choices = np.arange(64)[:, None] >> np.arange(6) & 1  # (64, 6)
    assert shares(0.1 + choices @ gains) == pytest.approx(gains)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_choices_and_shares_are_those_of_the_plain_loops(seed):
    ground_truth, results = crowded(seed, span=50, truths=30, detections=80)
    annotations, detections = tables(ground_truth, results)
    result = evaluate_average_precision(annotations, detections)
    split = split_errors(result, annotations, detections)

    def value_of(fixed):
        return reference.average_precision_if_fixed(
            ground_truth, results, fixed, label="all", max_dets=1000
        )

    values = fixed_values(errors_of(split, len(result.category_ids)))
    for choice in (0, 3, 21, 42, 47, 62):
        fixed = {kind for k, kind in enumerate(ERROR_TYPES) if choice >> k & 1}
        assert values[choice] == pytest.approx(value_of(fixed), abs=1e-13, rel=0)
    if seed == 0:
        expected = reference.shares(value_of)
        ours = dict(zip(ERROR_TYPES, split.shares[0].tolist(), strict=True))
        assert ours == pytest.approx(expected, abs=1e-13, rel=0)


@pytest.mark.parametrize("seed", range(20))
def test_fixing_a_further_type_never_costs_anything_and_fixing_all_is_perfect(seed):
    annotations, detections = tables(*crowded(seed, span=30 + 20 * (seed % 4)))
    result = evaluate_average_precision(annotations, detections, max_dets=(20,))
    values = fixed_values(
        errors_of(split_errors(result, annotations, detections), len(result.category_ids))
    )
    for k in range(6):
        without = np.arange(64)[np.arange(64) >> k & 1 == 0]
        assert (values[without | 1 << k] >= values[without]).all()
    assert values[-1] == pytest.approx(1.0, abs=1e-14)


def errors_of(split, num_categories):
    """The errors of the first size range."""
    record, states = split.record, split.target_labels[0]
    return RangeErrors(
        places=curve_places(record.scores, record.images, record.rows),
        categories=np.repeat(np.arange(num_categories), np.diff(record.starts)),
        labels=split.detection_labels[0],
        partners=split.partners[0],
        target_categories=record.target_categories,
        found_by=np.where(states == TargetLabel.FOUND, split.finders[0], -1),
        counted=record.counted[0],
        missed=states == TargetLabel.MISSED,
    )
