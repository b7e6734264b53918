import numpy as np
import pytest

from error_samples import scene, tables
from evaluation_samples import as_annotations, as_detections, crowded
from oracles import error_types_reference as reference
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.error_types import (
    ERROR_TYPES,
    DetectionLabel,
    TargetLabel,
    split_errors,
)
from scale_match.core.errors import InputError

# Objects A, B (persons), C, D (boats), E (person), far apart.
A, B, C, D, E = ([50 * k, 0, 10, 10] for k in range(5))
TRUTHS = [(1, A), (1, B), (2, C), (2, D), (1, E)]
RESULTS = [
    (1, A, 0.9),  # found
    (1, [0, 1, 10, 10], 0.85),  # A again, IoU 90 / 110: duplicate
    (1, [50, 5, 10, 10], 0.8),  # B, IoU 50 / 150: localisation
    (1, C, 0.7),  # a boat called a person: classification
    (1, [150, 5, 10, 10], 0.6),  # D, a boat, IoU 1/3: both
    (1, [300, 300, 10, 10], 0.5),  # background
]
NAMES = ("found", "duplicate", "localisation", "classification", "both", "background")


def split_of(truths, results, **options):
    annotations, detections = tables(*scene(truths, results))
    result = evaluate_average_precision(annotations, detections, **options)
    return split_errors(result, annotations, detections)


def labels_of(split, label="all"):
    """Names of the labels in the order of the table of detections, and of the ground truth."""
    r = split.size_ranges.index(label)
    detections = [""] * len(split.record.rows)
    for row, code in zip(split.record.rows, split.detection_labels[r], strict=True):
        detections[row] = DetectionLabel(code).name.lower()
    targets = [""] * len(split.record.target_rows)
    for row, code in zip(split.record.target_rows, split.target_labels[r], strict=True):
        targets[row] = TargetLabel(code).name.lower()
    return detections, targets


def only_label(truths, box, label="all"):
    """What a single detection of a person is."""
    return labels_of(split_of(truths, [(1, box, 0.5)]), label)[0][0]


def in_file_terms(split, r):
    """The form of the plain reference: types and states by place in the files."""
    record, types, states = split.record, {}, {}
    for m in np.flatnonzero(split.detection_labels[r] <= DetectionLabel.BACKGROUND):
        g = split.partners[r, m]
        kind = ERROR_TYPES[split.detection_labels[r, m]]
        types[int(record.rows[m])] = kind, None if g < 0 else int(record.target_rows[g])
    for g in np.flatnonzero(split.target_labels[r] != TargetLabel.IGNORED):
        m = split.finders[r, g]
        state = TargetLabel(split.target_labels[r, g]).name.lower()
        states[int(record.target_rows[g])] = state, None if m < 0 else int(record.rows[m])
    return types, states


# ---- A worked example, and the rules one by one ----


def test_each_type_of_the_worked_example():
    detections, targets = labels_of(split_of(TRUTHS, RESULTS))
    assert tuple(detections) == NAMES
    assert targets == ["found", "explained", "explained", "missed", "missed"]


def test_partners_and_finders_of_the_worked_example():
    types, states = in_file_terms(split_of(TRUTHS, RESULTS), 0)
    assert types == {
        1: ("duplicate", 0),
        2: ("localisation", 1),
        3: ("classification", 2),
        4: ("both", 3),
        5: ("background", None),
    }
    assert states == {
        0: ("found", 0),
        1: ("explained", 2),
        2: ("explained", 3),
        3: ("missed", None),
        4: ("missed", None),
    }


