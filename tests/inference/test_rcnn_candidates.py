"""The candidates of a Faster R-CNN are those that it suppresses among; replayed, its detections."""

import pytest
import torch
from detectron2.modeling.roi_heads import StandardROIHeads
from torch import nn

from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.inference.candidate_replay import (
    Suppression,
    image_detections,
    keep_best,
    tile_detections,
)
from scale_match.inference.candidates import candidate_source, record_candidates
from scale_match.inference.rcnn_candidates import RCNNCandidates
from scale_match.inference.tiled_model import TiledModel
from scale_match.modeling.rpn import RPNSettings
from small_detectors import noise, small_faster_rcnn

torch.set_num_threads(1)

TILE, OVERLAP = (40, 32), (12, 8)
ALL = 10**6  # more than there are


@pytest.fixture
def model():
    """Few proposals, so that suppression takes no time."""
    return small_faster_rcnn(rpn=RPNSettings(post_nms_topk=(300, 100)))


def raw(model, samples, limit=ALL, score_threshold=0.1):
    with torch.no_grad():
        return candidate_source(model).raw_candidates(
            samples, limit=limit, score_threshold=score_threshold
        )


@pytest.mark.parametrize("score_threshold", [0.1, 0.4])
def test_they_are_what_the_model_returns_without_suppression(model, score_threshold):
    samples = noise([(50, 60), (50, 60)])
    model.test_score_thresh, model.test_nms_thresh = score_threshold, 1.0
    with torch.no_grad():
        expected = [each["instances"] for each in model(samples)]

    found = raw(model, samples, score_threshold=score_threshold)

    for ours, theirs in zip(found, expected, strict=True):
        left = (ours.boxes[:, 2:] > ours.boxes[:, :2]).all(dim=1)
        assert len(theirs) > 20
        assert set(ours.classes.tolist()) == {0, 1}
        assert torch.equal(ours.boxes[left], theirs.pred_boxes.tensor)
        assert torch.equal(ours.scores[left], theirs.scores)
        assert torch.equal(ours.classes[left], theirs.pred_classes)


def test_they_count_by_score_over_all_levels(model):
    (found,) = raw(model, noise([(50, 60)]))
    assert not found.levels.any()
    assert found.ranks.tolist() == list(range(len(found.scores)))
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)


def test_a_limit_leaves_none_out(model):
    """That of the first stage counts, which has proposed already."""
    samples = noise([(50, 60)])
    (all_of_them,), (limited,) = raw(model, samples), raw(model, samples, limit=20)
    assert torch.equal(limited.scores, all_of_them.scores)
    assert torch.equal(limited.ranks, all_of_them.ranks.clamp(max=19))
    assert candidate_source(model).fixed_limit == model.test_topk_candidates == 1000


def test_one_box_for_all_classes_is_understood(model):
    predictor = model.roi_heads.box_predictor
    predictor.bbox_pred = nn.Linear(32, 4)  # as with CLS_AGNOSTIC_BBOX_REG
    (found,) = raw(model, noise([(50, 60)]))
    model.test_nms_thresh = 1.0
    with torch.no_grad():
        (expected,) = model(noise([(50, 60)]))
    assert len(found.scores) == len(expected["instances"]) > 20
    assert torch.equal(found.boxes, expected["instances"].pred_boxes.tensor)


def test_a_cascade_is_refused(model):
    assert isinstance(candidate_source(model), RCNNCandidates)
    assert isinstance(model.roi_heads, StandardROIHeads)
    model.roi_heads.box_predictor = nn.ModuleList([model.roi_heads.box_predictor])
    with pytest.raises(InputError, match=r"ScaleMatchFasterRCNN does not give .*a Faster R-CNN or"):
        candidate_source(model)


# ---- Replayed ----


def on_tiles(model, **options):
    return TiledModel(model, **{"tile": TILE, "overlap": OVERLAP, "batch_size": 3, **options})


def record(model, samples, **options):
    batches = [[sample] for sample in samples]
    return record_candidates(on_tiles(model, **options), batches, limit=ALL, score_threshold=0.1)


def rows(instances):
    """Boxes XYWH, scores and classes of a model's output, in double precision."""
    boxes = instances.pred_boxes.tensor.double()
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()
    return list(zip(boxes, instances.scores.tolist(), instances.pred_classes.tolist(), strict=True))


def rows_of(detections, number):
    """The same of the detections of an image or tile."""
    mine = detections.image_ids == number
    columns = detections.boxes[mine], detections.scores[mine], detections.category_ids[mine]
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_replayed_with_run_time_crop_they_are_its_detections(model, threshold):
    samples = noise([(97, 75, 200, 111), (40, 32)])
    tiled = on_tiles(model, nms_threshold=threshold, max_detections=150)
    expected = [tiled([sample])[0]["instances"] for sample in samples]

    settings = Suppression(ALL, "class-aware", threshold, 0.1)
    table = record(model, samples)
    (kept,) = keep_best(table, [settings], limit=150, joint=True)
    found = image_detections(table, kept, [0, 1])

    assert len(found) == sum(map(len, expected)) > 100
    for sample, instances in zip(samples, expected, strict=True):
        assert rows_of(found, sample["image_id"]) == rows(instances)


def test_replayed_without_it_they_are_its_detections_on_each_tile(model):
    (sample,) = samples = noise([(97, 75)])
    model.test_nms_thresh, model.max_detections_per_image = 0.4, 30
    table = record(model, samples, batch_size=1)

    (kept,) = keep_best(table, [Suppression(ALL, "class-aware", 0.4, 0.1)], limit=30, joint=False)
    found = tile_detections(table, kept, [0, 1])

    for number, (x1, y1, x2, y2) in enumerate(
        tile_grid(97, 75, tile=TILE, overlap=OVERLAP).tolist()
    ):
        with torch.no_grad():
            (output,) = model([{"image": sample["image"][:, y1:y2, x1:x2]}])
        assert rows_of(found, number) == rows(output["instances"])
