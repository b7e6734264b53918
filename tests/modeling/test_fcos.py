"""FCOS on a pyramid: training, what it learns, inference alone and on tiles, and bad input."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.structures import Boxes, Instances, pairwise_iou

from learnt_image import ap50, drawn_image, learn
from oracles import tiled_inference
from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.inference.tiled_model import TiledModel
from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.fcos import ScaleMatchFCOS
from scale_match.modeling.levels import PyramidLevels
from small_detectors import noise, small_fcos

torch.set_num_threads(1)

THREE = PyramidLevels(strides=(4, 8, 16))
PYRAMIDS = {
    "published": PyramidLevels(),
    "stride 8": PyramidLevels(strides=(8, 16, 32, 64, 128)),
    "three levels": THREE,
}
each_pyramid = pytest.mark.parametrize("levels", PYRAMIDS.values(), ids=PYRAMIDS)
PIXELS = {"pixel_mean": [103.53, 116.28, 123.675], "pixel_std": [57.0, 57.0, 57.0]}


def small_backbone(levels=THREE, channels=16, extra_levels="convolution_of_p5"):
    return build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=channels,
        extra_levels=extra_levels,
    )


def small_model(levels=THREE, channels=16, **arguments):
    torch.manual_seed(0)
    settings = {"num_classes": 2, "num_head_convs": 1, **PIXELS, **arguments}
    return ScaleMatchFCOS(levels=levels, backbone=small_backbone(levels, channels), **settings)


def sample(boxes=(), classes=(), height=64, width=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return {"image_id": 1, "image": image, "instances": instances}


BOXES = [[10.0, 12.0, 17.0, 30.0], [40.0, 20.0, 44.0, 23.0], [41.0, 20.5, 46.0, 25.0]]
CLASSES = [0, 1, 0]


# ---- Training ----


@each_pyramid
def test_every_parameter_gets_a_gradient(levels):
    model = small_model(levels)

    losses = model([sample(BOXES, CLASSES), sample(seed=1)])
    sum(losses.values()).backward()

    assert list(losses) == ["loss_cls", "loss_box_reg", "loss_ctrness"]
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_images_without_boxes_give_finite_losses_and_gradients():
    model = small_model()

    losses = model([sample(), sample(seed=1)])
    sum(losses.values()).backward()

    assert losses["loss_box_reg"].item() == losses["loss_ctrness"].item() == 0
    assert 0 < losses["loss_cls"].item() < 100
    assert (model.loss_denominator, model.loss_count) == (1, 0)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_regions_that_cover_everything_leave_no_loss_and_no_gradient():
    model = small_model()

    losses = model([sample([[-99.0, -99.0, 999.0, 999.0]], [-1])])
    sum(losses.values()).backward()

    assert all(loss.item() == 0 for loss in losses.values())
    assert all(not p.grad.any() for p in model.parameters())


def test_a_thousand_boxes_train():
    corners = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 50
    boxes = torch.cat([corners, corners + 3], dim=1).tolist()

    losses = small_model()([sample(boxes, [0] * 1000)])

    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("head_norm", ["", "GN"])
def test_losses_are_finite_float32_in_mixed_precision(head_norm):
    model, batch = small_model(channels=32, head_norm=head_norm), [sample(BOXES, CLASSES)]
    exact = model(batch)

    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch)
    sum(losses.values()).backward()

    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact[name].item(), rel=0.05)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_step_is_told_what_the_losses_are_divided_by():
    model, each = small_model(), sample(BOXES, CLASSES)

    model([each, sample()])

    grid, _ = model._predict(model.preprocess_image([each]))
    positives = model.label_locations(grid, each["instances"]).positives
    assert model.loss_denominator == model.loss_count == len(positives) > 3


def test_it_learns_an_image_by_heart():
    """Targets, losses and decoding agree: what it is taught is what it then finds."""
    model, image = small_model(PyramidLevels(strides=(4, 8)), channels=32), drawn_image()
    assert ap50(model, image) < 0.1

    learn(model, image, steps=40)

    assert ap50(model, image) > 0.9


def image_of_tiny_objects():
    """Objects of 2 px: two between four locations of stride 4, one between two, one on one."""
    boxes = [[19.0, 19, 21, 21], [71.0, 51, 73, 53], [41.0, 35, 43, 37], [61.0, 9, 63, 11]]
    labels = [0, 0, 1, 1]
    each = sample(boxes, labels)
    colours = torch.tensor([[220, 40, 40], [40, 60, 220]], dtype=torch.uint8)
    for (x1, y1, x2, y2), label in zip(torch.tensor(boxes).int().tolist(), labels, strict=True):
        each["image"][:, y1:y2, x1:x2] = colours[label][:, None, None]
    return each


@pytest.mark.parametrize("min_distance", [-1.5, 0.0])
def test_it_learns_objects_of_two_pixels_unless_distances_are_positive(min_distance):
    each = image_of_tiny_objects()
    levels = PyramidLevels(strides=(4, 8))
    model = small_model(levels, channels=32, head_norm="GN", min_distance=min_distance)

    learn(model, each, steps=70, lr=1e-3)

    with torch.no_grad():
        found = model.eval()([each])[0]["instances"][:4]
    overlaps, matches = pairwise_iou(each["instances"].gt_boxes, found.pred_boxes).max(dim=1)
    if min_distance < 0:
        assert (overlaps > 0.75).all()
        assert torch.equal(found.pred_classes[matches], each["instances"].gt_classes)
        assert (found.scores > 0.5).all()
    else:
        assert (overlaps[:2] < 4 / 9 + 0.01).all()


# ---- Inference ----


def test_detections_come_best_first_in_the_wanted_size():
    model, (image,) = small_fcos(), noise([(60, 50)])
    with torch.no_grad():
        (plain,) = model([image])
        (doubled,) = model([{**image, "height": 100, "width": 120}])

    found = plain["instances"]
    assert len(found) > 20
    assert found.image_size == (50, 60)
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)
    assert (found.pred_boxes.tensor >= 0).all()
    assert (found.pred_boxes.tensor <= torch.tensor([60.0, 50, 60, 50])).all()
    assert torch.equal(2 * found.pred_boxes.tensor, doubled["instances"].pred_boxes.tensor)


def test_thresholds_and_limits_act_on_the_detections():
    model, image = small_fcos(), noise([(60, 50)])
    with torch.no_grad():
        every = model(image)[0]["instances"]
        model.test_score_thresh = 0.5
        good = model(image)[0]["instances"]
        model.test_nms_thresh = 0.1
        apart = model(image)[0]["instances"]
        model.max_detections_per_image = 3
        few = model(image)[0]["instances"]
        model.test_topk_candidates = 1
        fewest = model(image)[0]["instances"]

    assert len(every) > len(good) > len(apart) > len(few) == 3 > len(fewest) > 0
    assert torch.equal(apart.scores[:3], few.scores)
    for a in range(len(apart)):
        same = apart[apart.pred_classes == apart.pred_classes[a]]
        assert (pairwise_iou(apart.pred_boxes[a], same.pred_boxes) > 0.1).sum() == 1


def test_images_of_a_batch_do_not_touch_each_other():
    model, images = small_fcos(), noise([(64, 64), (64, 64)])
    with torch.no_grad():
        both = model(images)
        (second,) = model(images[1:])

    assert len(both[1]["instances"]) == len(second["instances"]) > 0
    assert torch.allclose(
        both[1]["instances"].pred_boxes.tensor, second["instances"].pred_boxes.tensor, atol=1e-3
    )


def test_untrained_it_finds_nothing():
    with torch.no_grad():
        (output,) = small_model().eval()([sample()])

    assert len(output["instances"]) == 0


def rows(instances):
    """(x1, y1, x2, y2, score, class) of each detection."""
    columns = (
        instances.pred_boxes.tensor,
        instances.scores[:, None],
        instances.pred_classes[:, None],
    )
    return [tuple(row) for row in torch.cat(columns, dim=1).tolist()]


def test_on_tiles_one_suppression_is_over_the_candidates_of_all():
    model, (image,) = small_fcos(test_topk_candidates=30), noise([(97, 75)])
    tiled = TiledModel(model, tile=(40, 32), overlap=(12, 8), nms_threshold=0.4)

    (output,) = tiled([image])

    assert tiled.merge == "joint"
    assert (model.test_nms_thresh, model.max_detections_per_image) == (0.6, 1000)
    model.test_nms_thresh, model.max_detections_per_image = 1.0, -1
    merged = []
    for x1, y1, x2, y2 in tiled_inference.tiles_of(97, 75, (40, 32), (12, 8)):
        with torch.no_grad():
            (found,) = model([{"image": image["image"][:, y1:y2, x1:x2]}])
        for a, b, c, d, score, label in rows(found["instances"]):
            merged.append((a + x1, b + y1, c + x1, d + y1, score, label))
    expected = tiled_inference.suppress(merged, 0.4, 1000)
    assert len(merged) > len(expected) > 20
    torch.testing.assert_close(
        torch.tensor(rows(output["instances"])), torch.tensor(expected), atol=1e-3, rtol=0
    )


# ---- Construction ----


def test_parameters_have_the_names_of_detectron2():
    names = {name for name, _ in small_model(PyramidLevels(), num_head_convs=4).named_parameters()}

    layers = [f"{branch}_subnet.{k}" for branch in ("cls", "bbox") for k in (0, 2, 4, 6)]
    layers += ["cls_score", "bbox_pred", "ctrness"]
    head = {f"head.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    head |= {f"head.scales.{level}.scale" for level in range(5)}
    assert {name for name in names if name.startswith("head.")} == head
    stages = [f"fpn_{kind}{stage}" for kind in ("lateral", "output") for stage in (2, 3, 4, 5)]
    neck = {
        f"backbone.{s}.{kind}" for s in [*stages, "top_block.p6"] for kind in ("weight", "bias")
    }
    others = {name for name in names - head if not name.startswith("backbone.bottom_up.")}
    assert others == neck


def test_published_settings_are_the_default():
    model = small_model(PyramidLevels())

    ranges = ((-1, 16), (16, 32), (32, 64), (64, 128), (128, float("inf")))
    assert model.size_ranges == ranges
    assert model.center_sampling_radius == 1.5
    assert (model.focal_loss_alpha, model.focal_loss_gamma) == (0.25, 2.0)
    assert model.test_topk_candidates == 2000
    assert model.max_detections_per_image == 1000
    assert model.test_score_thresh == 0.05
    assert model.test_nms_thresh == 0.6
    assert model.input_format == "BGR"
    assert model.pixel_mean.flatten().tolist() == pytest.approx(PIXELS["pixel_mean"])
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"center_sampling_radius": 0.0}, r"CENTER_SAMPLING_RADIUS\) must be a positive .* 0.0"),
        ({"center_sampling_radius": float("inf")}, r"CENTER_SAMPLING_RADIUS\) .* received inf"),
        ({"min_distance": 0.5}, r"MIN_DISTANCE\) must be 0 or a negative .* received 0.5"),
        ({"min_distance": float("nan")}, r"MIN_DISTANCE\) .* received nan"),
        ({"size_ranges": [[-1, 16]]}, r"SIZE_RANGES\) .* each of the 3 levels, received"),
    ],
)
def test_illegal_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        small_model(**arguments)


def test_backbone_of_another_pyramid_is_refused():
    backbone = small_backbone(PyramidLevels(strides=(4, 8)))

    with pytest.raises(InputError, match=r"strides \{'p2': 4, 'p3': 8\}, .* \[4, 8, 16, 32, 64\]"):
        ScaleMatchFCOS(levels=PyramidLevels(), backbone=backbone, num_classes=1, **PIXELS)


def yacs_config(*options):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    cfg.merge_from_list(
        [
            *("MODEL.META_ARCHITECTURE", "ScaleMatchFCOS"),
            *("MODEL.BACKBONE.NAME", "build_scale_match_fpn_backbone"),
            *("MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.RESNETS.DEPTH", 18),
            *("MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
            *("MODEL.RESNETS.NORM", "BN"),
            *("MODEL.FPN.OUT_CHANNELS", 16),
            *("MODEL.PIXEL_MEAN", [103.53, 116.28, 123.675]),
            *("MODEL.PIXEL_STD", [57.0, 57.0, 57.0]),
            *("MODEL.DEVICE", "cpu"),
            *("SCALE_MATCH.MODEL.STRIDES", [4, 8, 16]),
            *("SCALE_MATCH.FCOS.NUM_CLASSES", 2),
            *("SCALE_MATCH.FCOS.NUM_CONVS", 1),
            *options,
        ]
    )
    return cfg


def test_yacs_builds_the_same_model():
    from_yacs, explicit = build_model(yacs_config()), small_model()
    from_yacs.load_state_dict(explicit.state_dict())
    batch = [sample(BOXES, CLASSES)]

    assert isinstance(from_yacs, ScaleMatchFCOS)
    losses = from_yacs(batch)

    for name, loss in explicit(batch).items():
        assert losses[name].item() == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("key", "value", "attribute"),
    [
        ("SCALE_MATCH.FCOS.NUM_CLASSES", 3, "num_classes"),
        ("SCALE_MATCH.FCOS.TOPK_CANDIDATES_TEST", 77, "test_topk_candidates"),
        ("SCALE_MATCH.FCOS.SCORE_THRESH_TEST", 0.2, "test_score_thresh"),
        ("SCALE_MATCH.FCOS.NMS_THRESH_TEST", 0.3, "test_nms_thresh"),
        ("SCALE_MATCH.FCOS.FOCAL_LOSS_ALPHA", 0.5, "focal_loss_alpha"),
        ("SCALE_MATCH.FCOS.FOCAL_LOSS_GAMMA", 1.5, "focal_loss_gamma"),
        ("SCALE_MATCH.FCOS.CENTER_SAMPLING_RADIUS", 2.5, "center_sampling_radius"),
        ("SCALE_MATCH.FCOS.MIN_DISTANCE", 0.0, "min_distance"),
        ("TEST.DETECTIONS_PER_IMAGE", 66, "max_detections_per_image"),
        ("INPUT.FORMAT", "RGB", "input_format"),
    ],
)
def test_a_key_reaches_the_model(key, value, attribute):
    assert getattr(build_model(yacs_config(key, value)), attribute) == value


def test_keys_of_the_head_and_the_ranges_reach_it():
    options = ["NUM_CONVS", 2, "PRIOR_PROB", 0.1, "SIZE_RANGES", [[-1, 9], [9, 20], [20, 1e8]]]
    options = [o if k % 2 else f"SCALE_MATCH.FCOS.{o}" for k, o in enumerate(options)]
    norm = ["SCALE_MATCH.FCOS.NORM", "GN", "MODEL.FPN.OUT_CHANNELS", 32]

    model = build_model(yacs_config(*options, *norm))

    assert model.size_ranges == ((-1, 9), (9, 20), (20, 1e8))
    kinds = [type(part).__name__ for part in model.head.bbox_subnet]
    assert kinds == ["Conv2d", "GroupNorm", "ReLU"] * 2
    assert model.head.cls_score.bias.sigmoid().tolist() == pytest.approx([0.1, 0.1])


def test_extra_levels_of_p5_see_p5():
    model = build_model(
        yacs_config(
            *("SCALE_MATCH.MODEL.STRIDES", [4, 8, 16, 32, 64]),
            *("SCALE_MATCH.MODEL.EXTRA_LEVELS", "convolution_of_p5"),
        )
    )

    assert model.backbone.top_block.p6.weight.shape == (16, 16, 3, 3)
    features = model.backbone(torch.rand(1, 3, 64, 128))
    assert torch.equal(features["p6"], model.backbone.top_block.p6(features["p5"]))


def test_it_is_registered():
    assert META_ARCH_REGISTRY.get("ScaleMatchFCOS") is ScaleMatchFCOS