def test_gains_of_the_worked_example():
    split = split_of(TRUTHS, RESULTS)
    # Persons: A of 3 found, 34 of 101 levels at 1. Boats: none of 2. Mean of the two.
    assert split.average_precision[0] == pytest.approx(34 / 101 / 2, abs=1e-15)
    fixed = dict(zip(ERROR_TYPES, split.fixed[0].tolist(), strict=True))
    assert fixed == pytest.approx(
        {
            "classification": (34 + 51) / 101 / 2,  # C found first of the boats: 51 levels at 1
            "localisation": (34 + 33 * 2 / 3) / 101 / 2,  # B found, after one false positive
            "both": 34 / 101 / 2,
            "duplicate": 34 / 101 / 2,
            "background": 34 / 101 / 2,
            "missed": 51 / 101 / 2,  # 1 of 2 persons; no boat found
        },
        abs=1e-15,
    )


def test_a_found_object_knows_its_detection_and_the_other_way_round():
    split = split_of(TRUTHS, RESULTS)
    found = np.flatnonzero(split.detection_labels[0] == DetectionLabel.FOUND)
    assert split.finders[0, split.partners[0, found]].tolist() == found.tolist()


@pytest.mark.parametrize(
    ("height", "kind"),
    [(0.99, "background"), (1, "localisation"), (4.99, "localisation"), (5, "found")],
)
def test_the_bounds_of_localisation(height, kind):
    # IoU height / 10: 0.1 belongs to localisation, 0.5 is found.
    assert only_label([(1, A)], [0, 0, 10, height]) == kind


@pytest.mark.parametrize(
    ("height", "kind"),
    [(0.99, "background"), (1, "both"), (4.99, "both"), (5, "classification")],
)
def test_the_bounds_on_an_object_of_another_category(height, kind):
    assert only_label([(2, A)], [0, 0, 10, height]) == kind


def test_localisation_comes_before_classification():
    assert only_label([(1, [0, 5, 10, 10]), (2, A)], A) == "localisation"


def test_classification_comes_before_duplicate():
    results = [(1, A, 0.9), (1, A, 0.8)]
    assert labels_of(split_of([(1, A), (2, A)], results))[0] == ["found", "classification"]


def test_an_iou_of_exactly_half_with_a_taken_object_is_a_duplicate():
    results = [(1, A, 0.9), (1, [0, 0, 10, 5], 0.8)]
    assert labels_of(split_of([(1, A)], results))[0] == ["found", "duplicate"]


def test_localisation_on_a_taken_object_explains_no_missed_one():
    results = [(1, A, 0.9), (1, [0, 5, 10, 10], 0.8)]
    detections, targets = labels_of(split_of([(1, A), (1, B)], results))
    assert detections == ["found", "localisation"]
    assert targets == ["found", "missed"]


def test_of_objects_with_equal_iou_the_later_is_blamed():
    split = split_of([(1, [0, 5, 10, 10]), (1, [0, -5, 10, 10])], [(1, A, 0.5)])
    assert in_file_terms(split, 0)[0] == {0: ("localisation", 1)}


def test_the_best_of_several_errors_explains_an_object():
    results = [(1, [0, 6, 10, 10], 0.3), (1, [0, 5, 10, 10], 0.8), (2, A, 0.9)]
    _, states = in_file_terms(split_of([(1, A)], results), 0)
    assert states == {0: ("explained", 2)}
    _, states = in_file_terms(split_of([(1, A)], results[:2]), 0)
    assert states == {0: ("explained", 1)}


def test_detections_in_an_ignored_region_are_no_errors():
    region = (1, [0, 0, 100, 100], {"ignore": True})
    assert only_label([region, (1, [200, 0, 10, 10])], [20, 20, 10, 10]) == "ignored"


def test_a_flagged_object_of_another_category_explains_nothing():
    boat = (2, A, {"ignore": True})
    assert only_label([boat, (1, E)], A) == "background"


def test_detections_and_objects_out_of_the_size_range_are_ignored():
    large = [0, 0, 60, 60]
    split = split_of([(1, large), (1, E)], [(1, large, 0.9), (1, [300, 0, 60, 60], 0.8)])
    assert labels_of(split, "tiny") == (["ignored", "ignored"], ["ignored", "missed"])
    assert labels_of(split, "all") == (["found", "background"], ["found", "missed"])


