import numpy as np
import pytest

from error_samples import crowded_and_removed, scene, tables
from evaluation_samples import as_detections
from oracles import error_types_reference as reference
from scale_match.core.average_precision import SIZE_RANGES, evaluate_average_precision
from scale_match.core.errors import InputError
from scale_match.core.oracle_ladder import RUNGS, climb

A, B, C = ([50 * k, 0, 10, 10] for k in range(3))
FAR = [300, 300, 10, 10]
# The protocol adds 2.2e-16 to the denominator of a precision.
NEARLY_ONE = pytest.approx(1.0, abs=1e-15)
NEARLY_HALF = pytest.approx(0.5, abs=1e-15)


def ladder_of(truths, results, removed=None, **options):
    annotations, detections = tables(*scene(truths, results))
    if removed is not None:
        removed = as_detections(scene([], removed)[1])
    evaluated = evaluate_average_precision(annotations, detections, **options)
    return climb(evaluated, annotations, detections, removed=removed)


def levels(*heights):
    """AP from (number of recall levels, precision) pairs."""
    return pytest.approx(sum(n * height for n, height in heights) / 101, abs=1e-15)


# ---- Rungs one by one ----


def test_perfect_localisation_gives_a_detection_the_box_of_a_free_object():
    ladder = ladder_of([(1, A)], [(1, [0, 9, 10, 10], 0.5)])  # IoU 1/19, too little
    assert ladder.alone["localisation"] == 0.0
    ladder = ladder_of([(1, A)], [(1, [0, 8, 10, 10], 0.5)])  # IoU 1/9
    assert ladder.average_precision == 0.0
    assert ladder.alone["localisation"] == NEARLY_ONE
    assert ladder.alone["classification"] == ladder.alone["limit"] == 0.0


def test_perfect_localisation_leaves_a_false_positive_on_a_taken_object():
    results = [(1, A, 0.9), (1, [0, 5, 10, 10], 0.8), (1, B, 0.7)]
    ladder = ladder_of([(1, A), (1, B)], results)
    assert ladder.average_precision == levels((51, 1), (50, 2 / 3))
    assert ladder.alone["localisation"] == ladder.average_precision


def test_a_better_scored_detection_takes_the_object_and_the_worse_one_is_gone():
    # Before: false, true. With the box put right: true, and the other is no false positive.
    ladder = ladder_of([(1, A)], [(1, [0, 5, 10, 10], 0.9), (1, A, 0.8)])
    assert ladder.average_precision == 0.5
    assert ladder.alone["localisation"] == NEARLY_ONE


def test_perfect_classification_gives_a_detection_the_category_of_a_free_object():
    ladder = ladder_of([(1, A), (2, B)], [(1, B, 0.9), (1, A, 0.8)])
    # Persons: false, true. Boats: nothing. Then each category has its one object first.
    assert ladder.average_precision == 0.25
    assert ladder.alone["classification"] == NEARLY_ONE


def test_its_own_category_comes_first_however_small_the_iou():
    truths = [(1, [0, 7, 10, 10]), (2, A)]
    ladder = ladder_of(truths, [(1, A, 0.9)])
    assert ladder.alone["classification"] == NEARLY_HALF  # the boat
    assert ladder.cumulative["localisation"] == NEARLY_HALF  # the person
    # Still one object of two.
    assert ladder.cumulative["classification"] == NEARLY_HALF


def test_localisation_and_classification_together_put_both_right():
    ladder = ladder_of([(2, A)], [(1, [0, 5, 10, 10], 0.9)])
    assert ladder.alone == {"limit": 0.0, "localisation": 0.0, "classification": 0.0}
    assert ladder.cumulative["classification"] == NEARLY_ONE


def test_without_a_limit_what_was_cut_finds_its_object():
    results = [(1, FAR, 0.9), (1, A, 0.8)]
    ladder = ladder_of([(1, A)], results, max_dets=(1,))
    assert ladder.average_precision == 0.0
    assert ladder.alone["limit"] == 0.5
    assert ladder.alone["localisation"] == 0.0


def test_what_was_cut_becomes_no_false_positive():
    # Plainly without a limit the second detection would be one, before the hit in image 2.
    ground_truth, results = scene([(1, A), (1, B)], [(1, A, 0.9), (1, FAR, 0.8), (1, B, 0.3)])
    ground_truth["images"].append({**ground_truth["images"][0], "id": 2})
    ground_truth["annotations"][1]["image_id"] = results[2]["image_id"] = 2
    annotations, detections = tables(ground_truth, results)
    result = evaluate_average_precision(annotations, detections, max_dets=(1, 2))
    assert result.average_precision(2)["tiny_50"] < result.average_precision(1)["tiny_50"]
    ladder = climb(result, annotations, detections, max_dets=1)
    assert ladder.average_precision == ladder.alone["limit"] == NEARLY_ONE


