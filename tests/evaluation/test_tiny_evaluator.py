import json
import logging
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.evaluation import print_csv_format

from evaluation_processes import CLASSES, evaluate_a_share, process, sample
from evaluation_samples import as_annotations, as_detections
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.errors import InputError
from scale_match.core.metric_names import tiny_metrics
from scale_match.data.datasets import register_coco_file
from scale_match.engine.launch import launch
from scale_match.evaluation.tiny_evaluator import (
    DETECTIONS_FILE,
    METRICS_FILE,
    TinyObjectEvaluator,
)
from scale_match.scoring.files import SCORES_FILE, read_saved_scores
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.protocol_files import PROTOCOL_FILE, read_protocol
from scale_match.scoring.scores import score
from scale_match.storage.results import read_detections


def evaluated(ground_truth, results, image_ids=None, **options):
    evaluator = TinyObjectEvaluator(
        annotations=as_annotations(ground_truth), distributed=False, **options
    )
    evaluator.reset()
    process(evaluator, ground_truth, results, image_ids)
    return evaluator.evaluate()


def expected_metrics(ground_truth, results, **options):
    rounded = [entry | {"score": float(np.float32(entry["score"]))} for entry in results]
    tables = as_annotations(ground_truth), as_detections(rounded)
    return tiny_metrics(evaluate_average_precision(*tables, **options))


# ---- Values ----


def test_metrics_are_those_of_the_detections_that_were_processed():
    ground_truth, results = sample()
    metrics = evaluated(ground_truth, results)["bbox"]
    assert metrics == expected_metrics(ground_truth, results)
    assert 0 < metrics["AP50_tiny"] < 1


def test_the_limits_are_those_asked_for():
    ground_truth, results = sample()
    metrics = evaluated(ground_truth, results, max_dets=(3, 8))["bbox"]
    assert metrics == expected_metrics(ground_truth, results, max_dets=(3, 8))
    assert "AP50_tiny_maxDets3" in metrics


def test_without_detections_the_score_is_zero_and_minus_one_where_nothing_is_to_find():
    ground_truth, _ = sample()
    metrics = evaluated(ground_truth, [])["bbox"]
    assert metrics["AP50_tiny"] == 0.0
    ground_truth["annotations"] = []
    assert set(evaluated(ground_truth, [])["bbox"].values()) == {-1.0}


def test_reset_forgets_the_detections():
    ground_truth, results = sample()
    evaluator = TinyObjectEvaluator(annotations=as_annotations(ground_truth), distributed=False)
    for _ in range(2):
        evaluator.reset()
        process(evaluator, ground_truth, results)
        metrics = evaluator.evaluate()["bbox"]
    assert metrics == expected_metrics(ground_truth, results)


def test_class_indices_become_the_category_ids_named():
    ground_truth, results = sample()
    swapped = evaluated(ground_truth, results, category_ids=(7, 4, 2))["bbox"]
    renamed = [entry | {"category_id": 9 - entry["category_id"]} for entry in results]
    renamed = [e | {"category_id": 4} if e["category_id"] == 5 else e for e in renamed]
    assert swapped == expected_metrics(ground_truth, renamed)


def test_detectron2_can_print_every_metric(caplog):
    ground_truth, results = sample()
    metrics = evaluated(ground_truth, results)
    with caplog.at_level(logging.INFO, logger="detectron2.evaluation.testing"):
        print_csv_format(metrics)
    assert f"copypaste: {','.join(metrics['bbox'])}" in caplog.text  # none is left out


# ---- By the name of a data set ----


def by_detectron2(name, path):
    register_coco_instances(name, {}, str(path), str(path.parent))


def by_our_loader(name, path):
    register_coco_file(name, path, path.parent)


@pytest.mark.parametrize("register", [by_detectron2, by_our_loader])
def test_a_registered_data_set_names_its_ground_truth(tmp_path, register):
    ground_truth, results = sample()
    for entry in ground_truth["annotations"]:
        del entry["ignore"]  # detectron2's loader refuses it
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(ground_truth))
    name = f"evaluator_test_{register.__name__}"
    register(name, path)
    try:
        evaluator = TinyObjectEvaluator(name, distributed=False)
        process(evaluator, ground_truth, results)
        assert evaluator.evaluate()["bbox"] == expected_metrics(ground_truth, results)
        assert MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id == CLASSES
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_a_data_set_without_an_annotation_file_is_refused():
    DatasetCatalog.register("evaluator_test_bare", list)
    try:
        with pytest.raises(InputError, match="'evaluator_test_bare' has no metadata 'json_file'"):
            TinyObjectEvaluator("evaluator_test_bare")
    finally:
        DatasetCatalog.remove("evaluator_test_bare")
        MetadataCatalog.remove("evaluator_test_bare")


# ---- Files and log ----


def test_the_files_hold_what_was_evaluated(tmp_path):
    ground_truth, results = sample()
    metrics = evaluated(ground_truth, results, output_dir=tmp_path / "inference")["bbox"]
    folder = tmp_path / "inference"
    assert {path.name for path in folder.iterdir()} == {
        *(DETECTIONS_FILE, METRICS_FILE, SCORES_FILE, PROTOCOL_FILE)
    }
    assert json.loads((folder / METRICS_FILE).read_text()) == metrics
    annotations = as_annotations(ground_truth)
    table = read_detections(folder / DETECTIONS_FILE, annotations)
    assert tiny_metrics(evaluate_average_precision(annotations, table)) == metrics


