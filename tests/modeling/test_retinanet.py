"""RetinaNet on a pyramid: its losses, its anchors, and input that could upset it."""

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY, RetinaNet, build_model
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage

from oracles import retinanet_loss
from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.retinanet import ScaleMatchRetinaNet

torch.set_num_threads(1)

PYRAMIDS = {
    "stride 4": PyramidLevels(),
    "stride 8": PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4),
    "three levels": PyramidLevels(strides=(4, 8, 16)),
}
each_pyramid = pytest.mark.parametrize("levels", PYRAMIDS.values(), ids=PYRAMIDS)


def small_model(levels=PYRAMIDS["three levels"], num_classes=2, **arguments):
    torch.manual_seed(0)
    backbone = build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=16,
    )
    return ScaleMatchRetinaNet(
        levels=levels,
        backbone=backbone,
        num_classes=num_classes,
        num_head_convs=1,
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
        **arguments,
    )


def sample(boxes=(), classes=(), height=64, width=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return {"image": image, "instances": instances}


def losses_of(model, batch):
    with EventStorage(0):
        return model(batch)


def labels_of(model, *samples):
    """Labels of the anchors, (N, R)."""
    height, width = samples[0]["image"].shape[-2:]
    features = [torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in model.levels.strides]
    anchors = model.anchor_generator(features)
    labels, _ = model.label_anchors(anchors, [each["instances"] for each in samples])
    return torch.stack(labels)


BOXES = [[10.0, 12.0, 17.0, 30.0], [40.0, 20.0, 44.0, 23.0], [41.0, 20.5, 46.0, 25.0]]
CLASSES = [0, 1, 0]


@each_pyramid
def test_losses_are_those_of_the_plain_reference(levels):
    model = small_model(levels)
    torch.nn.init.normal_(model.head.cls_score.weight, std=0.5)
    torch.nn.init.normal_(model.head.bbox_pred.weight, std=0.5)
    # as large as the smallest anchors, off the grid: no two anchors fit a box equally well
    unit = levels.anchor_sizes[0][0]
    boxes = (unit * torch.tensor([[0.31, 0.4, 1.43, 1.9], [0.93, 0.1, 2.57, 1.1]])).tolist()
    batch = [sample(boxes, [0, 1]), sample(boxes[1:], [1], seed=1), sample(seed=2)]
    outputs = []
    model.head.register_forward_hook(lambda *call: outputs.extend(call[2]))

    losses = losses_of(model, batch)

    def flattened(maps, channels):  # list of (N, A * channels, H, W) -> (N, R, channels)
        maps = [m.detach().double().numpy() for m in maps]
        maps = [m.reshape(len(m), -1, channels, *m.shape[-2:]) for m in maps]
        return np.concatenate(
            [m.transpose(0, 3, 4, 1, 2).reshape(len(m), -1, channels) for m in maps], axis=1
        )

    anchors = retinanet_loss.anchors_of(
        levels.strides, levels.anchor_scale, levels.scales_per_octave, levels.aspect_ratios, 64, 96
    )
    expected = retinanet_loss.losses(
        anchors,
        flattened(outputs[0], 2),
        flattened(outputs[1], 4),
        [each["instances"].gt_boxes.tensor.double().numpy() for each in batch],
        [each["instances"].gt_classes.numpy() for each in batch],
    )
    assert list(losses) == ["loss_cls", "loss_box_reg"]
    assert [loss.item() for loss in losses.values()] == pytest.approx(expected, rel=1e-4)


@each_pyramid
def test_every_parameter_gets_a_gradient(levels):
    model = small_model(levels)

    sum(losses_of(model, [sample(BOXES, CLASSES)]).values()).backward()

    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_losses_do_not_depend_on_earlier_batches():
    model, batch = small_model(), [sample(BOXES, CLASSES)]
    model.eval()
    model.train(mode=True)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()

    first = losses_of(model, batch)
    losses_of(model, [sample(seed=5)])

    assert losses_of(model, batch)["loss_cls"].item() == pytest.approx(first["loss_cls"].item())


def test_moving_average_gives_the_losses_of_detectron2():
    model = small_model(loss_normalizer="moving_average")
    batch = [sample(BOXES, CLASSES)]
    ours = losses_of(model, batch)

    num_positives = int(((labels_of(model, *batch) >= 0) & (labels_of(model, *batch) < 2)).sum())
    by_positives = losses_of(small_model(), batch)

    average = 0.9 * 100 + 0.1 * num_positives  # detectron2's first value
    for name, loss in by_positives.items():
        assert ours[name].item() == pytest.approx(loss.item() * num_positives / average, rel=1e-4)


def test_image_without_positive_anchors_counts_one():
    model = small_model()
    full = sample(BOXES, CLASSES)
    num_positives = int(((labels_of(model, full) >= 0) & (labels_of(model, full) < 2)).sum())

    labels = list(labels_of(model, full, sample()))

    assert num_positives > 3
    assert model._num_positives(labels) == num_positives + 1
    assert model._num_positives([labels[1], labels[1]]) == 2


def test_images_without_boxes_give_finite_losses_and_gradients():
    model = small_model()

    losses = losses_of(model, [sample(), sample(seed=1)])
    sum(losses.values()).backward()

    assert losses["loss_box_reg"].item() == 0
    assert 0 < losses["loss_cls"].item() < 100
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    "degenerate",
    [[20.0, 20.0, 20.0, 30.0], [20.0, 20.0, 20.0, 20.0], [5000.0, 20.0, 5010.0, 30.0]],
    ids=["no width", "point", "outside"],
)
def test_a_box_that_meets_no_anchor_changes_nothing(degenerate):
    model = small_model()

    with_it = labels_of(model, sample([*BOXES, degenerate], [*CLASSES, 1]))

    assert torch.equal(with_it, labels_of(model, sample(BOXES, CLASSES)))


