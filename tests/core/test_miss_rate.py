import json
import math
from pathlib import Path

import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded, one_image
from oracles import miss_rate_reference as reference
from scale_match.core import ranking
from scale_match.core.errors import InputError
from scale_match.core.miss_rate import (
    FPPI_POINTS,
    MISS_RATE_RANGES,
    check_miss_rate_options,
    evaluate_miss_rate,
)
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

OBJECT = [100, 100, 10, 10]
ELSEWHERE = [300, 300, 10, 10]


def evaluated(truths, results, **options):
    return evaluate_miss_rate(*one_image(truths, results), **options)


def only(result, key="All_50"):
    """tp, fp, ignored of one key."""
    counts = result.counts()[key]
    return counts["tp"], counts["fp"], counts["ignored"]


def assert_agrees(folder: Path, expected_file: str, *, reference_bugs: bool):
    annotations = read_annotations(folder / "gt.json")
    detections = read_detections(folder / "dt.json", annotations)
    result = evaluate_miss_rate(annotations, detections, reference_bugs=reference_bugs)
    expected = json.loads((folder / expected_file).read_text())
    assert list(result.miss_rates()) == list(expected["MR"])
    assert result.miss_rates() == pytest.approx(expected["MR"], abs=1e-9, rel=0)
    assert result.points().keys() == expected["MR_points"].keys()
    for key, points in result.points().items():
        assert np.shape(points) == np.shape(expected["MR_points"][key])
        assert np.allclose(points, expected["MR_points"][key], atol=1e-9, rtol=0)
    assert result.counts() == expected["MR_counts"]


def with_visibility(ground_truth, seed):
    """Let some of the objects be hidden in part, and have a size of their own."""
    rng = np.random.default_rng(seed)
    for entry in ground_truth["annotations"]:
        width, height = entry["bbox"][2:]
        kind = rng.integers(5)
        if kind == 0:
            entry["vis_ratio"] = float(rng.choice([0.0, 0.5, 0.65, 0.8, 1.0]))
        if kind <= 1:
            entry["vis"] = [*entry["bbox"][:2], width * float(rng.choice([0.5, 0.65, 1])), height]
        if kind == 2:
            entry["size"] = float(rng.choice([2, 8, 12, 20, 25, 32]))


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
@pytest.mark.parametrize("seed", range(8))
def test_every_value_is_that_of_the_plain_loops(tmp_path, monkeypatch, seed, id_zero_bug):
    monkeypatch.setattr(ranking, "_BLOCK", (10, 1 << 15)[seed % 2])
    ground_truth, results = crowded(
        seed,
        images=4 + 20 * (seed % 3),
        odd_areas=seed % 3 > 0,
        span=30 + 20 * (seed % 4),
        ignored=(0.1, 0.5)[seed % 2],
    )
    with_visibility(ground_truth, seed)
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(ground_truth))
    result = evaluate_miss_rate(
        read_annotations(path), as_detections(results), reference_bugs=id_zero_bug
    )
    expected = reference.evaluate(ground_truth, results, id_zero_bug=id_zero_bug)
    assert result.counts() == expected["counts"]
    assert result.points() == expected["points"]  # not nearly: exactly
    assert result.miss_rates() == pytest.approx(expected["MR"], abs=1e-14, rel=0)


def test_the_random_input_meets_every_rule():
    # Otherwise the comparison above would prove little.
    outcomes, zero_points, beyond_first = np.zeros(3, int), 0, 0
    for seed in range(8):
        ground_truth, results = crowded(seed)
        result = evaluate_miss_rate(as_annotations(ground_truth), as_detections(results))
        outcomes += result.num_outcomes.sum(axis=(0, 1, 2))
        zero_points += int((result.misses == 0).sum())
        beyond_first += int((np.diff(result.misses) > 0).sum())
    assert (outcomes > 500).all()
    assert zero_points
    assert beyond_first  # the final recall at a point that the first detection exceeds


# ---- Rules one by one ----


def test_a_miss_rate_of_zero_at_one_point_makes_it_zero():
    result = evaluated([(OBJECT, {})], [(OBJECT, 0.9)])
    assert result.miss_rates()["tiny2_50"] == 0.0


