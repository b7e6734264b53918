"""The first stage: labels of its anchors by hand and by the whole matrix, and what it proposes."""

from dataclasses import replace

import pytest
import torch
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, ImageList, Instances, pairwise_iou
from detectron2.utils.events import EventStorage

from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.rpn import RPNSettings, ScaleMatchRPN

torch.set_num_threads(1)

SQUARES = PyramidLevels(strides=(4, 8), scales_per_octave=1, aspect_ratios=(1.0,))
PUBLISHED = PyramidLevels(scales_per_octave=1)
ALL = RPNSettings(batch_size_per_image=10**6)  # every anchor with a label is sampled


def rpn(levels=SQUARES, settings=ALL, **arguments):
    torch.manual_seed(0)
    return ScaleMatchRPN(levels=levels, channels=4, settings=settings, **arguments)


def truth(boxes=(), classes=None, size=(32, 40)):
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    classes = [0] * len(instances.gt_boxes) if classes is None else classes
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return instances


def features_of(levels, size=(32, 40)):
    return {
        name: torch.zeros(1, 4, -(-size[0] // s), -(-size[1] // s))
        for name, s in zip(levels.feature_names, levels.strides, strict=True)
    }


def label(model, *instances):
    """Labels of the anchors of each image, their matched boxes, and the anchors."""
    levels = PUBLISHED if len(model.in_features) == 5 else SQUARES
    size = instances[0].image_size
    anchors = model.anchor_generator(list(features_of(levels, size).values()))
    labels, boxes = model.label_and_sample_anchors(anchors, list(instances))
    return labels, boxes, Boxes.cat(anchors).tensor


def crowd(number, seed, size=(32, 40), side=12):
    """Random boxes, some outside, some without area, some the same, on whole and half pixels."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    corners = torch.rand(number, 2, generator=generator) * torch.tensor([width, height])
    boxes = torch.cat([corners, corners + side * torch.rand(number, 2, generator=generator)], 1)
    boxes = (2 * boxes).round() / 2
    boxes[::7, 2] = boxes[::7, 0]
    boxes[1::7] += 1000
    boxes[2::7] = boxes[2:3].clone()
    return boxes.tolist()


def plain_labels(anchors, boxes, least):
    """The rule from its definition, on the matrix of all pairs."""
    if not len(boxes):
        return torch.zeros(len(anchors), dtype=torch.int64)
    iou = pairwise_iou(Boxes(torch.tensor(boxes)), Boxes(anchors))  # (M, R)
    best = iou.max(dim=0).values
    labels = torch.where(best >= 0.7, 1, torch.where(best < 0.3, 0, -1))
    for row in iou:
        if row.max() > 0 and row.max() >= least:
            labels[row == row.max()] = 1
    return labels


# ---- Labels by hand ----


def test_anchors_of_one_box_have_the_labels_of_their_overlap():
    """A box that is the anchor of 8 px at (16, 16): its neighbours 4 px off have IoU 1/3."""
    (labels,), (boxes,), anchors = label(rpn(), truth([[12, 12, 20, 20]]))

    positive = (labels == 1).nonzero()[:, 0].tolist()
    ignored = anchors[labels == -1].tolist()
    assert anchors[positive].tolist() == [[12, 12, 20, 20]]
    assert boxes[positive].tolist() == [[12, 12, 20, 20]]
    assert sorted(ignored) == [[8, 12, 16, 20], [12, 8, 20, 16], [12, 16, 20, 24], [16, 12, 24, 20]]
    assert (labels == 0).sum() == 8 * 10 + 4 * 5 - 5


def test_the_best_anchor_is_positive_from_an_iou_of_three_tenths_on():
    # 6x6 in the anchor at (16, 16): 36 / 64; 4x4 in the same: 16 / 64
    (enough,), _, anchors = label(rpn(), truth([[13, 13, 19, 19]]))
    (too_little,), _, _ = label(rpn(), truth([[14, 14, 18, 18]]))

    assert anchors[enough == 1].tolist() == [[12, 12, 20, 20]]
    assert (too_little == 0).all()


def test_an_iou_on_the_limit_suffices():
    # 64 * 0.3 = 19.2 px^2 of the anchor, all of them inside
    inside = [[12, 12, 20, 14.4]]
    limit = float(
        pairwise_iou(Boxes(torch.tensor(inside)), Boxes(torch.tensor([[12.0, 12, 20, 20]])))
    )

    (on,), _, anchors = label(rpn(settings=replace(ALL, min_positive_iou=limit)), truth(inside))
    above = replace(ALL, min_positive_iou=limit + 1e-4)
    (under,), _, _ = label(rpn(settings=above), truth(inside))

    assert [12, 12, 20, 20] in anchors[on == 1].tolist()
    assert not (under == 1).any()


def test_detectron2_takes_any_overlap_even_none():
    """What this class is for; if this fails, it has become needless."""
    model = rpn()
    model.anchor_matcher = Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True)
    anchors = model.anchor_generator(list(features_of(SQUARES).values()))

    (small,), _ = RPN.label_and_sample_anchors(model, anchors, [truth([[14, 14, 18, 18]])])
    (outside,), _ = RPN.label_and_sample_anchors(model, anchors, [truth([[90, 90, 99, 99]])])

    assert (small == 1).any()
    assert (outside == 1).all()


@pytest.mark.parametrize(
    "nowhere", [[20, 20, 20, 30], [20, 20, 20, 20], [500, 20, 510, 30]], ids=str
)
def test_a_box_that_meets_no_anchor_changes_nothing(nowhere):
    boxes = [[12, 12, 20, 20], [3, 3, 9, 8]]
    (with_it,), _, _ = label(rpn(), truth([*boxes, nowhere]))
    (without,), _, _ = label(rpn(), truth(boxes))
    assert torch.equal(with_it, without)
    assert (with_it == 1).sum() == 1 + 2  # the second box fits two anchors equally well


def test_an_image_without_boxes_is_background():
    (labels,), (boxes,), anchors = label(rpn(), truth())
    assert (labels == 0).all()
    assert boxes.shape == anchors.shape


# ---- Labels against the matrix ----


@pytest.mark.parametrize("least", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("number", [1, 8, 100])
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_those_of_the_matrix(seed, number, least):
    boxes = crowd(number, seed)
    model = rpn(PUBLISHED, replace(ALL, min_positive_iou=least))

    (labels,), (matched,), anchors = label(model, truth(boxes))

    assert torch.equal(labels.long(), plain_labels(anchors, boxes, least))
    positive = labels == 1
    iou = pairwise_iou(Boxes(torch.tensor(boxes)), Boxes(anchors))
    expected = torch.tensor(boxes)[iou.argmax(dim=0)]
    assert torch.equal(matched[positive], expected[positive])


def test_labels_are_detectron2s_where_every_box_has_a_good_anchor():
    boxes = [[12, 12, 20, 20], [3, 3, 9, 8], [20, 9, 36, 22], [21, 9, 35, 24]]
    model = rpn(PUBLISHED)
    anchors = model.anchor_generator(list(features_of(PUBLISHED).values()))

    ours, our_boxes = model.label_and_sample_anchors(anchors, [truth(boxes), truth(boxes[:1])])
    theirs, their_boxes = RPN.label_and_sample_anchors(
        model, anchors, [truth(boxes), truth(boxes[:1])]
    )

    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)
        assert (mine == 1).any()
    for mine, other, labels in zip(our_boxes, their_boxes, ours, strict=True):
        assert torch.equal(mine[labels == 1], other[labels == 1])


# ---- Sampling ----


def test_a_quarter_of_a_thousand_anchors_has_a_loss_half_of_them_positive_at_most():
    boxes = crowd(1000, seed=3, size=(320, 400), side=20)
    model = rpn(PUBLISHED, RPNSettings())

    labels, _, _ = label(
        model, truth(boxes, size=(320, 400)), truth([[12, 12, 20, 20]], size=(320, 400))
    )

    assert [int((each == 1).sum()) for each in labels] == [128, 1]
    assert [int((each == 0).sum()) for each in labels] == [128, 255]


def test_background_in_a_region_is_not_sampled():
    region, objects = [8.0, 8.0, 24.0, 24.0], [[12, 12, 20, 20]]
    (plain,), _, anchors = label(rpn(), truth(objects))
    (masked,), _, _ = label(rpn(), truth([*objects, region], [0, -1]))

    low = torch.maximum(anchors[:, :2], torch.tensor(region[:2]))
    sides = (torch.minimum(anchors[:, 2:], torch.tensor(region[2:])) - low).clamp(min=0)
    inside = sides.prod(1) / (anchors[:, 2:] - anchors[:, :2]).prod(1) > 0.5
    assert torch.equal(masked, plain.masked_fill(inside & (plain == 0), -1))
    # The diagonal neighbours and the anchor of 16 px; half of an anchor is not enough.
    assert (masked != plain).sum() == 4 + 1
    assert (masked == 1).sum() == 1


def test_how_much_of_an_anchor_must_lie_in_a_region_can_be_chosen():
    region = truth([[8.0, 8.0, 24.0, 24.0]], [-1])
    (half,), _, _ = label(rpn(), region)
    (little,), _, _ = label(rpn(ignore_overlap=0.2), region)
    assert 0 < (half == -1).sum() < (little == -1).sum()


def test_a_region_is_no_object():
    (labels,), _, _ = label(rpn(), truth([[12, 12, 20, 20]], [-1]))
    assert not (labels == 1).any()


# ---- Proposals and losses ----


def forward(model, *instances, size=(32, 40), features=None):
    images = ImageList(torch.zeros(len(instances) or 1, 3, *size), [size] * (len(instances) or 1))
    levels = PUBLISHED if len(model.in_features) == 5 else SQUARES
    given = features or features_of(levels, size)
    if len(instances) > 1:
        given = {name: each.repeat(len(instances), 1, 1, 1) for name, each in given.items()}
    with EventStorage(0):
        return model(images, given, list(instances) or None)


@pytest.mark.parametrize("training", [True, False])
def test_proposals_are_limited_per_level_and_then_per_image(training):
    settings = RPNSettings(pre_nms_topk=(30, 20), post_nms_topk=(40, 25), nms_thresh=1.0)
    size = (64, 64)
    model = rpn(settings=settings).train(training)
    noise = {name: torch.rand_like(each) for name, each in features_of(SQUARES, size).items()}

    def found(post):
        model.post_nms_topk = dict.fromkeys((True, False), post)
        instances = [truth(size=size)] if training else []
        (proposals,), _ = forward(model, *instances, size=size, features=noise)
        return len(proposals)

    limit = model.post_nms_topk[training]
    assert found(10**6) == 2 * settings.pre_nms_topk[0 if training else 1]
    assert found(limit) == limit == settings.post_nms_topk[0 if training else 1]


def test_losses_are_divided_by_the_anchors_to_sample():
    """An untrained network: ln 2 for each of 256 sampled ones, L1 of the positive ones' deltas."""
    model = rpn(settings=RPNSettings())
    zeros = features_of(SQUARES, (64, 64))
    box = [13.0, 12.0, 21.0, 20.0]  # the anchor at (16, 16), one px to the right: dx = 1 / 8

    _, losses = forward(model, truth([box], size=(64, 64)), size=(64, 64), features=zeros)

    (labels,), _, _ = label(model, truth([box], size=(64, 64)))
    assert (labels == 1).sum() == 1
    assert losses["loss_rpn_cls"].item() == pytest.approx(0.6931, rel=1e-3)
    assert losses["loss_rpn_loc"].item() == pytest.approx(0.125 / 256, rel=1e-3)


def test_two_images_are_labelled_each_by_itself():
    model = rpn()
    _, losses = forward(model, truth([[12, 12, 20, 20]]), truth())
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("part", ["objectness_logits", "anchor_deltas"])
def test_diverged_predictions_give_a_loss_that_is_no_number(part):
    """detectron2 raises an error from inside, so that nobody can name the images."""
    model = rpn()
    torch.nn.init.constant_(getattr(model.rpn_head, part).bias, float("nan"))

    (proposals,), losses = forward(model, truth([[12, 12, 20, 20]]))

    assert len(proposals) == 0
    assert all(torch.isnan(loss) for loss in losses.values())
    torch.nn.init.constant_(getattr(model.rpn_head, part).bias, 0.0)
    _, losses = forward(model, truth([[12, 12, 20, 20]]))
    assert all(torch.isfinite(loss) for loss in losses.values())


# ---- Settings ----


def test_published_numbers_are_the_default():
    model = rpn(PUBLISHED, RPNSettings())

    assert model.anchor_matcher.thresholds == [-float("inf"), 0.3, 0.7, float("inf")]
    assert model.anchor_matcher.labels == [0, -1, 1]
    assert model.anchor_matcher.min_low_quality_iou == 0.3
    assert (model.batch_size_per_image, model.positive_fraction) == (256, 0.5)
    assert model.pre_nms_topk == {True: 2000, False: 1000}
    assert model.post_nms_topk == {True: 1000, False: 1000}
    assert model.nms_thresh == 0.7
    assert (model.box_reg_loss_type, model.smooth_l1_beta) == ("smooth_l1", 0.0)
    assert model.box2box_transform.weights == (1.0, 1.0, 1.0, 1.0)
    assert model.in_features == ["p2", "p3", "p4", "p5", "p6"]
    sides = [
        (cell[:, 2:] - cell[:, :2]).prod(dim=1).sqrt().tolist()
        for cell in model.anchor_generator.cell_anchors
    ]
    assert sides == [pytest.approx([side] * 3) for side in (8, 16, 32, 64, 128)]


def test_lists_and_tuples_say_the_same():
    assert RPNSettings(iou_thresholds=[0.3, 0.7], pre_nms_topk=[2000, 1000]) == RPNSettings()
