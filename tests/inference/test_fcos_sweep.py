"""FCOS in a sweep: candidates give the detections of a run, though ranked by another number."""

import numpy as np
import pytest
import torch

from scale_match.core.tiles import tile_grid
from scale_match.inference.candidate_replay import (
    Suppression,
    image_detections,
    keep_best,
    tile_detections,
)
from scale_match.inference.candidates import candidate_source, record_candidates
from scale_match.inference.tiled_model import TiledModel
from small_detectors import noise, small_fcos

torch.set_num_threads(1)

TILE, OVERLAP = (40, 32), (12, 8)
CATEGORIES = [3, 8]
SETTINGS = [
    Suppression(7, "class-aware", 0.5, 0.05),
    Suppression(500, "class-aware", 0.3, 0.2),
]
each_setting = pytest.mark.parametrize("settings", SETTINGS, ids=str)


@pytest.fixture
def model():
    return small_fcos()


@pytest.fixture(scope="module")
def samples():
    return noise([(97, 75), (30, 20)])


def record(model, samples, batch_size):
    tiled = TiledModel(model, tile=TILE, overlap=OVERLAP, batch_size=batch_size)
    batches = [[sample] for sample in samples]
    return record_candidates(tiled, batches, limit=500, score_threshold=0.05)


def assert_same(detections, image_id, instances):
    mine = detections.image_ids == image_id
    boxes = instances.pred_boxes.tensor.double().numpy()
    boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    np.testing.assert_array_equal(detections.boxes[mine], boxes)
    np.testing.assert_array_equal(detections.scores[mine], instances.scores.double().numpy())
    classes = np.array(CATEGORIES)[instances.pred_classes.numpy()]
    np.testing.assert_array_equal(detections.category_ids[mine], classes)


def test_it_is_a_source_of_candidates_and_scores_may_be_under_the_threshold(model, samples):
    assert candidate_source(model) is model

    table = record(model, samples, 3)

    assert (table.filter_scores > 0.05).all()
    assert (table.scores < table.filter_scores).all()
    assert (table.scores < 0.05).any()


@each_setting
def test_run_time_crop_equals_inference_with_these_settings(model, samples, settings):
    table = record(model, samples, 3)
    model.test_topk_candidates = settings.candidates
    model.test_score_thresh = settings.score_threshold
    tiled = TiledModel(
        model, tile=TILE, overlap=OVERLAP, batch_size=3, nms_threshold=settings.threshold
    )
    expected = [tiled([sample])[0]["instances"] for sample in samples]

    (kept,) = keep_best(table, [settings], limit=1000, joint=True)
    found = image_detections(table, kept, CATEGORIES)

    assert len(found) == sum(map(len, expected)) > 20
    for sample, instances in zip(samples, expected, strict=True):
        assert_same(found, sample["image_id"], instances)


@each_setting
def test_no_run_time_crop_equals_inference_on_each_tile(model, samples, settings):
    table = record(model, samples, 1)
    model.test_topk_candidates = settings.candidates
    model.test_score_thresh = settings.score_threshold
    model.test_nms_thresh = settings.threshold
    expected = []
    for sample in samples:
        height, width = sample["image"].shape[-2:]
        for x1, y1, x2, y2 in tile_grid(width, height, tile=TILE, overlap=OVERLAP).tolist():
            with torch.no_grad():
                (found,) = model([{"image": sample["image"][:, y1:y2, x1:x2]}])
            expected.append(found["instances"])

    (kept,) = keep_best(table, [settings], limit=1000, joint=False)
    found = tile_detections(table, kept, CATEGORIES)

    assert len(found) == sum(map(len, expected)) > 20
    for tile, instances in enumerate(expected):
        assert_same(found, tile, instances)
