"""Recorded candidates are those that the detector itself would suppress among."""

import math

import pytest
import torch
from torch import nn

from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.inference.candidates import (
    CandidateSource,
    RawCandidates,
    RetinaNetCandidates,
    candidate_source,
    record_candidates,
)
from scale_match.inference.tiled_model import TiledModel
from small_detectors import noise, small_retinanet

torch.set_num_threads(1)

TILE, OVERLAP = (40, 32), (12, 8)


def raw(model, samples, limit=10**6, score_threshold=0.05):
    with torch.no_grad():
        return candidate_source(model).raw_candidates(
            samples, limit=limit, score_threshold=score_threshold
        )


def columns(found):
    return [getattr(found, name) for name in RawCandidates.__slots__]


class Fixed(nn.Module):
    """Proposes the same on every input, in its own way."""

    def __init__(self, boxes, scores):
        super().__init__()
        self.boxes, self.scores = boxes, scores
        self.test_nms_thresh, self.max_detections_per_image = 0.5, 100
        self.calls = []
        self.eval()

    def raw_candidates(self, batched_inputs, *, limit, score_threshold):
        self.calls.append((len(batched_inputs), limit, score_threshold))
        zeros = torch.zeros(len(self.scores), dtype=torch.int64)
        ranks = torch.arange(len(self.scores))
        columns = self.boxes, self.scores, self.scores, zeros, zeros, ranks
        return [RawCandidates(*columns) for _ in batched_inputs]


@pytest.mark.parametrize("limit", [1, 30, 10**6])
@pytest.mark.parametrize("score_threshold", [0.05, 0.1])
def test_they_are_what_the_model_returns_without_suppression(limit, score_threshold):
    model = small_retinanet()
    samples = noise([(50, 60), (50, 60)])
    model.test_topk_candidates, model.test_score_thresh = limit, score_threshold
    # No IoU is greater than 1.
    model.test_nms_thresh, model.max_detections_per_image = 1.0, 10**6
    with torch.no_grad():
        expected = [each["instances"] for each in model(samples)]

    found = raw(model, samples, limit, score_threshold)

    for ours, theirs in zip(found, expected, strict=True):
        order = ours.scores.argsort(descending=True, stable=True)
        boxes = ours.boxes[order].clamp(min=0)
        boxes = torch.minimum(boxes, torch.tensor([50.0, 60.0, 50.0, 60.0]))
        left = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        assert len(theirs) > 0
        assert torch.equal(boxes[left], theirs.pred_boxes.tensor)
        assert torch.equal(ours.scores[order][left], theirs.scores)
        assert torch.equal(ours.classes[order][left], theirs.pred_classes)


def test_levels_follow_each_other_and_ranks_count_by_score_in_each():
    (found,) = raw(small_retinanet(), noise([(50, 60)]))

    levels = found.levels.tolist()
    assert levels == sorted(levels)
    assert set(levels) == {0, 1}
    for level in (0, 1):
        of_level = found.levels == level
        assert found.ranks[of_level].tolist() == list(range(int(of_level.sum())))
        scores = found.scores[of_level]
        assert torch.equal(scores, scores.sort(descending=True).values)


def test_a_smaller_limit_keeps_the_lower_ranks():
    model, samples = small_retinanet(), noise([(50, 60)])
    (all_of_them,), (best,) = raw(model, samples), raw(model, samples, limit=20)
    for whole, part in zip(columns(all_of_them), columns(best), strict=True):
        assert torch.equal(whole[all_of_them.ranks < 20], part)


def test_a_higher_threshold_keeps_the_greater_scores_with_their_ranks():
    model, samples = small_retinanet(), noise([(50, 60)])
    (all_of_them,), (best,) = raw(model, samples), raw(model, samples, score_threshold=0.1)
    assert 0 < len(best.scores) < len(all_of_them.scores)
    for whole, part in zip(columns(all_of_them), columns(best), strict=True):
        assert torch.equal(whole[all_of_them.scores > 0.1], part)


