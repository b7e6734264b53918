import json

import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from scale_match.core.ap_result import scores_dict
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.errors import InputError
from scale_match.core.miss_rate import evaluate_miss_rate
from scale_match.scoring.inputs import load_inputs, table_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.scoring.standards import COCO, TINY, Standard, coco_metrics
from scoring_files import crowded_files, found, whole_image_file, write
from scoring_fixtures import FIXTURES, VALUE_KEYS, assert_values

MINE = Standard("mine", {"micro": (1.0, 6.0)}, {"micro": (2.0, 6.0)})


def tables(seed=0):
    ground_truth, results = crowded(seed)
    return as_annotations(ground_truth), as_detections(results)


# ---- The authors' numbers ----


@pytest.mark.parametrize("fixture", FIXTURES)
def test_every_value_is_that_of_the_authors(shared, fixture):
    folder = shared(f"oracle/eval/{fixture}")
    corrected = folder / "expected_fixed.json"
    expected = corrected if corrected.exists() else folder / "expected.json"
    inputs = load_inputs(folder / "gt.json", folder / "dt.json")
    options = ScoringOptions(per_category=True)
    assert_values(score(inputs, options).to_dict(), json.loads(expected.read_text()))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_with_reference_bugs_every_value_is_the_original_one(shared, fixture):
    folder = shared(f"oracle/eval/{fixture}")
    inputs = load_inputs(folder / "gt.json", folder / "dt.json")
    options = ScoringOptions(per_category=True, reference_bugs=True)
    expected = json.loads((folder / "expected.json").read_text())
    assert_values(score(inputs, options).to_dict(), expected)


# ---- Parts and options ----


def test_the_values_are_those_of_the_core():
    annotations, detections = tables()
    scores = score(table_inputs(annotations, detections))
    content = scores.to_dict()
    values = scores_dict(evaluate_average_precision(annotations, detections))
    misses = evaluate_miss_rate(annotations, detections)
    assert {name: content[name] for name in values} == values
    assert content["MR"] == misses.miss_rates()
    assert content["MR_points"] == misses.points()
    assert content["MR_counts"] == misses.counts()
    assert 0 < content["AP"]["tiny_50"] < 1


def test_options_reach_every_value():
    annotations, detections = tables()
    options = ScoringOptions(standard=MINE, max_dets=(30, 5, 7), iou_thresholds=(0.4, 0.615))
    content = score(table_inputs(annotations, detections), options).to_dict()
    assert {name for name in content if name.startswith("A")} == {
        f"{kind}{limit}"
        for kind in ("AP", "AR", "AP_counts")
        for limit in ("", "_maxDets5", "_maxDets7")
    }
    assert set(content["AP"]) == set(content["MR"]) == {"micro_40", "micro_62"}
    ranges = {"size_ranges": MINE.size_ranges, "iou_thresholds": (0.4, 0.615)}
    expected = evaluate_average_precision(annotations, detections, max_dets=(30, 5), **ranges)
    assert content["AP"] == expected.average_precision(30)
    assert content["AR_maxDets5"] == expected.average_recall(5)


def test_without_miss_rate_there_is_none():
    content = score(table_inputs(*tables()), ScoringOptions(miss_rate=False)).to_dict()
    assert not [name for name in content if name.startswith("MR")]


def test_values_of_categories_are_given_only_if_wanted():
    inputs = table_inputs(*tables())
    assert not [name for name in score(inputs).to_dict() if "per_category" in name]
    content = score(inputs, ScoringOptions(per_category=True)).to_dict()
    assert list(content["AP_per_category"]) == ["2", "4", "7"]
    assert content["MR_per_category"]["2"].keys() == content["MR"].keys()
    assert "AP_per_category_maxDets1000" in content


def test_coco_numbers_are_added_if_the_standard_asks_for_them():
    inputs = table_inputs(*tables())
    assert "COCO" not in score(inputs).to_dict()
    scores = score(inputs, ScoringOptions(standard=COCO))
    assert scores.to_dict()["COCO"] == coco_metrics(inputs.annotations, inputs.detections)
    # They change none of the others, so that these can be compared.
    assert scores.to_dict()["AP"] == score(inputs).to_dict()["AP"]
    assert scores.protocol.hash == score(inputs).protocol.hash
    assert "in COCO's numbers they are ordinary objects" in scores.warnings[-1]