def test_a_box_of_two_pixels_gets_a_positive_anchor():
    labels = labels_of(small_model(), sample([[33.0, 33.0, 35.0, 35.0]], [1]))

    assert (labels == 1).any()


def test_labels_are_those_of_detectron2():
    model = small_model()
    samples = [sample([[10, 10, 22, 21], [12, 12, 20, 22], [60, 30, 90, 60]], [1, 0, 1]), sample()]
    instances = [each["instances"] for each in samples]
    anchors = model.anchor_generator([torch.zeros(1, 1, 64 // s, 96 // s) for s in (4, 8, 16)])

    labels, boxes = model.label_anchors(anchors, instances)

    expected_labels, expected_boxes = RetinaNet.label_anchors(model, anchors, instances)
    assert all(map(torch.equal, labels, expected_labels))
    assert all(map(torch.equal, boxes, expected_boxes))


def test_background_anchors_in_a_region_have_no_label():
    model = small_model()
    region = [[32.0, 16.0, 80.0, 48.0]]
    inside = BOXES[1]

    plain = labels_of(model, sample([inside], [1]))
    masked = labels_of(model, sample([inside, *region], [1, -1]))

    changed = plain != masked
    assert (plain[changed] == 2).all()
    assert (masked[changed] == -1).all()
    anchors = torch.cat([a.tensor for a in model.anchor_generator(
        [torch.zeros(1, 1, 64 // s, 96 // s) for s in (4, 8, 16)])])  # fmt: skip
    sides = torch.minimum(anchors[:, 2:], torch.tensor(region[0][2:])) - torch.maximum(
        anchors[:, :2], torch.tensor(region[0][:2])
    )
    shares = sides.clamp(min=0).prod(1) / (anchors[:, 2:] - anchors[:, :2]).prod(1)
    assert torch.equal(masked[0] == -1, (plain[0] == -1) | ((shares > 0.5) & (plain[0] == 2)))
    assert (masked == 1).sum() == (plain == 1).sum() > 0


def test_masked_anchors_have_no_gradient():
    model = small_model()
    features = []
    model.head.register_forward_hook(lambda *call: features.extend(call[2][0]))

    everywhere = losses_of(model, [sample([[-99.0, -99.0, 999.0, 999.0]], [-1])])
    sum(everywhere.values()).backward()

    assert everywhere["loss_cls"].item() == everywhere["loss_box_reg"].item() == 0
    assert all(not p.grad.any() for p in model.parameters() if p.grad is not None)


def test_regions_and_objects_keep_the_matched_boxes():
    model = small_model()
    anchors = model.anchor_generator([torch.zeros(1, 1, 64 // s, 96 // s) for s in (4, 8, 16)])
    with_region = sample([[0.0, 0.0, 20.0, 20.0], *BOXES], [-1, *CLASSES])["instances"]

    labels, boxes = model.label_anchors(anchors, [with_region])
    plain_labels, plain_boxes = model.label_anchors(anchors, [sample(BOXES, CLASSES)["instances"]])

    positive = (plain_labels[0] >= 0) & (plain_labels[0] < 2)
    assert torch.equal(labels[0][positive], plain_labels[0][positive])
    assert torch.equal(boxes[0][positive], plain_boxes[0][positive])


def test_a_thousand_boxes_train():
    corners = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 50
    boxes = torch.cat([corners, corners + 3], dim=1).tolist()

    losses = losses_of(small_model(), [sample(boxes, [0] * 1000)])

    assert all(torch.isfinite(loss) for loss in losses.values())


def test_it_learns_an_image_by_heart():
    """Targets, losses and decoding agree: what it is taught is what it then finds."""
    model = small_model()
    each = sample([[8, 10, 16, 20], [40, 20, 47, 27], [60, 5, 68, 11]], [0, 1, 0])
    truth = each["instances"]
    colours = torch.tensor([[220, 40, 40], [40, 60, 220]], dtype=torch.uint8)
    for (x1, y1, x2, y2), label in zip(
        truth.gt_boxes.tensor.int().tolist(), truth.gt_classes.tolist(), strict=True
    ):
        each["image"][:, y1:y2, x1:x2] = colours[label][:, None, None]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    for _ in range(60):
        optimizer.zero_grad()
        sum(losses_of(model, [each]).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        found = model.eval()([each])[0]["instances"][:3]

    overlaps, matches = pairwise_iou(truth.gt_boxes, found.pred_boxes).max(dim=1)
    assert (overlaps > 0.7).all()
    assert torch.equal(found.pred_classes[matches], truth.gt_classes)
    assert (found.scores > 0.7).all()


def test_untrained_scores_are_the_prior():
    model = small_model(test_score_thresh=0.0).eval()

    with torch.no_grad():
        (output,) = model([sample()])

    assert output["instances"].scores.mean().item() == pytest.approx(0.01, rel=0.1)


def test_published_limits_are_the_default():
    model = small_model()

    assert model.test_topk_candidates == 2000
    assert model.max_detections_per_image == 1000
    assert model.test_score_thresh == 0.05
    assert model.test_nms_thresh == 0.5
    assert model.smooth_l1_beta == 0


def test_unknown_normalizer_is_refused():
    with pytest.raises(InputError, match=r"`loss_normalizer` must be one of num_positives, .*'x'"):
        small_model(loss_normalizer="x")


def test_backbone_of_another_pyramid_is_refused():
    backbone = small_model(PyramidLevels(strides=(4, 8))).backbone

    with pytest.raises(InputError, match=r"strides \{'p2': 4, 'p3': 8\}, .* \[4, 8, 16, 32, 64\]"):
        ScaleMatchRetinaNet(
            levels=PyramidLevels(),
            backbone=backbone,
            num_classes=1,
            pixel_mean=[0, 0, 0],
            pixel_std=[1, 1, 1],
        )


def yacs_config(*options):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    cfg.merge_from_list(
        [
            *("MODEL.META_ARCHITECTURE", "ScaleMatchRetinaNet"),
            *("MODEL.BACKBONE.NAME", "build_scale_match_fpn_backbone"),
            *("MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.RESNETS.DEPTH", 18),
            *("MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
            *("MODEL.RESNETS.NORM", "BN"),
            *("MODEL.FPN.OUT_CHANNELS", 16),
            *("MODEL.RETINANET.NUM_CLASSES", 2),
            *("MODEL.RETINANET.NUM_CONVS", 1),
            *("MODEL.RETINANET.SMOOTH_L1_LOSS_BETA", 0.0),
            *("MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53]),
            *("MODEL.PIXEL_STD", [58.395, 57.12, 57.375]),
            *("MODEL.DEVICE", "cpu"),
            *("SCALE_MATCH.MODEL.STRIDES", [4, 8, 16]),
            *options,
        ]
    )
    return cfg


def test_yacs_builds_the_same_model():
    from_yacs, explicit = build_model(yacs_config()), small_model()
    from_yacs.load_state_dict(explicit.state_dict())
    batch = [sample(BOXES, CLASSES)]

    assert isinstance(from_yacs, ScaleMatchRetinaNet)
    losses = losses_of(from_yacs, batch)

    for name, loss in losses_of(explicit, batch).items():
        assert losses[name].item() == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("key", "value", "attribute"),
    [
        ("MODEL.RETINANET.TOPK_CANDIDATES_TEST", 77, "test_topk_candidates"),
        ("MODEL.RETINANET.SCORE_THRESH_TEST", 0.2, "test_score_thresh"),
        ("MODEL.RETINANET.NMS_THRESH_TEST", 0.3, "test_nms_thresh"),
        ("TEST.DETECTIONS_PER_IMAGE", 66, "max_detections_per_image"),
        ("MODEL.RETINANET.FOCAL_LOSS_ALPHA", 0.5, "focal_loss_alpha"),
        ("MODEL.RETINANET.FOCAL_LOSS_GAMMA", 1.5, "focal_loss_gamma"),
        ("MODEL.RETINANET.SMOOTH_L1_LOSS_BETA", 0.1, "smooth_l1_beta"),
        ("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "giou", "box_reg_loss_type"),
        ("INPUT.FORMAT", "RGB", "input_format"),
    ],
)
def test_a_stock_key_reaches_the_model(key, value, attribute):
    assert getattr(build_model(yacs_config(key, value)), attribute) == value


def test_matching_keys_reach_the_matcher():
    keys = ("MODEL.RETINANET.IOU_THRESHOLDS", [0.3, 0.6])

    matcher = build_model(yacs_config(*keys)).anchor_matcher

    assert matcher.thresholds == [-float("inf"), 0.3, 0.6, float("inf")]


def test_it_is_registered_beside_the_stock_model():
    assert META_ARCH_REGISTRY.get("ScaleMatchRetinaNet") is ScaleMatchRetinaNet
    assert issubclass(ScaleMatchRetinaNet, RetinaNet)