def test_a_retinanet_and_a_detector_of_its_own_kind_give_candidates():
    model = small_retinanet()
    assert isinstance(candidate_source(model), RetinaNetCandidates)
    assert isinstance(candidate_source(model), CandidateSource)
    own = Fixed(torch.zeros(1, 4), torch.zeros(1))
    assert candidate_source(own) is own


def test_any_other_detector_is_refused():
    with pytest.raises(InputError, match="Linear does not give its candidates before suppression"):
        candidate_source(nn.Linear(1, 1))


def test_a_data_set_is_recorded_tile_by_tile():
    model = small_retinanet()
    samples = noise([(97, 75), (40, 32), (30, 20, 60, 40)])
    tiled = TiledModel(model, tile=TILE, overlap=OVERLAP, batch_size=1)

    table = record_candidates(
        tiled, [[samples[0]], [samples[1], samples[2]]], limit=50, score_threshold=0.05
    )

    assert table.image_ids.tolist() == [100, 99, 98]
    assert table.seen_sizes.tolist() == [[97, 75], [40, 32], [30, 20]]
    assert table.sizes.tolist() == [[97, 75], [40, 32], [60, 40]]
    assert (table.limit, table.score_threshold) == (50, 0.05)
    tile = 0
    for image, sample in enumerate(samples):
        height, width = sample["image"].shape[-2:]
        for x1, y1, x2, y2 in tile_grid(width, height, tile=TILE, overlap=OVERLAP).tolist():
            assert table.tiles[tile].tolist() == [x1, y1, x2, y2]
            assert table.tile_images[tile] == image
            (alone,) = raw(model, [{"image": sample["image"][:, y1:y2, x1:x2]}], limit=50)
            rows = slice(table.starts[tile], table.starts[tile + 1])
            for name in RawCandidates.__slots__:
                assert torch.equal(
                    torch.from_numpy(getattr(table, name)[rows]).to(getattr(alone, name).dtype),
                    getattr(alone, name),
                )
            tile += 1
    assert tile == len(table.tiles)


def test_tiles_share_batches_as_in_inference_and_the_model_runs_once():
    own = Fixed(torch.tensor([[1.0, 1.0, 5.0, 5.0]]), torch.tensor([0.5]))
    tiled = TiledModel(own, tile=TILE, overlap=OVERLAP, merge="per_tile", batch_size=4)

    table = record_candidates(tiled, [noise([(97, 75)])], limit=9, score_threshold=0.25)

    assert own.calls == [(4, 9, 0.25)] * 3
    assert len(table) == len(table.tiles) == 12


def test_nothing_found_and_no_images_are_legal():
    tiled = TiledModel(small_retinanet(), tile=TILE, overlap=OVERLAP)
    table = record_candidates(tiled, [noise([(97, 75)])], limit=9, score_threshold=1.0)
    assert (len(table), len(table.tiles), table.boxes.shape) == (0, 12, (0, 4))
    table = record_candidates(tiled, [], limit=9, score_threshold=0.5)
    assert (len(table), len(table.tiles), len(table.image_ids)) == (0, 0, 0)
    assert table.starts.tolist() == [0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_box_that_is_not_finite_is_refused(value):
    own = Fixed(torch.tensor([[1.0, 1.0, 5.0, value]]), torch.tensor([0.5]))
    tiled = TiledModel(own, tile=TILE, overlap=OVERLAP)
    with pytest.raises(InputError, match="a box that is not finite in image 100: have its weights"):
        record_candidates(tiled, [noise([(97, 75)])], limit=9, score_threshold=0.25)


def test_a_model_in_training_mode_is_refused():
    tiled = TiledModel(small_retinanet().train(), tile=TILE, overlap=OVERLAP)
    with pytest.raises(RuntimeError, match=r"call eval\(\) first"):
        record_candidates(tiled, [], limit=9, score_threshold=0.25)