def test_numbers_of_images_boxes_and_detections_are_given(tmp_path):
    inputs = load_inputs(*crowded_files(tmp_path))
    assert score(inputs).to_dict()["set"] == {
        "images": 4,
        "gts": 40,
        "dets": 160,
        "dets_dropped": inputs.num_dropped,
    }


def test_inputs_and_options_are_given(tmp_path):
    inputs = load_inputs(*crowded_files(tmp_path))
    content = score(inputs, ScoringOptions(standard=MINE)).to_dict()
    assert content["inputs"] == {
        "gt": {"path": str(tmp_path / "gt.json"), "sha256": inputs.gt_sha256},
        "dt": {"path": str(tmp_path / "dt.json"), "sha256": inputs.dt_sha256},
        "tiles": None,
        "merge": None,
    }
    assert content["options"] == {
        "standard": "mine",
        "size_ranges": {"micro": [1.0, 6.0]},
        "miss_rate_ranges": {"micro": [2.0, 6.0]},
        "coco": False,
        "max_dets": [200, 1000],
        "iou": [0.25, 0.5, 0.75],
        "miss_rate": True,
        "per_category": False,
        "reference_bugs": False,
    }
    assert content["warnings"] == list(inputs.warnings)


def test_what_changes_no_other_value_changes_no_protocol():
    inputs = table_inputs(*tables())
    protocol = score(inputs).protocol
    for same in ({"miss_rate": False}, {"per_category": True}):
        assert score(inputs, ScoringOptions(**same)).protocol.hash == protocol.hash
    for other in (
        {"max_dets": (1000, 200)},
        {"iou_thresholds": (0.5,)},
        {"reference_bugs": True},
        {"standard": MINE},
    ):
        assert score(inputs, ScoringOptions(**other)).protocol.hash != protocol.hash


def test_the_protocol_holds_what_the_model_says():
    inputs = table_inputs(*tables())
    protocol = score(inputs, None, {"score_threshold": 0.05}).protocol
    assert protocol.entries["score_threshold"] == 0.05
    with pytest.raises(InputError, match="the protocol says max_dets"):
        score(inputs, None, {"max_dets": [1]})


# ---- Nothing to score ----


@pytest.mark.parametrize(
    ("boxes", "detections", "ap", "mr"), [(1, 0, 0.0, 1.0), (0, 1, -1.0, -1.0), (0, 0, -1.0, -1.0)]
)
def test_empty_results_and_empty_ground_truth_have_values(tmp_path, boxes, detections, ap, mr):
    truth = whole_image_file()
    truth["annotations"] = truth["annotations"][:boxes]
    gt = write(tmp_path / "gt.json", truth)
    dt = write(tmp_path / "dt.json", [found(1, [0, 0, 10, 10])][:detections])
    content = score(load_inputs(gt, dt)).to_dict()
    assert (content["AP"]["tiny_50"], content["MR"]["tiny_50"]) == (ap, mr)


def test_a_box_of_no_size_has_a_score(tmp_path):
    truth = whole_image_file()
    truth["annotations"].append(truth["annotations"][0] | {"id": 2, "bbox": [5, 5, 0, 0]})
    gt = write(tmp_path / "gt.json", truth)
    dt = write(tmp_path / "dt.json", [found(1, [50, 20, 10, 10]), found(1, [5, 5, 0, 0])])
    content = score(load_inputs(gt, dt)).to_dict()
    assert content["AP"]["tiny_50"] == pytest.approx(1.0, abs=1e-12)


# ---- Options that cannot be used ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_dets": (0,)}, r"max_dets needs positive numbers, each once; received \[0\]"),
        ({"max_dets": ()}, "max_dets needs positive numbers"),
        ({"iou_thresholds": (1.5,)}, r"iou_thresholds needs numbers in \(0, 1\]; received"),
        ({"iou_thresholds": (0.5, 0.501)}, "iou_thresholds needs numbers that differ"),
    ],
)
def test_options_are_checked_when_they_are_made(options, message):
    with pytest.raises(InputError, match=message):
        ScoringOptions(**options)


def test_the_default_is_the_tiny_standard():
    assert ScoringOptions().standard is TINY
    assert set(VALUE_KEYS) <= score(table_inputs(*tables())).to_dict().keys()
