"""The second stage: which proposals have a loss, what they are pooled from, what it costs."""

import math

import pytest
import torch
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from scale_match.modeling import roi_heads
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.roi_heads import ROISettings, ScaleMatchROIHeads

torch.set_num_threads(1)

LEVELS = PyramidLevels(strides=(4, 8), scales_per_octave=1)
PUBLISHED = PyramidLevels(scales_per_octave=1)
BACKGROUND = 2  # of two classes
SIZE = (64, 96)


def heads(levels=LEVELS, num_classes=2, ignore_overlap=0.5, **settings):
    torch.manual_seed(0)
    settings = {"fc_dim": 8, "append_gt": False, "batch_size_per_image": 10**6, **settings}
    return ScaleMatchROIHeads(
        levels=levels,
        channels=4,
        num_classes=num_classes,
        settings=ROISettings(**settings),
        ignore_overlap=ignore_overlap,
    )


def truth(boxes=(), classes=None):
    instances = Instances(SIZE)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    classes = [0] * len(instances.gt_boxes) if classes is None else classes
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return instances


def proposed(boxes=()):
    instances = Instances(SIZE)
    instances.proposal_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.objectness_logits = torch.zeros(len(instances.proposal_boxes))
    return instances


def sample(model, *pairs):
    """For each image the sampled proposals."""
    proposals, targets = zip(*pairs, strict=True)
    with EventStorage(0):
        return model.label_and_sample_proposals(list(proposals), list(targets))


def rows(sampled):
    """Box and class of the sampled proposals, sorted."""
    boxes, classes = sampled.proposal_boxes.tensor.tolist(), sampled.gt_classes.tolist()
    return sorted((*box, label) for box, label in zip(boxes, classes, strict=True))