def test_perfect_merging_removes_duplicates():
    results = [(1, A, 0.9), (1, A, 0.8), (1, FAR, 0.7), (1, B, 0.6)]
    ladder = ladder_of([(1, A), (1, B)], results, removed=[])
    assert ladder.average_precision == levels((51, 1), (50, 1 / 2))
    assert ladder.alone["merging"] == levels((51, 1), (50, 2 / 3))


def test_perfect_merging_brings_back_what_was_wrongly_removed():
    ladder = ladder_of([(1, A), (1, B)], [(1, A, 0.9)], removed=[(1, B, 0.8), (1, FAR, 0.85)])
    assert ladder.average_precision == levels((51, 1))
    assert ladder.alone["merging"] == NEARLY_ONE  # and FAR is no false positive


def test_an_object_keeps_its_best_detection_although_merging_removed_it():
    results = [(1, FAR, 0.8), (1, [0, 1, 10, 10], 0.7)]
    ladder = ladder_of([(1, A)], results, removed=[(1, A, 0.9)])
    assert ladder.average_precision == 0.5
    assert ladder.alone["merging"] == NEARLY_ONE


def test_perfect_merging_keeps_to_the_limit():
    results = [(1, FAR, 0.9)]
    removed = [(1, A, 0.8)]
    ladder = ladder_of([(1, A)], results, removed, max_dets=(1,))
    assert ladder.alone["merging"] == 0.0
    assert ladder.cumulative["limit"] == 0.5
    better = ladder_of([(1, A)], [(1, FAR, 0.7)], removed, max_dets=(1,))
    assert better.alone["merging"] == NEARLY_ONE


def test_what_merging_removed_counts_on_no_other_rung():
    ladder = ladder_of([(1, A)], [], removed=[(1, A, 0.9)])
    assert ladder.alone == {
        "merging": NEARLY_ONE, "limit": 0.0, "localisation": 0.0, "classification": 0.0,
    }  # fmt: skip


def test_with_merging_a_put_right_detection_of_a_taken_object_is_a_duplicate():
    results = [(1, A, 0.9), (1, [0, 5, 10, 10], 0.8), (1, B, 0.7)]
    ladder = ladder_of([(1, A), (1, B)], results, removed=[])
    assert ladder.alone["merging"] == ladder.alone["localisation"] == ladder.average_precision
    assert ladder.cumulative["localisation"] == NEARLY_ONE


def test_ignored_detections_stay_ignored():
    # In the region, IoU 1/3 with the object: not to be put right. Neither is the large one.
    region = (1, [0, 5, 10, 10], {"ignore": True})
    assert ladder_of([region, (1, A)], [(1, [0, 5, 10, 10], 0.9)]).alone["localisation"] == 0.0
    assert ladder_of([(1, A)], [(1, [0, 0, 21, 21], 0.9)]).alone["localisation"] == 0.0
    removed = [(1, [0, 0, 21, 21], 0.9)]
    assert ladder_of([(1, A)], [], removed).cumulative["localisation"] == 0.0


def test_what_was_cut_finds_its_object_although_a_region_would_ignore_it_otherwise():
    # With the removed detection at A the one at 0.8 would be ignored, but it is not there.
    region = (1, [0, 0, 60, 60], {"ignore": True})
    results, removed = [(1, FAR, 0.9), (1, A, 0.8)], [(1, A, 0.95)]
    assert ladder_of([region, (1, A)], results, removed, max_dets=(1,)).alone["limit"] == 0.5


def test_without_removed_detections_there_is_no_rung_of_merging():
    ladder = ladder_of([(1, A)], [])
    assert tuple(ladder.alone) == tuple(ladder.cumulative) == RUNGS[1:]


def test_rungs_are_free_of_the_error_of_annotation_id_zero():
    ground_truth, results = scene([(1, A)], [(1, A, 0.9)])
    ground_truth["annotations"][0]["id"] = 0
    annotations, detections = tables(ground_truth, results)
    result = evaluate_average_precision(annotations, detections, reference_bugs=True)
    ladder = climb(result, annotations, detections)
    assert ladder.average_precision == 0.0
    assert ladder.alone["limit"] == NEARLY_ONE


# ---- Random input ----


