import json
from pathlib import Path

import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded, one_image
from oracles import average_precision_reference as reference
from scale_match.core import ranking
from scale_match.core.ap_result import block_name, scores_dict
from scale_match.core.average_precision import (
    RECALL_LEVELS,
    SIZE_RANGES,
    evaluate_average_precision,
)
from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from scale_match.storage.results import read_detections

CASES = (
    *("nodets", "nogts", "neither", "onlyignored", "emptyrange", "perfect", "first_fp", "crowd"),
    *("mr_ignore", "areafield", "twocat", "maxdets"),
)
QUIRKS = ("gtid0", "iod_rounding", "mr_fields")
FIXTURES = [
    *("small", "edge", "visdrone50"),
    *(f"edge/{case}" for case in CASES),
    *(f"quirks/{case}" for case in QUIRKS),
]


def evaluated(truths, results, **options):
    return evaluate_average_precision(*one_image(truths, results), **options)


def flattened(value, path=()):
    if isinstance(value, dict):
        return {
            k: v for key, part in value.items() for k, v in flattened(part, (*path, key)).items()
        }
    return {path: value}


def assert_agrees(folder: Path, expected_file: str, *, reference_bugs: bool):
    annotations = read_annotations(folder / "gt.json")
    detections = read_detections(folder / "dt.json", annotations)
    result = evaluate_average_precision(annotations, detections, reference_bugs=reference_bugs)
    expected = json.loads((folder / expected_file).read_text())
    names = [name for name in expected if name.startswith(("AP", "AR"))]
    assert {"AP", "AR", "AP_maxDets1000", "AR_maxDets1000", "AP_counts"} <= set(names)
    scores = scores_dict(result, per_category="AP_per_category" in names)
    ours = flattened({name: scores[name] for name in names})
    theirs = flattened({name: expected[name] for name in names})
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs, abs=1e-9, rel=0)


# ---- The authors' numbers ----


@pytest.mark.parametrize("fixture", FIXTURES)
def test_values_are_those_of_the_authors_code(shared, fixture):
    folder = shared(f"oracle/eval/{fixture}")
    corrected = folder / "expected_fixed.json"
    name = corrected.name if corrected.exists() else "expected.json"
    assert_agrees(folder, name, reference_bugs=False)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_with_reference_bugs_every_fixture_has_the_original_answer(shared, fixture):
    folder = shared(f"oracle/eval/{fixture}")
    assert_agrees(folder, "expected.json", reference_bugs=True)


# ---- A plain reference, on crowded random input ----