def test_an_object_out_of_the_size_range_explains_nothing_in_it():
    # A boat of 21 x 21 is not tiny; the person of 18 x 18 on it is, and is none.
    boat, box = (2, [0, 0, 21, 21]), [0, 0, 18, 18]
    assert only_label([boat, (1, E)], box, "all") == "classification"
    assert only_label([boat, (1, E)], box, "tiny") == "background"


def test_detections_beyond_the_limit_are_unused():
    annotations, detections = tables(*scene(TRUTHS, RESULTS))
    result = evaluate_average_precision(annotations, detections, max_dets=(2, 100))
    split = split_errors(result, annotations, detections, max_dets=2)
    assert labels_of(split)[0] == ["found", "duplicate", *["unused"] * 4]
    assert labels_of(split)[1] == ["found", *["missed"] * 4]
    assert split_errors(result, annotations, detections).max_dets == 100


def test_a_hit_beyond_the_limit_finds_nothing():
    results = [(1, [300, 300, 10, 10], 0.9), (1, A, 0.8)]
    annotations, detections = tables(*scene([(1, A)], results))
    result = evaluate_average_precision(annotations, detections, max_dets=(1, 2))
    split = split_errors(result, annotations, detections, max_dets=1)
    assert labels_of(split) == (["background", "unused"], ["missed"])
    assert split.average_precision[0] == 0.0


def test_with_the_error_of_annotation_id_zero_every_box_still_has_a_type():
    ground_truth, results = scene([(1, A)], [(1, A, 0.9)])
    ground_truth["annotations"][0]["id"] = 0
    annotations, detections = tables(ground_truth, results)
    result = evaluate_average_precision(annotations, detections, reference_bugs=True)
    split = split_errors(result, annotations, detections)
    assert labels_of(split) == (["duplicate"], ["missed"])


# ---- Plain loops, and the sum rules, on crowded random input ----


@pytest.mark.parametrize("seed", range(6))
def test_every_type_and_every_gain_is_that_of_the_plain_loops(seed):
    ground_truth, results = crowded(
        seed, odd_areas=seed % 2 > 0, span=40 + 30 * (seed % 3), truths=30, detections=90
    )
    annotations, detections = as_annotations(ground_truth), as_detections(results)
    result = evaluate_average_precision(annotations, detections, max_dets=(6, 1000))
    for limit in (6, 1000):
        split = split_errors(result, annotations, detections, max_dets=limit)
        for r, label in enumerate(split.size_ranges):
            options = {"label": label, "max_dets": limit}
            expected = reference.label_boxes(ground_truth, results, **options)
            assert in_file_terms(split, r) == expected
            for k, kind in enumerate(ERROR_TYPES):
                value = reference.average_precision_if_fixed(
                    ground_truth, results, {kind}, **options
                )
                assert split.fixed[r, k] == pytest.approx(value, abs=1e-13, rel=0)


def test_the_random_input_has_every_type():
    # Otherwise the comparison above would prove little.
    numbers = np.zeros(len(DetectionLabel), int)
    for seed in range(6):
        annotations, detections = tables(*crowded(seed, span=40 + 30 * (seed % 3)))
        result = evaluate_average_precision(annotations, detections, max_dets=(20,))
        split = split_errors(result, annotations, detections)
        numbers += np.bincount(split.detection_labels.ravel(), minlength=len(numbers))
    assert (numbers[:-1] > 20).all()


