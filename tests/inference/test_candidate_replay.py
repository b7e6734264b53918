"""Replayed settings give the detections of a run with these settings, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from oracles import tiled_inference
from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.inference.candidate_replay import (
    Suppression,
    image_detections,
    keep_best,
    tile_detections,
)
from scale_match.inference.candidates import RawCandidates, record_candidates
from scale_match.inference.tiled_model import TiledModel
from small_detectors import noise, small_retinanet

torch.set_num_threads(1)

TILE, OVERLAP = (40, 32), (12, 8)
# Of several tiles, of one, smaller than one; wanted in their own size and in another. 103 is not
# the rounded product of 35 and the rounded 103 / 35.
SIZES = [(97, 75), (97, 75, 200, 111), (40, 32), (30, 20), (35, 30, 103, 63)]
CATEGORIES = [3, 8]


def on_tiles(model, **options):
    return TiledModel(model, **{"tile": TILE, "overlap": OVERLAP, "batch_size": 3, **options})


def record(model, samples, limit=500, score_threshold=0.05, **options):
    batches = [[sample] for sample in samples]
    return record_candidates(
        on_tiles(model, **options), batches, limit=limit, score_threshold=score_threshold
    )


def columns(instances):
    """Boxes XYXY, scores and category ids of a model's output, in double precision."""
    boxes = instances.pred_boxes.tensor.double().numpy()
    boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    scores = instances.scores.double().numpy()
    return boxes, scores, np.array(CATEGORIES)[instances.pred_classes.numpy()]


def assert_same(detections, image_id, instances):
    mine = detections.image_ids == image_id
    ours = detections.boxes[mine], detections.scores[mine], detections.category_ids[mine]
    for found, expected in zip(ours, columns(instances), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def retinanet():
    return small_retinanet()


@pytest.fixture(scope="module")
def samples():
    return noise(SIZES)


@pytest.fixture(scope="module")
def table(retinanet, samples):
    return record(retinanet, samples)


SETTINGS = [
    Suppression(7, "class-aware", 0.5, 0.05),
    Suppression(50, "class-aware", 0.3, 0.05),
    Suppression(500, "class-aware", 0.5, 0.1),
    Suppression(500, "class-aware", 0.7, 0.05),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("limit", [10, 1000])
def test_run_time_crop_equals_inference_with_these_settings(
    retinanet, samples, table, settings, limit
):
    retinanet.test_topk_candidates = settings.candidates
    retinanet.test_score_thresh = settings.score_threshold
    model = on_tiles(retinanet, nms_threshold=settings.threshold, max_detections=limit)
    expected = [model([sample])[0]["instances"] for sample in samples]

    (kept,) = keep_best(table, [settings], limit=limit, joint=True)
    found = image_detections(table, kept, CATEGORIES)

    assert len(found) == sum(map(len, expected)) > 20
    assert found.image_ids.tolist() == sorted(found.image_ids.tolist())
    for sample, instances in zip(samples, expected, strict=True):
        assert_same(found, sample["image_id"], instances)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("limit", [10, 1000])
def test_no_run_time_crop_equals_inference_on_each_tile(retinanet, samples, settings, limit):
    samples = [sample for sample in samples if sample["image"].shape[-1] == sample["width"]]
    table = record(retinanet, samples, batch_size=1)
    retinanet.test_topk_candidates = settings.candidates
    retinanet.test_score_thresh = settings.score_threshold
    retinanet.test_nms_thresh, retinanet.max_detections_per_image = settings.threshold, limit
    cut = [
        sample["image"][:, y1:y2, x1:x2]
        for sample in samples
        for x1, y1, x2, y2 in tile_grid(
            sample["width"], sample["height"], tile=TILE, overlap=OVERLAP
        ).tolist()
    ]
    with torch.no_grad():
        expected = [retinanet([{"image": each}])[0]["instances"] for each in cut]

    (kept,) = keep_best(table, [settings], limit=limit, joint=False)
    found = tile_detections(table, kept, CATEGORIES)

    assert len(found) == sum(map(len, expected)) > 20
    for tile, instances in enumerate(expected):
        assert_same(found, tile, instances)


class Spots(nn.Module):
    """A box around every bright point, of whole pixels and with distinct scores."""

    def __init__(self):
        super().__init__()
        self.test_nms_thresh, self.max_detections_per_image = 0.5, 100
        self.eval()

    def raw_candidates(self, batched_inputs, *, limit, score_threshold):
        return [self.on(each["image"], limit, score_threshold) for each in batched_inputs]

    def on(self, image, limit, score_threshold):
        labels, ys, xs = (image > 0).nonzero(as_tuple=True)
        values = image[labels, ys, xs].float()
        half_w, half_h = 2 + values % 7, 2 + values % 5
        boxes = torch.stack([xs - half_w, ys - half_h, xs + half_w, ys + half_h], dim=1)
        scores = values / 255
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order] > score_threshold][:limit]
        ranks = torch.arange(len(order))
        columns = boxes[order], scores[order], scores[order], labels[order], ranks * 0, ranks
        return RawCandidates(*columns)