def losses_of(model, sampled):
    """Losses of sampled proposals on features that are all ones."""
    features = {
        name: torch.ones(len(sampled), 4, SIZE[0] // s, SIZE[1] // s)
        for name, s in zip(model.box_in_features, LEVELS.strides, strict=True)
    }
    with EventStorage(0):
        return model._forward_box(features, sampled)


OBJECT = [10.0, 10, 20, 20]


# ---- Labels by hand ----


def test_proposals_have_the_class_of_the_object_that_they_overlap_by_half():
    objects = truth([OBJECT, [40, 10, 60, 20]], [1, 0])
    boxes = [
        [10, 10, 20, 20],  # the object itself
        [10, 10, 20, 15],  # exactly half of it
        [10, 10, 20, 14.75],  # less
        [40, 10, 60, 26],  # 10 / 16 of the other object
        [70, 40, 80, 50],  # nothing
    ]

    (sampled,) = sample(heads(), (proposed(boxes), objects))

    expected = zip(boxes, [1, 1, BACKGROUND, 0, BACKGROUND], strict=True)
    assert rows(sampled) == sorted((*box, label) for box, label in expected)
    positive = sampled[sampled.gt_classes != BACKGROUND]
    targets = {
        tuple(box): tuple(gt)
        for box, gt in zip(
            positive.proposal_boxes.tensor.tolist(), positive.gt_boxes.tensor.tolist(), strict=True
        )
    }
    assert targets[(10, 10, 20, 15)] == (10, 10, 20, 20)
    assert targets[(40, 10, 60, 26)] == (40, 10, 60, 20)


def test_objects_are_proposals_too_where_that_is_wanted():
    objects = truth([OBJECT], [1])
    (without,) = sample(heads(), (proposed([[70, 40, 80, 50]]), objects))
    (appended,) = sample(heads(append_gt=True), (proposed([[70, 40, 80, 50]]), objects))
    assert rows(without) == [(70, 40, 80, 50, BACKGROUND)]
    assert rows(appended) == [(*OBJECT, 1), (70, 40, 80, 50, BACKGROUND)]


def test_an_image_without_objects_has_background_only():
    both = sample(
        heads(append_gt=True),
        (proposed([OBJECT]), truth()),
        (proposed([OBJECT]), truth([OBJECT], [1])),
    )
    assert [rows(each) for each in both] == [
        [(*OBJECT, BACKGROUND)],
        [(*OBJECT, 1), (*OBJECT, 1)],
    ]


def test_at_most_a_quarter_of_512_proposals_is_positive():
    corners = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 50
    boxes = torch.cat([corners, corners + 3], dim=1).tolist()
    model = heads(append_gt=True, batch_size_per_image=512)

    many, one = sample(
        model,
        (proposed([[80, 50, 90, 60]] * 1000), truth(boxes)),
        (proposed([[80, 50, 90, 60]] * 1000), truth([OBJECT])),
    )

    assert [int((each.gt_classes == 0).sum()) for each in (many, one)] == [128, 1]
    assert [len(each) for each in (many, one)] == [512, 512]


# ---- Regions ----


REGION = [40.0, 10.0, 60.0, 30.0]


def test_background_in_a_region_is_not_sampled():
    inside, half = [45.0, 15, 55, 25], [30.0, 10, 50, 30]  # of the latter exactly half
    more = [30.5, 10.0, 50.5, 30]
    boxes = proposed([inside, half, more, OBJECT])

    (sampled,) = sample(heads(append_gt=True), (boxes, truth([OBJECT, REGION], [1, -1])))

    # the object twice, as a proposal and as itself; the region is no proposal
    assert rows(sampled) == sorted([(*OBJECT, 1), (*OBJECT, 1), (*half, BACKGROUND)])


def test_an_object_in_a_region_stays_positive():
    inside = [45.0, 15, 55, 25]
    (sampled,) = sample(heads(), (proposed([inside]), truth([REGION, inside], [-1, 0])))
    assert rows(sampled) == [(*inside, 0)]


def test_a_proposal_belongs_to_its_object_even_if_a_region_fits_it_better():
    objects = truth([[45.0, 15, 55, 25], [45.0, 15, 55, 27]], [0, -1])
    between = [45.0, 15, 55, 26]
    (sampled,) = sample(heads(), (proposed([between]), objects))
    assert rows(sampled) == [(*between, 0)]
    assert sampled.gt_boxes.tensor.tolist() == [[45, 15, 55, 25]]


def test_how_much_of_a_proposal_must_lie_in_a_region_can_be_chosen():
    pair = proposed([[30.0, 10, 50, 30]]), truth([REGION], [-1])
    assert len(sample(heads(), pair)[0]) == 1
    assert len(sample(heads(ignore_overlap=0.4), pair)[0]) == 0


def test_without_a_proposal_losses_are_zero_and_finite():
    model = heads(append_gt=True)
    sampled = sample(model, (proposed([[45, 15, 55, 25]]), truth([REGION], [-1])))
    losses = losses_of(model, sampled)

    sum(losses.values()).backward()

    assert len(sampled[0]) == 0
    assert {name: loss.item() for name, loss in losses.items()} == {
        "loss_cls": 0,
        "loss_box_reg": 0,
    }
    assert all(not p.grad.any() for p in model.parameters())


# ---- Losses ----


def test_losses_of_one_object_by_hand():
    """No class preferred: ln 3. A proposal 1 px to the left of an object of 10 px: dx = 10 / 10."""
    model = heads()
    for layer in (model.box_predictor.cls_score, model.box_predictor.bbox_pred):
        torch.nn.init.zeros_(layer.weight)
    sampled = sample(model, (proposed([[9, 10, 19, 20], [70, 40, 80, 50]]), truth([OBJECT])))

    losses = losses_of(model, sampled)

    assert losses["loss_cls"].item() == pytest.approx(math.log(3))
    # divided by both proposals
    assert losses["loss_box_reg"].item() == pytest.approx(10 * 0.1 / 2)


def test_losses_are_divided_by_the_mean_number_of_proposals_of_all_processes(monkeypatch):
    model = heads()
    sampled = sample(model, (proposed([OBJECT, [70, 40, 80, 50]]), truth([OBJECT])))
    alone = losses_of(model, sampled)
    # the other process has six
    monkeypatch.setattr(roi_heads, "mean_over_processes", lambda own: (own.double() + 6) / 2)

    together = losses_of(model, sampled)

    for name, loss in alone.items():
        assert together[name].item() == pytest.approx(loss.item() * 2 / 4)


# ---- Features ----


def test_proposals_are_pooled_from_the_level_of_their_size():
    """The authors' rule: floor(log2(side / 56)), from p2 to p5."""
    pooler = heads(PUBLISHED).box_pooler
    sides = [2, 55, 56, 111, 112, 223, 224, 447, 448, 2000]
    # every level is filled with its own number
    size = (512, 512)
    features = [
        torch.full((1, 1, size[0] // s, size[1] // s), float(k))
        for k, s in enumerate((4, 8, 16, 32))
    ]
    boxes = torch.tensor([[0.0, 0, side, side] for side in sides])

    found = pooler(features, [Boxes(boxes)])[:, 0, 0, 0].tolist()

    expected = [min(max(math.floor(math.log2(side / 56)), 0), 3) for side in sides]
    assert found == expected == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_the_coarsest_level_is_for_anchors_only():
    assert heads(PUBLISHED).box_in_features == ["p2", "p3", "p4", "p5"]
    assert heads().box_in_features == ["p2", "p3"]


def test_published_numbers_are_the_default():
    model = ScaleMatchROIHeads(levels=PUBLISHED, channels=4, num_classes=3, settings=ROISettings())

    assert isinstance(model, StandardROIHeads)
    assert (model.batch_size_per_image, model.positive_fraction) == (512, 0.25)
    assert model.proposal_append_gt
    assert model.proposal_matcher.thresholds == [-float("inf"), 0.5, float("inf")]
    assert model.proposal_matcher.labels == [0, 1]
    assert model.box_pooler.output_size == (7, 7)
    assert {(p.sampling_ratio, p.aligned) for p in model.box_pooler.level_poolers} == {(0, True)}
    shapes = {name: tuple(p.shape) for name, p in model.box_head.named_parameters()}
    assert shapes["fc1.weight"] == (1024, 4 * 7 * 7)
    assert shapes["fc2.weight"] == (1024, 1024)
    predictor = model.box_predictor
    assert predictor.cls_score.weight.shape == (4, 1024)
    assert predictor.bbox_pred.weight.shape == (12, 1024)
    assert predictor.box2box_transform.weights == (10.0, 10.0, 5.0, 5.0)
    assert (predictor.box_reg_loss_type, predictor.smooth_l1_beta) == ("smooth_l1", 0.0)
    assert (predictor.test_score_thresh, predictor.test_nms_thresh) == (0.05, 0.5)
    assert predictor.test_topk_per_image == -1


def test_lists_and_tuples_say_the_same():
    assert ROISettings(iou_thresholds=[0.5], bbox_reg_weights=[10, 10, 5, 5]) == ROISettings()
