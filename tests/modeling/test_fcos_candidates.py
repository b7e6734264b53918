"""Candidates of FCOS: ranked by class score times centerness, filtered by the class score."""

import pytest
import torch

from scale_match.modeling.fcos_candidates import location_candidates
from scale_match.modeling.fcos_head import LocationPredictions
from scale_match.modeling.fcos_locations import LocationGrid
from small_detectors import noise, small_fcos

torch.set_num_threads(1)

GRID = LocationGrid((4, 8), [(1, 3), (1, 1)], torch.device("cpu"))


def predictions(class_scores, centerness, distances=1.0):
    """Of one image, from scores of the 3 + 1 locations: (4, K) and (4,)."""
    logits = torch.as_tensor(class_scores).logit()[None]
    middle = torch.as_tensor(centerness).logit()[None, :, None]
    sides = torch.as_tensor(distances).expand(4, 4)[None]
    return LocationPredictions(*(list(each.split([3, 1], 1)) for each in (logits, sides, middle)))


def candidates(*scores, limit=100, score_threshold=0.05, distances=1.0):
    (found,) = location_candidates(
        predictions(*scores, distances), GRID, limit=limit, score_threshold=score_threshold
    )
    return found


def test_scores_are_products_and_the_threshold_is_for_the_class_score():
    found = candidates([[0.9], [0.04], [0.2], [0.06]], [0.1, 1 - 1e-6, 0.5, 0.25])

    assert found.scores.tolist() == pytest.approx([0.1, 0.09, 0.015], rel=1e-4)
    assert found.filter_scores.tolist() == pytest.approx([0.2, 0.9, 0.06], rel=1e-4)
    assert found.levels.tolist() == [0, 0, 1]
    # (6, 2) has the rank 2 of its level with 0.04, and is left out by the threshold alone.
    assert found.ranks.tolist() == [0, 1, 0]
    assert found.boxes.tolist() == [[6, -2, 14, 6], [-2, -2, 6, 6], [-4, -4, 12, 12]]


def test_the_limit_counts_before_the_threshold():
    scores = [[0.9], [0.04], [0.2], [0.06]], [0.01, 1 - 1e-6, 0.01, 0.25]

    assert candidates(*scores, limit=1).levels.tolist() == [1]
    assert candidates(*scores, limit=2).ranks.tolist() == [1, 0]


def test_every_class_of_a_location_is_a_candidate():
    found = candidates([[0.9, 0.3], [0.04, 0.6], [0.01, 0.02], [0.06, 0.01]], [0.5] * 4)

    assert found.scores.tolist() == pytest.approx([0.45, 0.3, 0.15, 0.03], rel=1e-4)
    assert found.classes.tolist() == [0, 1, 1, 0]
    assert found.ranks.tolist() == [0, 1, 2, 0]


def test_of_equal_scores_the_first_location_comes_first():
    found = candidates([[0.5]] * 4, [0.5] * 4, limit=2)

    assert found.boxes[:, 0].tolist() == [-2, 2, -4]


def test_a_box_without_an_area_is_left_out_but_keeps_its_rank():
    distances = torch.tensor([[1.0, 1, 1, 1], [0, 1, 0, 1], [-0.5, 1, 0.25, 1], [-0.5, 1, 1, 1]])

    found = candidates([[0.9], [0.8], [0.7], [0.6]], [0.5] * 4, distances=distances)

    assert found.ranks.tolist() == [0, 0]
    assert found.boxes.tolist() == [[-2, -2, 6, 6], [8, -4, 12, 12]]


def test_nothing_above_the_threshold_is_legal():
    found = candidates([[0.01]] * 4, [0.5] * 4)

    assert found.boxes.shape == (0, 4)
    assert len(found.scores) == len(found.levels) == 0


@pytest.mark.parametrize("limit", [1, 30, 10**6])
@pytest.mark.parametrize("score_threshold", [0.05, 0.3])
def test_they_are_what_the_model_returns_without_suppression(limit, score_threshold):
    model = small_fcos()
    samples = noise([(50, 60), (50, 60)])
    model.test_topk_candidates, model.test_score_thresh = limit, score_threshold
    model.test_nms_thresh, model.max_detections_per_image = 1.0, -1
    with torch.no_grad():
        expected = [each["instances"] for each in model(samples)]
        found = model.raw_candidates(samples, limit=limit, score_threshold=score_threshold)

    for ours, theirs in zip(found, expected, strict=True):
        order = ours.scores.argsort(descending=True, stable=True)
        boxes = ours.boxes[order].clamp(min=0)
        boxes = torch.minimum(boxes, torch.tensor([50.0, 60.0, 50.0, 60.0]))
        left = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        assert len(theirs) > 0
        assert torch.equal(boxes[left], theirs.pred_boxes.tensor)
        assert torch.equal(ours.scores[order][left], theirs.scores)
        assert torch.equal(ours.classes[order][left], theirs.pred_classes)