def test_half_of_the_objects_missed_is_a_half():
    result = evaluated([(OBJECT, {}), (ELSEWHERE, {})], [(OBJECT, 0.9)])
    assert result.points()["tiny_50"] == [0.5] * 9
    assert result.miss_rates()["tiny_50"] == pytest.approx(0.5, abs=1e-15)


def test_the_points_count_false_positives_per_image_of_the_file():
    # 50 images: one false positive is 0.02 per image, and stands before the only hit.
    annotations, detections = one_image(
        [(OBJECT, {}), ([200, 100, 10, 10], {})],
        [(OBJECT, 0.9), (ELSEWHERE, 0.8), ([200, 100, 10, 10], 0.7)],
    )
    ground_truth = {"images": [{"id": k, "file_name": "a", "width": 9, "height": 9} for k in
                    range(1, 51)], "annotations": [], "categories": []}  # fmt: skip
    images = as_annotations({**ground_truth}).images
    annotations = type(annotations)("gt.json", images, annotations.categories, annotations.table)
    points = evaluate_miss_rate(annotations, detections).points()["All_50"]
    assert points == [0.5, 0.5, 0, 0, 0, 0, 0, 0, 0]  # 0.01 and 0.0178 are below 0.02


def test_a_false_positive_that_exceeds_all_points_gives_the_final_recall():
    result = evaluated(
        [(OBJECT, {}), ([200, 100, 10, 10], {})],
        [(ELSEWHERE, 0.9), (OBJECT, 0.8)],
    )
    # One image: the first false positive is an fppi of 1, within the last point only.
    assert result.points()["All_50"] == [0.5] * 9
    result = evaluated(
        [(OBJECT, {}), ([200, 100, 10, 10], {})],
        [(ELSEWHERE, 0.9), (OBJECT, 0.8), (ELSEWHERE, 0.7), ([200, 100, 10, 10], 0.6)],
    )
    assert result.points()["All_50"] == [0.0] * 8 + [0.5]


def test_an_fppi_of_exactly_a_point_is_within_it():
    assert FPPI_POINTS[0] > 0.01
    assert FPPI_POINTS[4] > 0.1
    assert FPPI_POINTS[8] > 1.0


def test_the_points_are_evenly_spaced_in_the_logarithm():
    formula = [math.exp(math.log(0.01) + k * math.log(100) / 8) for k in range(9)]
    assert FPPI_POINTS.tolist() == pytest.approx(formula, rel=4e-16)
    assert FPPI_POINTS.tolist() == list(reference.FPPI_POINTS)


def test_both_bounds_belong_to_a_size_range_and_the_smallest_size_is_two():
    truths = [([0, 0, 8, 8], {}), ([50, 0, 12, 12], {}), ([90, 0, 1, 1], {}), ([120, 0, 2, 2], {})]
    result = evaluated(truths, [])
    numbers = {label: result.counts()[f"{label}_50"]["npos"] for label in result.size_ranges}
    assert numbers == {"tiny1": 2, "tiny2": 2, "tiny3": 1, "tiny": 3, "small": 0, "All": 4}


