"""Suppression per class of very many candidates."""

import pytest
import torch

from oracles.tiled_inference import suppress
from scale_match.inference.suppression import best_unsuppressed


def random_candidates(number, seed, classes=3):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 60, (number, 2), generator=generator).float()
    sides = torch.randint(1, 20, (number, 2), generator=generator).float()
    scores = torch.randint(1, 20, (number,), generator=generator) / 20  # many ties
    labels = torch.randint(0, classes, (number,), generator=generator)
    return torch.cat([corners, corners + sides], dim=1), scores, labels


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.0, 0.3123, 0.5, 1.0])
@pytest.mark.parametrize("limit", [1, 7, 40, 10_000])
def test_equals_the_plain_reference(seed, threshold, limit):
    boxes, scores, classes = random_candidates(300, seed)

    kept = best_unsuppressed(boxes, scores, classes, threshold=threshold, limit=limit)

    detections = [
        (*box, score, label)
        for box, score, label in zip(boxes.tolist(), scores.tolist(), classes.tolist(), strict=True)
    ]
    assert [detections[i] for i in kept.tolist()] == suppress(detections, threshold, limit)


def test_equal_scores_go_by_index():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(5, 1)

    kept = best_unsuppressed(boxes, torch.ones(5), torch.zeros(5), threshold=0.5, limit=5)

    assert kept.tolist() == [0]
    apart = boxes + 20 * torch.arange(5)[:, None]
    kept = best_unsuppressed(apart, torch.ones(5), torch.zeros(5), threshold=0.5, limit=3)
    assert kept.tolist() == [0, 1, 2]


def test_overlap_of_exactly_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])  # IoU 0.5

    kept = best_unsuppressed(
        boxes, torch.tensor([0.9, 0.8]), torch.zeros(2), threshold=0.5, limit=9
    )
    assert kept.tolist() == [0, 1]
    kept = best_unsuppressed(
        boxes, torch.tensor([0.9, 0.8]), torch.zeros(2), threshold=0.499, limit=9
    )
    assert kept.tolist() == [0]


def test_classes_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 2)

    kept = best_unsuppressed(
        boxes, torch.tensor([0.8, 0.9]), torch.tensor([4, 7]), threshold=0.5, limit=9
    )

    assert kept.tolist() == [1, 0]


def test_a_tiny_box_far_from_the_origin_keeps_its_iou():
    """Moving 80 classes apart by the image's size would round this box by 1/64 px, to IoU 0.488."""
    first = torch.tensor([3990.0, 2990.0, 3992.0, 2992.0])
    second = first + torch.tensor([45 / 64, 0.0, 45 / 64, 0.0])  # IoU 83 / 173 = 0.480

    kept = best_unsuppressed(
        torch.stack([first, second]),
        torch.tensor([0.9, 0.8]),
        torch.tensor([79, 79]),
        threshold=0.485,
        limit=9,
    )

    assert kept.tolist() == [0, 1]


def test_nothing_gives_nothing():
    kept = best_unsuppressed(
        torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), threshold=0.5, limit=9
    )

    assert kept.tolist() == []


def test_worse_candidates_are_looked_at_where_the_best_suppress_each_other():
    cluster = torch.tensor([[0.0, 0, 10, 10]]).repeat(1000, 1)
    others = torch.tensor([[20.0, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]])
    scores = torch.linspace(1, 0.1, 1003)

    kept = best_unsuppressed(
        torch.cat([cluster, others]), scores, torch.zeros(1003), threshold=0.5, limit=3
    )

    assert kept.tolist() == [0, 1000, 1001]


def test_the_best_of_many_candidates_need_not_all_be_compared():
    """10^5 boxes have 5 * 10^9 pairs; the hundred best are found among the first thousands."""
    boxes, scores, classes = random_candidates(100_000, seed=0)
    boxes = boxes + 100 * torch.arange(len(boxes))[:, None]

    kept = best_unsuppressed(boxes, scores, classes, threshold=0.5, limit=100)

    assert len(kept) == 100
    assert (scores[kept] == scores.max()).all()