def spots(width, height, number=150):
    image = torch.zeros(2, height, width, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    cells = torch.randperm(image.numel(), generator=generator)[:number]
    image.view(-1)[cells] = (torch.randperm(255, generator=generator)[:number] + 1).to(torch.uint8)
    return image


def rows(detections):
    boxes = detections.boxes.copy()
    boxes[:, 2:] += boxes[:, :2]
    labels = detections.category_ids.tolist()
    return sorted(
        (*box, score, label)
        for box, score, label in zip(
            boxes.tolist(), detections.scores.tolist(), labels, strict=True
        )
    )


def spots_in(image, tile, labels=(0, 1)):
    x1, y1, x2, y2 = tile
    found = Spots().on(image[:, y1:y2, x1:x2], 10**6, -1.0)
    return [
        (*box, score, labels[label])
        for box, score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize("size", [(97, 75), (40, 32)], ids=str)
@pytest.mark.parametrize("nms", ["class-aware", "class-agnostic"])
def test_both_types_of_suppression_equal_the_definition(size, nms):
    image = spots(*size)
    table = record(Spots(), [{"image_id": 1, "image": image}], score_threshold=0.0)

    (kept,) = keep_best(table, [Suppression(500, nms, 0.4123, 0.0)], limit=60, joint=True)
    found = image_detections(table, kept, [0, 1])

    labels = (0, 1) if nms == "class-aware" else (0, 0)
    expected = tiled_inference.detect(
        lambda tile: spots_in(image, tile, labels),
        size,
        tile=TILE,
        overlap=OVERLAP,
        threshold=0.4123,
        limit=60,
    )
    expected = sorted((*each[:5], 0 if nms == "class-agnostic" else each[5]) for each in expected)
    ours = rows(found)
    assert {each[5] for each in ours} == {0, 1}
    if nms == "class-agnostic":
        ours = sorted((*each[:5], 0) for each in ours)
    assert ours == expected


@pytest.mark.parametrize("joint", [True, False])
def test_a_smaller_limit_leaves_the_beginning(table, joint):
    (many,) = keep_best(table, SETTINGS[3:], limit=1000, joint=joint)
    (few,) = keep_best(table, SETTINGS[3:], limit=5, joint=joint)
    for whole, part in zip(many, few, strict=True):
        assert whole[:5].tolist() == part.tolist()


@pytest.mark.parametrize("joint", [True, False])
def test_settings_that_choose_the_same_candidates_share_the_work(table, joint):
    most = int(table.ranks.max()) + 1
    settings = [Suppression(number, "class-aware", 0.5, 0.05) for number in (5, most, 400, 500)]
    fewest, first, second, third = keep_best(table, settings, limit=50, joint=joint)
    for a, b, c, d in zip(fewest, first, second, third, strict=True):
        assert a is not b
        assert b is c is d


def test_with_one_class_both_types_of_suppression_are_one():
    table = record(small_retinanet(num_classes=1), noise(SIZES[:2]))
    settings = [Suppression(50, nms, 0.5, 0.05) for nms in ("class-aware", "class-agnostic")]
    first, second = keep_best(table, settings, limit=50, joint=True)
    assert all(a is b for a, b in zip(first, second, strict=True))


def test_images_can_be_taken_from_a_progress_bar(table):
    seen = []
    indices = (seen.append(i) or i for i in range(len(table.image_ids)))
    (kept,) = keep_best(table, SETTINGS[:1], limit=5, joint=True, indices=indices)
    assert seen == [0, 1, 2, 3, 4]
    assert len(kept) == 5


def by_hand():
    """One image of two tiles, 10 wide each, from x = 0 and x = 6.

    Tile 0: A; B, far from it, which sticks out on the right. Tile 1: A again, 6 further left in
    its coordinates and worse; C, all of it left of the tile.
    """
    return CandidateTable(
        image_ids=np.array([5]),
        seen_sizes=np.array([[16, 8]]),
        sizes=np.array([[32, 8]]),
        tile_images=np.array([0, 0]),
        tiles=np.array([[0, 0, 10, 8], [6, 0, 16, 8]]),
        starts=np.array([0, 2, 4]),
        boxes=np.array(
            [[6, 1, 9, 4], [8, 5, 12, 9], [0, 1, 3, 4], [-3, 1, 0, 4]],
            np.float32,
        ),
        scores=np.array([0.5, 0.25, 0.75, 0.125], np.float32),
        filter_scores=np.array([0.5, 0.25, 0.75, 0.125], np.float32),
        classes=np.zeros(4, np.int32),
        levels=np.zeros(4, np.int32),
        ranks=np.array([0, 1, 0, 1], np.int32),
        limit=2,
        score_threshold=0.0,
    )


def test_a_literal_example_with_run_time_crop():
    (kept,) = keep_best(by_hand(), [Suppression(2, "class-aware", 0.5, 0.0)], limit=9, joint=True)
    assert [each.tolist() for each in kept] == [[2, 1]]
    found = image_detections(by_hand(), kept, [1])
    assert found.image_ids.tolist() == [5, 5]
    # Twice as wide as seen; B ends at the tile's border.
    assert found.boxes.tolist() == [[12, 1, 6, 3], [16, 5, 4, 3]]
    assert found.scores.tolist() == [0.75, 0.25]


def test_a_literal_example_without_run_time_crop():
    table = replace(by_hand(), sizes=np.array([[16, 8]]))
    (kept,) = keep_best(table, [Suppression(2, "class-aware", 0.5, 0.0)], limit=9, joint=False)
    assert [each.tolist() for each in kept] == [[0, 1], [2, 3]]
    found = tile_detections(table, kept, [1])
    assert found.image_ids.tolist() == [0, 0, 1]  # of C nothing is left
    assert found.boxes.tolist() == [[6, 1, 3, 3], [8, 5, 2, 3], [0, 1, 3, 3]]


def test_candidates_limit_and_least_score_leave_candidates_out():
    settings = [Suppression(1, "class-aware", 1.0, 0.0), Suppression(2, "class-aware", 1.0, 0.25)]
    first, second = keep_best(by_hand(), settings, limit=9, joint=True)
    assert first[0].tolist() == [2, 0]
    assert second[0].tolist() == [2, 0]  # a score equal to the threshold is not enough


def test_no_candidates_and_no_images_are_legal(retinanet):
    for sizes in (SIZES[:1], []):
        table = record(retinanet, noise(sizes), score_threshold=1.0)
        settings = [Suppression(5, "class-aware", 0.5, 1.0)]
        (on_images,) = keep_best(table, settings, limit=9, joint=True)
        (on_crops,) = keep_best(table, settings, limit=9, joint=False)
        for found in (
            image_detections(table, on_images, [1]),
            tile_detections(table, on_crops, [1]),
        ):
            assert (len(found), found.boxes.shape) == (0, (0, 4))


@pytest.mark.parametrize(("candidates", "least"), [(501, 0.05), (500, 0.04)])
def test_what_was_not_recorded_is_refused(table, candidates, least):
    message = "candidates per level above the score .* are asked for, but 500 above 0.05 were rec"
    with pytest.raises(InputError, match=message):
        keep_best(table, [Suppression(candidates, "class-aware", 0.5, least)], limit=5, joint=True)


def test_tiles_of_resized_images_are_no_images(table):
    (kept,) = keep_best(table, SETTINGS[:1], limit=5, joint=False)
    message = r"image 99 is resized from \[200, 111\] to \[97, 75\] for the test"
    with pytest.raises(InputError, match=message):
        tile_detections(table, kept, CATEGORIES)


def test_a_class_without_category_is_refused(table):
    (kept,) = keep_best(table, SETTINGS[:1], limit=5, joint=True)
    with pytest.raises(InputError, match="predicts class 1, but the ground truth has 1 categories"):
        image_detections(table, kept, [1])