def test_the_scores_are_those_of_the_tool_for_the_detections_that_were_written(tmp_path):
    ground_truth, results = sample()
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(ground_truth))
    register_coco_file("evaluator_test_scores", path, tmp_path)
    try:
        evaluator = TinyObjectEvaluator(
            "evaluator_test_scores", distributed=False, output_dir=tmp_path / "inference"
        )
        evaluator.model_protocol = {"score_threshold": 0.05, "tile_size": "none"}
        process(evaluator, ground_truth, results)
        metrics = evaluator.evaluate()["bbox"]
    finally:
        DatasetCatalog.remove("evaluator_test_scores")
        MetadataCatalog.remove("evaluator_test_scores")
    folder = tmp_path / "inference"
    saved = read_saved_scores(folder / SCORES_FILE)
    protocol = read_protocol(folder / PROTOCOL_FILE)
    scores = score(load_inputs(path, folder / DETECTIONS_FILE), None, protocol)
    assert saved.content == scores.to_dict() == saved.reload().to_dict()
    assert saved.content["AP_maxDets1000"]["tiny_50"] == metrics["AP50_tiny"]
    assert 0 < saved.content["MR"]["tiny_50"] < 1
    assert protocol == {"score_threshold": 0.05, "tile_size": "none"}


def test_scores_of_ground_truth_that_is_no_file_name_none(tmp_path):
    ground_truth, results = sample()
    evaluated(ground_truth, results, output_dir=tmp_path)
    content = read_saved_scores(tmp_path / SCORES_FILE).content
    assert content["inputs"]["gt"] is None
    assert content["protocol"]["entries"]["ground_truth"] is None
    assert json.loads((tmp_path / PROTOCOL_FILE).read_text()) == {}


def test_detections_of_undeclared_categories_are_counted_and_said(caplog):
    ground_truth, results = sample()
    evaluator = TinyObjectEvaluator(
        annotations=as_annotations(ground_truth), distributed=False, category_ids=(2, 4, 99)
    )
    for _ in range(2):  # said once, however often it is evaluated
        evaluator.reset()
        process(evaluator, ground_truth, results)
        evaluator.evaluate()
    said = re.findall(r"the model's output: \d+ of the \d+ detections are dropped", caplog.text)
    assert len(said) == 1


def test_the_detections_file_does_not_depend_on_the_order_of_images(tmp_path):
    ground_truth, results = sample()
    ids = [image["id"] for image in ground_truth["images"]]
    for name, order in (("a", ids), ("b", ids[::-1])):
        evaluated(ground_truth, results, order, output_dir=tmp_path / name)
    first, second = ((tmp_path / name / DETECTIONS_FILE).read_bytes() for name in "ab")
    assert first == second


def test_the_log_shows_a_table_of_percentages_and_says_so(caplog):
    ground_truth, results = sample()
    with caplog.at_level(logging.INFO, logger="scale_match"):
        metrics = evaluated(ground_truth, results)["bbox"]
    assert "values x100" in caplog.text
    assert f"{100 * metrics['AP50_tiny']:.2f}" in caplog.text
    assert "AP and AR at maxDets 200 by size range" in caplog.text


def test_images_that_were_not_processed_are_counted_and_said(caplog):
    ground_truth, results = sample()
    seen = [image["id"] for image in ground_truth["images"]][:-1]
    metrics = evaluated(ground_truth, results, seen)["bbox"]
    found = [entry for entry in results if entry["image_id"] in seen]
    assert metrics == expected_metrics(ground_truth, found)
    assert "1 of the 4 images of gt.json were not processed" in caplog.text


# ---- Errors ----


def test_an_image_processed_twice_is_refused():
    ground_truth, results = sample()
    with pytest.raises(InputError, match="image 8 was processed more than once"):
        evaluated(ground_truth, results, [5, 8, 11, 8])


def test_an_image_of_another_data_set_is_refused():
    ground_truth, results = sample()
    with pytest.raises(InputError, match=r"image 6 was processed, but gt.json does not list it"):
        evaluated(ground_truth, results, [5, 6])


def test_a_class_without_a_category_is_refused():
    ground_truth, results = sample()
    with pytest.raises(InputError, match="predicts class 2, but the ground truth has 1 categories"):
        evaluated(ground_truth, results, category_ids=[2])


@pytest.mark.parametrize("options", [{}, {"dataset_name": "x", "annotations": "both"}])
def test_exactly_one_source_of_ground_truth_is_needed(options):
    with pytest.raises(InputError, match="needs either dataset_name or annotations; received"):
        TinyObjectEvaluator(**options)


def test_limits_are_checked_before_the_inference():
    ground_truth, _ = sample()
    with pytest.raises(InputError, match=r"max_dets needs positive numbers"):
        TinyObjectEvaluator(annotations=as_annotations(ground_truth), max_dets=(0,))


# ---- Two processes ----


def test_two_processes_give_the_metrics_and_files_of_one(tmp_path):
    launch(evaluate_a_share, num_gpus=2, device="cpu", args=(tmp_path,))
    ground_truth, results = sample()
    alone = evaluated(ground_truth, results, output_dir=tmp_path / "alone")
    assert json.loads((tmp_path / "0.json").read_text()) == alone
    assert json.loads((tmp_path / "1.json").read_text()) == {}
    for name in (DETECTIONS_FILE, METRICS_FILE):
        pair = (tmp_path / folder / name for folder in ("inference", "alone"))
        assert len({path.read_bytes() for path in pair}) == 1
