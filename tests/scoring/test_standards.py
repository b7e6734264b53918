import contextlib
import io
import json

import pytest
from pycocotools import coco, cocoeval

from evaluation_samples import as_annotations, as_detections, crowded, one_image
from scale_match.core.average_precision import SIZE_RANGES
from scale_match.core.errors import InputError
from scale_match.core.miss_rate import MISS_RATE_RANGES
from scale_match.scoring.standards import (
    COCO,
    COCO_METRICS,
    TINY,
    Standard,
    coco_metrics,
    coco_notes,
    load_standard,
)
from scale_match.storage.annotations import read_annotations
from scale_match.storage.results import read_detections

FIXTURES = ("small", "edge", "edge/crowd", "edge/twocat", "edge/maxdets", "edge/areafield",
            "edge/nogts", "quirks/gtid0")  # fmt: skip


@pytest.fixture
def load(tmp_path):
    """Writes a text as a YAML file and loads it as a standard."""

    def load_text(text, name="my.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return load_standard(path)

    return load_text


def plain_pycocotools(gt_path, dt_path):
    """The twelve numbers, the usual way."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(gt_path))
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(str(dt_path)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


# ---- Standards ----


def test_tiny_is_the_benchmark_and_coco_adds_to_it():
    assert load_standard("tiny") is TINY
    assert load_standard("coco") is COCO
    for standard in (TINY, COCO):
        assert standard.size_ranges == SIZE_RANGES
        assert standard.miss_rate_ranges == MISS_RATE_RANGES
        assert standard.iou_thresholds is standard.max_dets is None
    assert (TINY.coco, COCO.coco) == (False, True)


def test_a_plain_mapping_gives_the_ranges_of_all_metrics(load):
    standard = load("mini: [1, 10]\nlarge: [10.5, 1e5]\n")
    ranges = {"mini": (1.0, 10.0), "large": (10.5, 100_000.0)}
    assert standard == Standard("my", ranges, ranges)


def test_the_long_form_gives_everything(load):
    standard = load(
        "name: mine\nsize_ranges: {a: [0, 5]}\nmiss_rate_ranges: {b: [-1, 5]}\n"
        "iou_thresholds: [0.4]\nmax_dets: [300, 20]\n"
    )
    assert standard == Standard(
        "mine", {"a": (0.0, 5.0)}, {"b": (-1.0, 5.0)}, False, (0.4,), (300, 20)
    )


def test_the_long_form_may_say_less(load):
    standard = load("size_ranges: {a: [0, 5]}", name="short.yml")
    assert standard == Standard("short", {"a": (0.0, 5.0)}, {"a": (0.0, 5.0)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", r"my.yaml is not valid YAML: while parsing .* line 1, column 4"),
        ("", r"my.yaml is no standard: a mapping of labels .* is needed, received None$"),
        ("[1, 2]", r"my.yaml is no standard: a mapping .* received \[1, 2\]$"),
        ("a: 5", r"Expected `array`, got `int` - at `\$.size_ranges.*received \{'a': 5\}"),
        ("a: [1, 2, 3]", r"Expected `array` of length 2, got 3 - at `\$.size_ranges\[...\]`"),
        ("a: [1, two]", r"Expected `float`, got `str`"),
        ("8: [1, 2]", r"Expected `str`"),
        ("a: [5, 2]", r"my.yaml: size_ranges needs ranges with 0 <= smallest .*'a': \(5.0, 2.0\)"),
        ("a: [1, .nan]", r"my.yaml: size_ranges needs ranges with 0 <= smallest"),
        ("a: [1, .inf]", r"my.yaml: size ranges need finite bounds, for example 100000 .* inf\)"),
        ("a b: [1, 2]", r"my.yaml: size_ranges needs labels of letters, digits and _"),
        ("size_ranges: {}", r"my.yaml: size_ranges needs ranges of sizes; received"),
        ("size_ranges: {a: [1, 2]}\nmiss_rate_range: {a: [1, 2]}",
         r"contains unknown field `miss_rate_range`.* keys of the long form are size_ranges, miss"),
        ("max_dets: [1]", r"missing required field `size_ranges`"),
        ("size_ranges: {a: [1, 2]}\nmiss_rate_ranges: {a: [3, 2]}",
         r"my.yaml: the size_ranges of the miss rate need smallest <= largest"),
        ("size_ranges: {a: [1, 2]}\nmax_dets: [0]", r"my.yaml: max_dets needs positive"),
        ("size_ranges: {a: [1, 2]}\niou_thresholds: [2]",
         r"my.yaml: iou_thresholds needs numbers in \(0, 1\]; received \[2.0\]"),
        ("size_ranges: {a: [1, 2]}\niou_thresholds: []", r"my.yaml: iou_thresholds needs numbers"),
        ("size_ranges: {a: [1, 2]}\nmax_dets: []", r"my.yaml: max_dets needs positive"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_sentence_that_names_it(load, text, message):
    with pytest.raises(InputError, match=message) as error:
        load(text)
    assert "\n" not in str(error.value)
    assert "my.yaml" in str(error.value)


def test_a_name_that_is_no_standard_is_refused():
    message = r"must be tiny or coco or the path of a .yaml file, received 'huge'$"
    with pytest.raises(InputError, match=message):
        load_standard("huge")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.yaml: No such file"):
        load_standard(tmp_path / "none.yaml")


# ---- COCO's numbers ----


@pytest.mark.parametrize("fixture", FIXTURES)
def test_cocos_numbers_are_exactly_those_of_pycocotools(shared, fixture, capsys):
    gt_path, dt_path = (shared(f"oracle/eval/{fixture}/{name}.json") for name in ("gt", "dt"))
    metrics = coco_metrics(gt_path, read_detections(dt_path))
    assert capsys.readouterr().out == ""
    assert list(metrics) == list(COCO_METRICS)
    assert list(metrics.values()) == plain_pycocotools(gt_path, dt_path)


@pytest.mark.parametrize("seed", range(3))
def test_equal_scores_crowds_and_more_than_100_detections_make_no_difference(tmp_path, seed):
    ground_truth, results = crowded(seed, images=2, truths=60, detections=700, span=300)
    for entry in ground_truth["annotations"]:
        entry["id"] += 1
    paths = tmp_path / "gt.json", tmp_path / "dt.json"
    for path, content in zip(paths, (ground_truth, results), strict=True):
        path.write_text(json.dumps(content))
    metrics = coco_metrics(as_annotations(ground_truth), as_detections(results))
    assert list(metrics.values()) == plain_pycocotools(*paths)
    assert 0 < metrics["AP50"] < 1


def test_what_is_only_ignored_is_an_ordinary_object_there():
    tables = one_image([([0, 0, 10, 10], {"ignore": True})], [])
    assert coco_metrics(*tables)["AP"] == 0.0
    tables = one_image([([0, 0, 10, 10], {"iscrowd": 1})], [])
    assert coco_metrics(*tables)["AP"] == -1.0


def test_a_second_detection_of_an_object_is_false():
    first, second = [0, 0, 9, 9], [50, 0, 9, 9]
    found = [(first, 0.9), (first, 0.8), (second, 0.7)]
    metrics = coco_metrics(*one_image([(first, {}), (second, {})], found))
    assert metrics["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)


def test_without_ground_truth_there_is_nothing_to_measure():
    metrics = coco_metrics(*one_image([], [([0, 0, 9, 9], 0.5)]))
    assert set(metrics.values()) == {-1.0}


def test_detections_of_undeclared_categories_are_dropped():
    annotations, detections = one_image([([0, 0, 9, 9], {})], [([0, 0, 9, 9], 0.5)])
    detections.category_ids[:] = 77
    assert coco_metrics(annotations, detections)["AP50"] == 0.0


def test_a_detection_of_an_unknown_image_is_refused():
    annotations, detections = one_image([], [([0, 0, 9, 9], 0.5)])
    detections.image_ids[:] = 4
    with pytest.raises(InputError, match="detection 0 of image 4 belongs to an image"):
        coco_metrics(annotations, detections)


def test_where_the_rules_differ_from_ours_there_is_a_note():
    box = [0, 0, 9, 9]
    assert coco_notes(one_image([(box, {}), (box, {"iscrowd": 1, "ignore": 1})], [])[0]) == ()
    annotations, _ = one_image([(box, {"id": 0}), (box, {"uncertain": 1})], [])
    first, second = coco_notes(annotations)
    assert first.startswith("gt.json: annotation id 0: COCO's numbers are those of pycocotools")
    assert second.startswith("gt.json: 1 of 2 annotations are flagged ignore or uncertain but")


def test_ground_truth_may_be_a_file_or_read_already(shared):
    gt_path = shared("oracle/eval/small/gt.json")
    detections = read_detections(shared("oracle/eval/small/dt.json"))
    assert coco_metrics(gt_path, detections) == coco_metrics(read_annotations(gt_path), detections)
