"""FCOS losses: the plain reference, GIoU of torchvision, boxes turned round, gradients."""

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torchvision.ops import generalized_box_iou_loss

from oracles import fcos_reference
from scale_match.modeling import process_means
from scale_match.modeling.fcos_head import LocationPredictions
from scale_match.modeling.fcos_locations import LocationGrid, level_ranges
from scale_match.modeling.fcos_losses import fcos_losses, giou_loss
from scale_match.modeling.fcos_targets import label_locations

torch.set_num_threads(1)

STRIDES, SHAPES = (4, 8), [(8, 12), (4, 6)]
GRID = LocationGrid(STRIDES, SHAPES, torch.device("cpu"))
RANGES = level_ranges(STRIDES)
SAMPLES = [
    ([[12.0, 13.0, 20.0, 22.0], [19.5, 3.25, 21.5, 5.25], [2.0, 1.0, 40.0, 30.0]], [0, 1, 1]),
    ([[30.0, 10.0, 33.0, 14.0]], [1]),
    ([], []),
]


def targets_of(boxes, classes):
    instances = Instances((32, 48))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return label_locations(
        GRID, instances, num_classes=2, size_ranges=RANGES, radius=1.5, ignore_overlap=0.5
    )


def random_predictions(num_images, seed=0):
    draw = torch.Generator().manual_seed(seed)

    def level(size, width):
        return torch.randn(num_images, size, width, generator=draw).requires_grad_()

    return LocationPredictions(
        [level(size, 2) for size in GRID.sizes],
        [level(size, 4) for size in GRID.sizes],
        [level(size, 1) for size in GRID.sizes],
    )


def losses_of(samples, predictions):
    targets = [targets_of(*each) for each in samples]
    return fcos_losses(targets, predictions, focal_alpha=0.25, focal_gamma=2.0)


def leaves(predictions):
    return [*predictions.logits, *predictions.distances, *predictions.centerness]


def test_losses_are_those_of_the_plain_reference():
    predictions = random_predictions(3)
    for level in predictions.distances:
        level.data.abs_()  # boxes in order, for which the definition is the paper's
    outputs = [
        torch.cat(list(levels), dim=1).detach().double().numpy()
        for levels in (predictions.logits, predictions.distances, predictions.centerness)
    ]

    losses, num_positives = losses_of(SAMPLES, predictions)

    outputs[2] = outputs[2][..., 0]
    expected = fcos_reference.losses(STRIDES, SHAPES, outputs, SAMPLES, RANGES, 1.5)
    assert list(losses) == ["loss_cls", "loss_box_reg", "loss_ctrness"]
    assert [loss.item() for loss in losses.values()] == pytest.approx(list(expected), rel=1e-4)
    assert num_positives == sum(len(targets_of(*each).positives) for each in SAMPLES) > 5


def test_without_objects_only_the_class_loss_is_left():
    predictions = random_predictions(2)

    losses, num_positives = losses_of(SAMPLES[2:] * 2, predictions)
    sum(losses.values()).backward()

    assert num_positives == 0
    assert losses["loss_box_reg"].item() == losses["loss_ctrness"].item() == 0
    assert losses["loss_cls"].item() > 0
    assert all(torch.isfinite(each.grad).all() for each in leaves(predictions))
    assert not any(each.grad.any() for each in predictions.distances)


def test_what_lies_in_a_region_has_no_gradient():
    predictions = random_predictions(1)
    everywhere = [([[-9.0, -9.0, 99.0, 99.0]], [-1])]

    losses, _ = losses_of(everywhere, predictions)
    sum(losses.values()).backward()

    assert [loss.item() for loss in losses.values()] == [0, 0, 0]
    assert not any(each.grad.any() for each in leaves(predictions))


def test_counts_are_means_over_the_processes(monkeypatch):
    """With twice as many positives in the other process the mean is 1.5 times that of this one."""
    predictions = random_predictions(1)
    alone, positives = losses_of(SAMPLES[:1], predictions)

    def mean(value):
        return value.double() * 1.5

    monkeypatch.setattr("scale_match.modeling.fcos_losses.mean_over_processes", mean)
    together, mean_positives = losses_of(SAMPLES[:1], predictions)

    assert mean_positives == 1.5 * positives
    for name, loss in alone.items():
        assert together[name].item() == pytest.approx(loss.item() / 1.5)


def test_few_positives_count_the_same_on_two_processes(monkeypatch):
    """The other process has none: the mean of both processes' losses is that of one process."""
    few = [([[4.0, 4.0, 6.0, 6.0]], [0])]
    predictions = random_predictions(2)
    whole, positives = losses_of([*few, ([], [])], predictions)
    assert positives == 1

    monkeypatch.setattr(process_means, "_num_processes", lambda: 2)
    monkeypatch.setattr(process_means.dist, "all_reduce", lambda mean: mean.copy_(1.0 * positives))
    halves = [
        losses_of([each], LocationPredictions(*([level[i : i + 1] for level in kind] for kind in (
            predictions.logits, predictions.distances, predictions.centerness
        ))))
        for i, each in enumerate([*few, ([], [])])
    ]  # fmt: skip
    assert [count for _, count in halves] == [0.5, 0.5]
    for name in ("loss_cls", "loss_ctrness"):
        assert sum(losses[name].item() for losses, _ in halves) / 2 == pytest.approx(
            whole[name].item(), rel=1e-5
        )


def test_giou_is_torchvisions():
    draw = torch.Generator().manual_seed(0)
    predicted, target = 3 * torch.rand(2, 200, 4, generator=draw) - 0.5
    legal = [(each[:, :2] + each[:, 2:] > 0.01).all(dim=1) for each in (predicted, target)]
    predicted, target = predicted[legal[0] & legal[1]], target[legal[0] & legal[1]]
    at = torch.tensor([[50.0, 70.0]])

    ours = giou_loss(predicted, target)

    theirs = generalized_box_iou_loss(
        *(torch.cat([at - each[:, :2], at + each[:, 2:]], dim=1) for each in (predicted, target))
    )
    assert len(ours) > 100
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_giou_of_equal_boxes_is_no_loss_and_of_far_ones_near_two():
    box = torch.tensor([[0.25, 0.25, 0.25, 0.25]])

    assert giou_loss(box, box).item() == pytest.approx(0, abs=1e-5)
    far = torch.tensor([[100.0, 100.0, -99.5, -99.5]])
    assert 1.9 < giou_loss(far, box).item() < 2


@pytest.mark.parametrize(
    "start", [[-0.3, -0.3, 0.1, 0.1], [0.1, -0.2, 0.1, 0.1], [-1.0, -1.0, -1.0, -1.0]]
)
def test_a_box_turned_round_finds_its_way(start):
    predicted = torch.tensor([start], requires_grad=True)
    target = torch.tensor([[0.5, 0.75, 0.5, 0.25]])
    optimizer = torch.optim.SGD([predicted], lr=0.02)

    for _ in range(500):
        optimizer.zero_grad()
        giou_loss(predicted, target).sum().backward()
        optimizer.step()

    assert giou_loss(predicted, target).item() < 0.1