@pytest.mark.parametrize("seed", range(12))
def test_types_sum_to_the_counts_of_the_evaluation_and_shares_to_the_gap(seed):
    annotations, detections = tables(*crowded(seed, span=30 + 20 * (seed % 4)))
    result = evaluate_average_precision(annotations, detections, max_dets=(10, 1000))
    for limit in (10, 1000):
        split = split_errors(result, annotations, detections, max_dets=limit)
        for r, label in enumerate(split.size_ranges):
            counts = result.counts(limit)[f"{label}_50"]
            labels = np.bincount(split.detection_labels[r], minlength=len(DetectionLabel))
            states = np.bincount(split.target_labels[r], minlength=len(TargetLabel))
            assert sum(split.counts(r).values()) == counts["fp"]
            assert labels[DetectionLabel.FOUND] == states[TargetLabel.FOUND] == counts["tp"]
            assert labels[DetectionLabel.IGNORED] == counts["ignored"]
            assert states[TargetLabel.FOUND :].sum() == counts["npos"]
            # Exactly the score, not nearly.
            actual = split.average_precision[r]
            assert actual == result.average_precision(limit)[f"{label}_50"]
            if actual < 0:
                assert (split.fixed[r] == -1).all()
                assert (split.shares[r] == 0).all()
            else:
                assert (split.fixed[r] >= actual).all()
                assert (split.shares[r] >= 0).all()
                assert split.shares[r].sum() == pytest.approx(1 - actual, abs=1e-14)


def test_some_detections_can_be_counted_by_themselves():
    split = split_of(TRUTHS, RESULTS)
    early = split.record.scores > 0.75
    assert split.counts(0, early) == {
        "classification": 0, "localisation": 1, "both": 0, "duplicate": 1, "background": 0,
    }  # fmt: skip
    assert sum(split.counts(0).values()) == 5


def test_the_arguments_are_left_as_they_were():
    annotations, detections = tables(*crowded(3))
    result = evaluate_average_precision(annotations, detections)
    for values in (annotations.table, detections, result.record):
        for name in values.__slots__:
            getattr(values, name).setflags(write=False)
    split_errors(result, annotations, detections)


# ---- Degenerate input and messages ----


def test_without_detections_everything_is_missed():
    split = split_of([(1, A), (2, B)], [])
    assert labels_of(split) == ([], ["missed", "missed"])
    assert split.average_precision[0] == 0.0
    assert split.fixed[0].tolist() == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-15)
    assert split.shares[0].tolist() == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-15)


def test_without_ground_truth_there_is_nothing_to_measure():
    split = split_of([], [(1, A, 0.9)])
    assert labels_of(split)[0] == ["background"]
    assert split.average_precision.tolist() == [-1.0] * 7
    assert (split.fixed == -1).all()
    assert (split.shares == 0).all()


def test_without_anything_there_is_nothing():
    split = split_of([], [])
    assert split.detection_labels.shape == (7, 0)
    assert split.average_precision.tolist() == [-1.0] * 7


def test_a_box_without_area_is_background():
    assert only_label([(1, A)], [5, 5, 0, 0], "all") == "ignored"  # size 0 is in no range
    annotations, detections = tables(*scene([(1, A)], [(1, [5, 5, 0, 0], 0.5)]))
    result = evaluate_average_precision(annotations, detections, size_ranges={"any": (0.0, 1e5)})
    split = split_errors(result, annotations, detections)
    assert labels_of(split, "any")[0] == ["background"]


def test_a_perfect_result_has_no_errors():
    split = split_of([(1, A), (2, B)], [(1, A, 0.9), (2, B, 0.8)])
    assert sum(split.counts(0).values()) == 0
    assert split.shares[0].tolist() == pytest.approx([0] * 6, abs=1e-15)


def test_an_evaluation_without_iou_50_is_refused():
    with pytest.raises(InputError, match=r"IoU 0\.5, not only at \[0\.25, 0\.75\]"):
        split_of(TRUTHS, RESULTS, iou_thresholds=(0.25, 0.75))


def test_a_limit_that_was_not_evaluated_is_refused():
    annotations, detections = tables(*scene(TRUTHS, RESULTS))
    result = evaluate_average_precision(annotations, detections)
    with pytest.raises(InputError, match=r"maxDets 7 was not evaluated, only \[200, 1000\]"):
        split_errors(result, annotations, detections, max_dets=7)