def test_the_size_field_goes_before_the_area(tmp_path):
    path = tmp_path / "gt.json"
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": OBJECT, "size": 25.0}
    image = {"id": 1, "file_name": "a.jpg", "width": 500, "height": 500}
    content = {"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "p"}]}
    path.write_text(json.dumps(content))
    counts = evaluate_miss_rate(read_annotations(path), as_detections([])).counts()
    assert (counts["small_50"]["npos"], counts["tiny_50"]["npos"]) == (1, 0)


def test_detections_of_another_size_are_left_out_without_a_trace():
    # Of the range tiny2, 8 to 12: used from 6.4, below 15.
    sides = (6.39, 6.4, 14.99, 15.0)
    results = [([300, 300, side, side], 0.9) for side in sides]
    result = evaluated([(OBJECT, {})], results)
    assert only(result, "tiny2_50") == (0, 2, 0)
    assert only(result, "All_50") == (0, 4, 0)


def test_the_limit_of_1000_comes_before_the_sizes():
    results = [([300, 300, 100, 100], 0.9)] * 1000 + [(OBJECT, 0.8)]
    assert only(evaluated([(OBJECT, {})], results), "tiny2_50") == (0, 0, 0)
    assert only(evaluated([(OBJECT, {})], results[1:]), "tiny2_50") == (1, 0, 0)


def test_a_crowd_counts_and_flagged_or_hidden_objects_do_not():
    crowd = evaluated([(OBJECT, {"iscrowd": 1})], [(OBJECT, 0.9)])
    assert crowd.counts()["All_50"] == {"npos": 1, "tp": 1, "fp": 0, "ignored": 0}
    for flag in ("ignore", "uncertain"):
        result = evaluated([(OBJECT, {flag: 1})], [(OBJECT, 0.9)])
        assert result.counts()["All_50"] == {"npos": 0, "tp": 0, "fp": 0, "ignored": 1}


@pytest.mark.parametrize(("visible", "npos"), [(0.6499, 0), (0.65, 1), (1.0, 1)])
def test_an_object_of_which_too_little_is_visible_is_ignored(visible, npos):
    annotations, detections = one_image([(OBJECT, {})], [(OBJECT, 0.9)])
    annotations.table.visibilities[:] = visible
    result = evaluate_miss_rate(annotations, detections)
    assert result.counts()["All_50"]["npos"] == npos


def test_of_two_objects_with_equal_iou_the_later_in_the_file_is_taken():
    truths = [([0, 0, 10, 10], {}), ([10, 0, 10, 10], {})]
    # The second detection fits only the first object, which the first detection must have left.
    results = [([5, 0, 10, 10], 0.9), ([0, 0, 10, 10], 0.8)]
    assert only(evaluated(truths, results), "All_25") == (2, 0, 0)


def test_the_share_inside_an_ignored_region_forgives_at_the_threshold():
    # The area field is small, so that the second test fails.
    region = ([0, 0, 100, 100], {"ignore": True, "area": 1})
    for inside, outcome in ((5, (0, 0, 1)), (4.99, (0, 1, 0))):
        result = evaluated([region], [([100 - inside, 20, 10, 10], 0.9)])
        assert only(result, "All_50") == outcome


def test_a_large_ignored_region_forgives_whoever_touches_it():
    region = ([0, 0, 100, 100], {"ignore": True})
    # A share of 0.005 of a box of 100 with a region of 10000: 0.005 / 1.005 * 101 = 0.5025.
    for inside, outcome in ((0.05, (0, 0, 1)), (0.04, (0, 1, 0))):
        result = evaluated([region], [([100 - inside, 20, 10, 10], 0.9)])
        assert only(result, "All_75") == outcome


def test_an_object_wins_over_an_ignored_region_that_fits_better():
    truths = [([100, 100, 10, 10], {}), ([100, 100, 10, 14], {"ignore": True})]
    assert only(evaluated(truths, [([100, 100, 10, 14], 0.9)])) == (1, 0, 0)


def test_a_second_detection_of_an_object_is_false_and_of_a_region_ignored():
    assert only(evaluated([(OBJECT, {})], [(OBJECT, 0.9), (OBJECT, 0.8)])) == (1, 1, 0)
    truths = [(OBJECT, {"ignore": True})]
    assert only(evaluated(truths, [(OBJECT, 0.9), (OBJECT, 0.8)])) == (0, 0, 2)


def test_at_a_threshold_of_one_an_equal_box_counts():
    box = [0.1, 0.1, 4.0, 4.0]
    result = evaluated([(box, {})], [(box, 0.9)], iou_thresholds=(1.0,))
    assert only(result, "All_100") == (1, 0, 0)


def test_ranges_and_thresholds_can_be_chosen():
    result = evaluated(
        [(OBJECT, {})], [(OBJECT, 0.9)], iou_thresholds=(0.6,), size_ranges={"mini": (9.0, 11.0)}
    )
    assert result.miss_rates() == {"mini_60": 0.0}


# ---- Properties ----


def test_parts_of_the_data_worked_on_at_a_time_make_no_difference(monkeypatch):
    ground_truth, results = crowded(5)
    tables = as_annotations(ground_truth), as_detections(results)
    whole = evaluate_miss_rate(*tables)
    monkeypatch.setattr(ranking, "_BLOCK", 3)
    assert evaluate_miss_rate(*tables).points() == whole.points()


def test_the_arguments_are_left_as_they_were():
    ground_truth, results = crowded(5)
    annotations, detections = as_annotations(ground_truth), as_detections(results)
    for table in (annotations.table, detections):
        for name in table.__slots__:
            getattr(table, name).setflags(write=False)
    evaluate_miss_rate(annotations, detections, reference_bugs=True)


def test_more_false_positives_never_make_it_better():
    truths = [([20 * k, 0, 10, 10], {}) for k in range(10)]
    hits = [([20 * k, 0, 10, 10], 0.9 - 0.05 * k) for k in range(8)]
    rates = []
    for number in range(5):
        noise = [(ELSEWHERE, 0.89 - 0.1 * k) for k in range(number)]
        rates.append(evaluated(truths, hits + noise).miss_rates()["All_50"])
    assert rates == sorted(rates)


# ---- Degenerate input ----


def test_ground_truth_without_detections_is_all_missed():
    result = evaluated([(OBJECT, {})], [])
    assert result.miss_rates()["tiny_50"] == 1.0
    assert result.points()["tiny_50"] == [1.0] * 9


def test_without_ground_truth_there_is_nothing_to_measure():
    result = evaluated([], [(OBJECT, 0.9)])
    assert set(result.miss_rates().values()) == {-1.0}
    assert result.points()["tiny_50"] == [-1.0] * 9
    assert only(result) == (0, 1, 0)


def test_without_categories_and_images_there_is_nothing_to_measure():
    nothing = {"images": [], "annotations": [], "categories": []}
    result = evaluate_miss_rate(as_annotations(nothing), as_detections([]))
    assert set(result.miss_rates().values()) == {-1.0}
    assert result.points()["tiny_50"] == []


def test_each_category_has_its_points_and_one_without_objects_takes_no_part():
    ground_truth, results = crowded(7)
    result = evaluate_miss_rate(as_annotations(ground_truth), as_detections(results))
    points = result.points()["All_25"]
    assert len(points) == 3
    assert points[1] == [-1.0] * 9  # category 4, of 2, 4, 7
    by_category = result.category_miss_rates()
    assert by_category[4]["All_25"] == -1.0
    mean = math.sqrt(by_category[2]["All_25"] * by_category[7]["All_25"])
    assert result.miss_rates()["All_25"] == pytest.approx(mean, abs=1e-15)


@pytest.mark.parametrize("box", [[100, 100, 0, 10], [105, 105, 0, 0]])
def test_boxes_of_no_area_match_nothing(box):
    region = ([0, 0, 300, 300], {"ignore": True})
    assert only(evaluated([(OBJECT, {}), region], [(box, 0.9)])) == (0, 1, 0)
    assert only(evaluated([(box, {})], [(OBJECT, 0.9)])) == (0, 1, 0)


# ---- Errors ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou_thresholds": ()}, r"iou_thresholds needs numbers in \(0, 1\]; received \[\]"),
        ({"iou_thresholds": (0.5, 0.501)}, r"differ in round\(100 x IoU\).*\[0.5, 0.501\]"),
        ({"size_ranges": {}}, r"size_ranges needs ranges of sizes; received \{\}"),
        (
            {"size_ranges": {"odd": (5.0, 2.0)}},
            r"miss rate need smallest <= largest size; received \{'odd': \(5.0, 2.0\)\}",
        ),
        ({"size_ranges": {"a-b": (1.0, 2.0)}}, r"letters, digits and _.*\['a-b'\]"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        check_miss_rate_options(**options)
    with pytest.raises(InputError, match=message):
        evaluated([(OBJECT, {})], [], **options)


def test_the_usual_options_are_legal():
    check_miss_rate_options((0.5,), MISS_RATE_RANGES)


def test_a_detection_of_an_unknown_image_is_refused():
    annotations, detections = one_image([(OBJECT, {})], [(OBJECT, 0.9)])
    detections.image_ids[0] = 99
    message = "detection 0 of image 99 belongs to an image that gt.json does not list"
    with pytest.raises(InputError, match=message):
        evaluate_miss_rate(annotations, detections)