@pytest.mark.parametrize("seed", range(6))
def test_every_rung_is_that_of_the_plain_loops(seed):
    ground_truth, kept, removed = crowded_and_removed(
        seed, odd_areas=seed % 2 > 0, span=40 + 30 * (seed % 3), truths=30, detections=90
    )
    annotations, detections = tables(ground_truth, kept)
    result = evaluate_average_precision(annotations, detections, max_dets=(6, 1000))
    for limit in (6, 1000):
        for label in ("all", "tiny", "tiny3"):
            ladder = climb(
                result,
                annotations,
                detections,
                size_range=label,
                bounds=SIZE_RANGES[label],
                removed=as_detections(removed),
                max_dets=limit,
            )
            for k, rung in enumerate(RUNGS):
                for perfect, value in (
                    ({rung}, ladder.alone[rung]),
                    (set(RUNGS[: k + 1]), ladder.cumulative[rung]),
                ):
                    expected = reference.ladder_value(
                        ground_truth, kept, removed, perfect, label=label, max_dets=limit
                    )
                    assert value == pytest.approx(expected, abs=1e-13, rel=0)


@pytest.mark.parametrize("seed", range(16))
def test_no_rung_is_below_another_with_less(seed):
    ground_truth, kept, removed = crowded_and_removed(
        seed, (0.1, 0.5)[seed % 2], span=25 + 20 * (seed % 4), odd_areas=False
    )
    annotations, detections = tables(ground_truth, kept)
    result = evaluate_average_precision(annotations, detections, max_dets=(4, 12, 1000))
    for limit in (4, 12, 1000):
        for label, bounds in SIZE_RANGES.items():
            options = {"size_range": label, "bounds": bounds, "max_dets": limit}
            merged = as_detections(removed)
            ladder = climb(result, annotations, detections, removed=merged, **options)
            actual = result.average_precision(limit)[f"{label}_50"]
            assert ladder.average_precision == actual
            # Exactly, not nearly.
            assert min(ladder.alone.values()) >= actual
            values = [actual, *ladder.cumulative.values()]
            assert (np.diff(values) >= 0).all()
            assert all(ladder.cumulative[rung] >= ladder.alone[rung] for rung in RUNGS)


def test_on_random_input_every_rung_gains():
    # Otherwise the test above would prove little.
    gains = dict.fromkeys(RUNGS, 0)
    for seed in range(10):
        ground_truth, kept, removed = crowded_and_removed(seed, span=45)
        annotations, detections = tables(ground_truth, kept)
        result = evaluate_average_precision(annotations, detections, max_dets=(8,))
        ladder = climb(result, annotations, detections, removed=as_detections(removed))
        for rung, value in ladder.alone.items():
            gains[rung] += value > ladder.average_precision
    assert min(gains.values()) >= 5


def test_the_arguments_are_left_as_they_were():
    ground_truth, kept, removed = crowded_and_removed(2)
    annotations, detections = tables(ground_truth, kept)
    result, merged = evaluate_average_precision(annotations, detections), as_detections(removed)
    for values in (annotations.table, detections, merged, result.record):
        for name in values.__slots__:
            getattr(values, name).setflags(write=False)
    climb(result, annotations, detections, removed=merged)


# ---- Degenerate input and messages ----


def test_without_ground_truth_there_is_nothing_to_measure():
    ladder = ladder_of([], [(1, A, 0.9)], removed=[(1, B, 0.9)])
    assert ladder.average_precision == -1.0
    assert set(ladder.alone.values()) == set(ladder.cumulative.values()) == {-1.0}


def test_without_detections_every_rung_is_zero():
    ladder = ladder_of([(1, A)], [], removed=[])
    assert ladder.average_precision == 0.0
    assert set(ladder.alone.values()) == set(ladder.cumulative.values()) == {0.0}


def test_removed_detections_of_undeclared_categories_are_dropped():
    ladder = ladder_of([(1, A)], [], removed=[(9, A, 0.9)])
    assert ladder.cumulative["classification"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_range": "huge"}, "size range huge was not evaluated, only"),
        ({"max_dets": 7}, r"maxDets 7 was not evaluated, only \[200, 1000\]"),
    ],
)
def test_what_was_not_evaluated_is_refused(options, message):
    annotations, detections = tables(*scene([(1, A)], []))
    result = evaluate_average_precision(annotations, detections)
    with pytest.raises(InputError, match=message):
        climb(result, annotations, detections, **options)


def test_an_evaluation_without_iou_50_is_refused():
    with pytest.raises(InputError, match=r"IoU 0\.5, not only at \[0\.75\]"):
        ladder_of([(1, A)], [], iou_thresholds=(0.75,))


def test_a_removed_detection_of_an_unknown_image_is_refused():
    annotations, detections = tables(*scene([(1, A)], []))
    result = evaluate_average_precision(annotations, detections)
    removed = as_detections([{"image_id": 5, "category_id": 1, "bbox": A, "score": 0.5}])
    with pytest.raises(InputError, match=r"image that gt\.json does not list"):
        climb(result, annotations, detections, removed=removed)