@pytest.mark.parametrize("id_zero_bug", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_every_value_is_that_of_the_plain_loops(seed, id_zero_bug):
    ground_truth, results = crowded(
        seed, odd_areas=seed % 3 > 0, span=30 + 20 * (seed % 4), ignored=(0.1, 0.5)[seed % 2]
    )
    annotations, detections = as_annotations(ground_truth), as_detections(results)
    limits = (5, 15, 1000)
    result = evaluate_average_precision(
        annotations, detections, max_dets=limits, reference_bugs=id_zero_bug
    )
    for place, limit in enumerate(limits):
        expected = reference.evaluate(
            ground_truth, results, max_dets=limit, id_zero_bug=id_zero_bug
        )
        assert result.counts(limit) == expected["counts"]
        assert result.average_precision(limit) == pytest.approx(expected["AP"], abs=1e-14, rel=0)
        assert result.average_recall(limit) == pytest.approx(expected["AR"], abs=1e-14, rel=0)
        for r, label in enumerate(result.size_ranges):
            for t, threshold in enumerate(result.iou_thresholds):
                curves = expected["precision"][f"{label}_{round(100 * threshold)}"]
                for k, category in enumerate(result.category_ids):
                    # Not nearly: exactly.
                    points = curves.get(int(category), [-1.0] * 101)
                    assert result.precision[place, r, t, k].tolist() == points


def test_the_random_input_meets_every_rule():
    # Otherwise the comparison above would prove little.
    outcomes, limited = np.zeros(3, int), 0
    for seed in range(12):
        ground_truth, results = crowded(seed)
        result = evaluate_average_precision(
            as_annotations(ground_truth), as_detections(results), max_dets=(15,)
        )
        outcomes += result.num_outcomes.sum(axis=(0, 1, 2, 3))
        limited += len(results) > len(result.record.rows)
    assert (outcomes > 500).all()
    assert limited == 12


# ---- Rules one by one ----

OBJECT = [100, 100, 10, 10]
# The protocol adds 2.2e-16 to the denominator of a precision.
NEARLY_ONE = pytest.approx(1.0, abs=1e-15)


def only(result, key="all_50"):
    """tp, fp, ignored of one key."""
    counts = result.counts()[key]
    return counts["tp"], counts["fp"], counts["ignored"]


def test_a_perfect_detection_scores_one():
    result = evaluated([(OBJECT, {})], [(OBJECT, 0.9)])
    assert result.average_precision()["tiny_50"] == NEARLY_ONE
    assert result.average_recall()["tiny_50"] == 1.0


def test_a_false_positive_before_the_hit_halves_the_precision():
    result = evaluated([(OBJECT, {})], [([300, 300, 10, 10], 0.9), (OBJECT, 0.8)])
    assert result.average_precision()["tiny_50"] == 0.5


def test_a_false_positive_after_the_last_hit_costs_nothing():
    result = evaluated([(OBJECT, {})], [(OBJECT, 0.9), ([300, 300, 10, 10], 0.8)])
    assert result.average_precision()["tiny_50"] == NEARLY_ONE


def test_the_second_detection_of_an_object_is_a_false_positive():
    result = evaluated([(OBJECT, {})], [(OBJECT, 0.9), (OBJECT, 0.8)])
    assert only(result) == (1, 1, 0)


def test_an_iou_of_exactly_the_threshold_is_enough():
    assert only(evaluated([(OBJECT, {})], [([100, 100, 10, 5], 0.9)])) == (1, 0, 0)
    assert only(evaluated([(OBJECT, {})], [([100, 100, 10, 4.99], 0.9)])) == (0, 1, 0)


def test_at_a_threshold_of_one_an_equal_box_counts():
    box = [0.1, 0.1, 4.0, 4.0]
    assert reference.iou({"bbox": box}, {"bbox": box, "iscrowd": 0}) < 1  # by rounding
    result = evaluated([(box, {})], [(box, 0.9)], iou_thresholds=(1.0,))
    assert only(result, "all_100") == (1, 0, 0)


def test_of_two_objects_with_equal_iou_the_later_in_the_file_is_taken():
    result = evaluated([([0, 0, 10, 10], {}), ([10, 0, 10, 10], {})], [([5, 0, 10, 10], 0.9)])
    t = result.iou_thresholds.index(0.25)
    assert result.record.found_by[0, t].tolist() == [-1, 0]


def test_a_detection_inside_an_ignored_region_is_ignored_however_often():
    region = ([0, 0, 200, 200], {"ignore": True})
    results = [([20, 20, 10, 10], 0.9), ([20, 20, 10, 10], 0.8), ([50, 20, 10, 10], 0.7)]
    assert only(evaluated([region, (OBJECT, {})], results)) == (0, 0, 3)


def test_an_object_wins_over_an_ignored_region_that_fits_better():
    truths = [([100, 100, 10, 10], {}), ([100, 100, 10, 14], {"ignore": True})]
    assert only(evaluated(truths, [([100, 100, 10, 14], 0.9)])) == (1, 0, 0)


@pytest.mark.parametrize("flag", ["ignore", "uncertain", "iscrowd"])
def test_each_flag_takes_an_object_out_of_the_count(flag):
    result = evaluated([(OBJECT, {flag: 1})], [(OBJECT, 0.9)])
    assert result.counts()["all_50"] == {"npos": 0, "tp": 0, "fp": 0, "ignored": 1}


def test_an_ignored_box_passes_the_iou_test_only_once():
    # Its area field is far too small, so that the IoD test fails (oracle README, rule 2).
    truths = [(OBJECT, {"ignore": True, "area": 1.0}), ([300, 300, 10, 10], {})]
    assert only(evaluated(truths, [(OBJECT, 0.9), (OBJECT, 0.8)]), "all_75") == (0, 1, 1)


def test_a_crowd_passes_the_iou_test_any_number_of_times():
    truths = [(OBJECT, {"iscrowd": 1, "area": 1.0}), ([300, 300, 10, 10], {})]
    assert only(evaluated(truths, [(OBJECT, 0.9), (OBJECT, 0.8)]), "all_75") == (0, 0, 2)


def test_of_ignored_boxes_with_equal_iod_the_first_is_taken():
    # The first detection, between two ignored boxes, passes by its IoD with either (IoU 0.2). The
    # second passes only the IoU test (0.28, IoD 0.24), and that only with the first box.
    flags = {"ignore": True, "area": 50}
    truths = [([100, 0, 14, 10], flags), ([116, 0, 14, 10], flags)]
    results = [([110, 0, 10, 10], 0.9), ([64, 0, 50, 10], 0.8)]
    assert only(evaluated(truths, results), "all_25") == (0, 1, 1)
    assert only(evaluated(truths, results[1:]), "all_25") == (0, 0, 1)


def test_a_detection_that_passes_by_iou_takes_no_second_box_by_iod():
    # IoU 0.9 with the first box, the larger IoD with the second: only the first is taken, and the
    # second is free for a detection that passes only the IoU test (0.25, IoD 0.2495).
    first = ([100, 0, 10, 9], {"ignore": True, "area": 1})
    second = ([100, 5, 10, 10], {"ignore": True, "area": 99})
    results = [([100, 0, 10, 10], 0.9), ([95, 5, 20, 20], 0.8)]
    assert only(evaluated([first, second], results), "all_25") == (0, 0, 2)


def test_an_object_of_another_size_absorbs_its_detection():
    result = evaluated([(OBJECT, {}), ([0, 0, 40, 40], {})], [([0, 0, 40, 40], 0.9)])
    assert only(result, "tiny_50") == (0, 0, 1)
    assert only(result, "all_50") == (1, 0, 0)


def test_an_unmatched_detection_of_another_size_is_ignored():
    result = evaluated([(OBJECT, {})], [([300, 300, 40, 40], 0.9)])
    assert only(result, "tiny_50") == (0, 0, 1)
    assert only(result, "all_50") == (0, 1, 0)


def test_both_bounds_belong_to_a_size_range():
    result = evaluated([([0, 0, 8, 8], {}), ([50, 0, 12, 12], {})], [])
    numbers = {label: result.counts()[f"{label}_50"]["npos"] for label in result.size_ranges}
    assert numbers == {
        "all": 2, "tiny": 2, "tiny1": 1, "tiny2": 2, "tiny3": 1, "small": 0, "reasonable": 0,
    }  # fmt: skip


def test_the_size_of_an_object_is_that_of_its_area_field():
    result = evaluated([([0, 0, 8, 8], {"area": 25 * 25})], [])
    assert result.counts()["small_50"]["npos"] == 1
    assert result.counts()["tiny_50"]["npos"] == 0


def test_equal_scores_keep_the_order_of_the_table():
    hit, miss = (OBJECT, 0.5), ([300, 300, 10, 10], 0.5)
    assert evaluated([(OBJECT, {})], [hit, miss]).average_precision()["all_50"] == NEARLY_ONE
    assert evaluated([(OBJECT, {})], [miss, hit]).average_precision()["all_50"] == 0.5


def test_the_limit_keeps_the_best_detections_of_an_image():
    results = [([300, 300, 10, 10], 0.9), (OBJECT, 0.8)]
    result = evaluated([(OBJECT, {})], results, max_dets=(1, 2))
    assert result.average_precision(1)["all_50"] == 0.0
    assert result.average_precision(2)["all_50"] == 0.5


# ---- Properties ----


def test_values_do_not_depend_on_the_other_limits_asked_for():
    ground_truth, results = crowded(3)
    tables = as_annotations(ground_truth), as_detections(results)
    together = evaluate_average_precision(*tables, max_dets=(20, 3, 7))
    for limit in (20, 3, 7):
        alone = evaluate_average_precision(*tables, max_dets=(limit,))
        assert alone.average_precision() == together.average_precision(limit)
        assert alone.average_recall() == together.average_recall(limit)
        assert alone.counts() == together.counts(limit)


def test_with_distinct_scores_the_order_of_the_table_does_not_matter():
    ground_truth, results = crowded(4)
    rng = np.random.default_rng(0)
    for entry, score in zip(results, rng.permutation(len(results)), strict=True):
        entry["score"] = float(score)
    annotations = as_annotations(ground_truth)
    straight = evaluate_average_precision(annotations, as_detections(results))
    rng.shuffle(results)
    shuffled = evaluate_average_precision(annotations, as_detections(results))
    assert scores_dict(straight, per_category=True) == scores_dict(shuffled, per_category=True)


def test_parts_of_the_data_worked_on_at_a_time_make_no_difference(monkeypatch):
    ground_truth, results = crowded(5, images=9)
    tables = as_annotations(ground_truth), as_detections(results)
    whole = evaluate_average_precision(*tables, reference_bugs=True)
    monkeypatch.setattr(ranking, "_BLOCK", 7)
    parts = evaluate_average_precision(*tables, reference_bugs=True)
    for name in whole.record.__slots__:
        assert (getattr(parts.record, name) == getattr(whole.record, name)).all(), name
    assert (parts.precision == whole.precision).all()


def test_the_arguments_are_left_as_they_were():
    ground_truth, results = crowded(5)
    annotations, detections = as_annotations(ground_truth), as_detections(results)
    for table in (annotations.table, detections):
        for name in table.__slots__:
            getattr(table, name).setflags(write=False)
    evaluate_average_precision(annotations, detections)


def test_the_record_leads_back_to_the_rows_of_the_tables():
    ground_truth, results = crowded(6)
    annotations, detections = as_annotations(ground_truth), as_detections(results)
    record = evaluate_average_precision(annotations, detections).record
    assert (detections.scores[record.rows] == record.scores).all()
    assert (detections.image_ids[record.rows] == record.image_ids[record.images]).all()
    r, t = list(SIZE_RANGES).index("all"), 1
    for target, finder in enumerate(record.found_by[r, t]):
        if finder >= 0:
            truth = record.target_rows[target]
            found = record.rows[finder]
            assert record.outcomes[r, t, finder] == reference.TRUE_POSITIVE
            assert annotations.table.image_ids[truth] == detections.image_ids[found]
            entry = ground_truth["annotations"][truth]
            assert reference.iou(results[found], entry) >= 0.5
    hits = (record.outcomes == reference.TRUE_POSITIVE).sum(axis=2)
    assert ((record.found_by >= 0).sum(axis=2) == hits).all()


def test_the_recall_levels_are_the_doubles_of_linspace():
    assert RECALL_LEVELS[57] == 0.5700000000000001
    assert RECALL_LEVELS.tolist() == reference.RECALL_LEVELS


# ---- Degenerate input ----


def test_ground_truth_without_detections_scores_zero():
    result = evaluated([(OBJECT, {})], [])
    assert result.average_precision()["tiny_50"] == 0.0
    assert result.average_recall()["tiny_50"] == 0.0
    assert result.curve("tiny_50").tolist() == [0.0] * 101


def test_without_ground_truth_there_is_nothing_to_measure():
    result = evaluated([], [(OBJECT, 0.9)])
    assert set(result.average_precision().values()) == {-1.0}
    assert set(result.average_recall().values()) == {-1.0}
    assert result.curve("tiny_50").tolist() == [-1.0] * 101
    assert only(result) == (0, 1, 0)


def test_without_categories_and_images_there_is_nothing_to_measure():
    nothing = {"images": [], "annotations": [], "categories": []}
    result = evaluate_average_precision(as_annotations(nothing), as_detections([]))
    assert set(result.average_precision().values()) == {-1.0}


def test_detections_of_undeclared_categories_are_dropped():
    annotations, detections = one_image([(OBJECT, {})], [(OBJECT, 0.9)])
    detections.category_ids[:] = 77
    assert only(evaluate_average_precision(annotations, detections)) == (0, 0, 0)


def test_a_category_without_ground_truth_takes_no_part_in_the_mean():
    ground_truth, results = crowded(7)
    result = evaluate_average_precision(as_annotations(ground_truth), as_detections(results))
    by_category = result.category_average_precision()
    assert by_category[4]["all_50"] == -1.0
    mean = (by_category[2]["all_50"] + by_category[7]["all_50"]) / 2
    assert result.average_precision()["all_50"] == pytest.approx(mean, abs=1e-15)
    assert result.curve("all_50").mean() == pytest.approx(mean, abs=1e-15)


@pytest.mark.parametrize("box", [[100, 100, 0, 10], [105, 105, 0, 0]])
def test_boxes_of_no_area_match_nothing(box):
    result = evaluated([(OBJECT, {}), ([0, 0, 300, 300], {"ignore": True})], [(box, 0.9)])
    # Smaller than every range: ignored, not false (rule 3).
    assert only(result) == (0, 0, 1)
    assert only(evaluated([(box, {})], [(OBJECT, 0.9)])) == (0, 1, 0)


# ---- Errors ----


def test_a_limit_that_was_not_evaluated_is_refused():
    with pytest.raises(InputError, match=r"maxDets 300 was not evaluated, only \[200, 1000\]"):
        evaluated([(OBJECT, {})], []).average_precision(300)


@pytest.mark.parametrize("method", ["curve", "place"])
def test_a_key_that_was_not_evaluated_is_refused(method):
    with pytest.raises(InputError, match=r"tiny_60 was not evaluated, only \['all_25', 'tiny_25'"):
        getattr(evaluated([(OBJECT, {})], []), method)("tiny_60")


# ---- Keys and blocks ----


def test_keys_name_size_range_and_threshold():
    result = evaluated([(OBJECT, {})], [])
    assert result.place("all_25") == (0, 0)
    assert result.place("tiny_75") == (1, 2)
    assert result.keys() == list(result.average_precision())
    assert result.keys()[6:8] == ["reasonable_25", "all_50"]


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ((200, 1000), ["AR", "AR_maxDets1000"]),
        ((1000, 200, 5), ["AR", "AR_maxDets200", "AR_maxDets5"]),
    ],
)
def test_the_block_of_the_first_limit_has_no_suffix(limits, names):
    assert [block_name("AR", limit, limits) for limit in limits] == names
    result = evaluate_average_precision(*one_image([], []), max_dets=limits)
    assert [name for name in scores_dict(result) if name.startswith("AR")] == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_dets": ()}, r"max_dets needs positive numbers, each once; received \[\]"),
        ({"max_dets": (0,)}, r"max_dets needs positive .* received \[0\]"),
        ({"max_dets": (5, 5)}, r"max_dets .* each once; received \[5, 5\]"),
        ({"iou_thresholds": ()}, r"iou_thresholds needs numbers in \(0, 1\]; received \[\]"),
        ({"iou_thresholds": (0.5, 0)}, r"iou_thresholds .* received \[0.5, 0\]"),
        ({"iou_thresholds": (1.5,)}, r"iou_thresholds .* received \[1.5\]"),
        ({"iou_thresholds": (0.5, 0.501)}, r"differ in round\(100 x IoU\).*\[0.5, 0.501\]"),
        ({"size_ranges": {}}, r"size_ranges needs ranges .* received \{\}"),
        ({"size_ranges": {"odd": (5.0, 2.0)}}, r"0 <= smallest <= largest .*'odd': \(5.0, 2.0\)"),
        ({"size_ranges": {"a-b": (1.0, 2.0)}}, r"letters, digits and _.*\['a-b'\]"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        evaluated([(OBJECT, {})], [], **options)


def test_a_detection_of_an_unknown_image_is_refused():
    annotations, detections = one_image([(OBJECT, {})], [(OBJECT, 0.9), (OBJECT, 0.8)])
    detections.image_ids[1] = 99
    message = "detection 1 of image 99 belongs to an image that gt.json does not list"
    with pytest.raises(InputError, match=message):
        evaluate_average_precision(annotations, detections)


@pytest.mark.parametrize(
    ("box", "score", "message"),
    [
        (OBJECT, float("nan"), "detection 0 of image 1 needs a finite score; .* its score nan"),
        (
            [0, 0, float("inf"), 1],
            0.9,
            r"needs a box of finite numbers; its box is \[0.0, 0.0, inf",
        ),
        ([0, 0, -1, 1], 0.9, r"without negative width or height; its box is \[0.0, 0.0, -1.0"),
    ],
)
def test_a_detection_without_proper_numbers_is_refused(box, score, message):
    with pytest.raises(InputError, match=message):
        evaluated([(OBJECT, {})], [(box, score)])


def test_ground_truth_of_an_unlisted_image_is_refused():
    annotations, detections = one_image([(OBJECT, {})], [])
    annotations.table.image_ids[0] = 8
    with pytest.raises(InputError, match=r"gt.json: annotation 1 belongs to image 8, which the"):
        evaluate_average_precision(annotations, detections)
