"""Faster R-CNN on a pyramid: training, inference, its limits, and input that could upset it."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from learnt_image import ap50, drawn_image, learn
from oracles import tiled_inference
from scale_match.core.errors import InputError
from scale_match.inference.tiled_model import TiledModel
from scale_match.modeling.backbone import PooledLevels, build_fpn, build_resnet
from scale_match.modeling.faster_rcnn import ScaleMatchFasterRCNN
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.roi_heads import ROISettings
from scale_match.modeling.rpn import RPNSettings
from small_detectors import noise, small_faster_rcnn

torch.set_num_threads(1)

THREE = PyramidLevels(strides=(4, 8, 16), scales_per_octave=1)
PYRAMIDS = {
    "published": PyramidLevels(scales_per_octave=1),
    "stride 8": PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4, scales_per_octave=1),
    "three levels": THREE,
    "three sizes": PyramidLevels(strides=(8, 16)),
}
each_pyramid = pytest.mark.parametrize("levels", PYRAMIDS.values(), ids=PYRAMIDS)
PIXELS = {"pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}


def small_backbone(levels=THREE, channels=16):
    return build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=channels,
        extra_levels="max_pool",
    )


def small_model(levels=THREE, num_classes=2, channels=16, **arguments):
    torch.manual_seed(0)
    settings = {"roi": ROISettings(fc_dim=64), **PIXELS, **arguments}
    return ScaleMatchFasterRCNN(
        levels=levels,
        backbone=small_backbone(levels, channels),
        num_classes=num_classes,
        **settings,
    )


def sample(boxes=(), classes=(), height=64, width=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    image = torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
    return {"image": image, "instances": instances}


def losses_of(model, batch):
    torch.manual_seed(0)
    with EventStorage(0):
        return model(batch)


BOXES = [[10.0, 12.0, 17.0, 30.0], [40.0, 20.0, 44.0, 23.0], [41.0, 20.5, 46.0, 25.0]]
CLASSES = [0, 1, 0]
LOSSES = {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"}


# ---- Training ----


@each_pyramid
def test_every_parameter_gets_a_gradient(levels):
    model = small_model(levels)

    losses = losses_of(model, [sample(BOXES, CLASSES), sample(seed=1)])
    sum(losses.values()).backward()

    assert set(losses) == LOSSES
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_images_without_boxes_give_finite_losses_and_gradients():
    model = small_model()

    losses = losses_of(model, [sample(), sample(seed=1)])
    sum(losses.values()).backward()

    assert losses["loss_box_reg"].item() == losses["loss_rpn_loc"].item() == 0
    assert 0 < losses["loss_cls"].item() < 100
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_thousand_boxes_train():
    corners = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * 50
    boxes = torch.cat([corners, corners + 3], dim=1).tolist()

    losses = losses_of(small_model(), [sample(boxes, [0] * 1000)])

    assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_box_that_meets_no_anchor_makes_no_anchor_positive():
    """detectron2 makes all of them positive then."""
    nowhere = [5000.0, 20.0, 5010.0, 30.0]

    losses = losses_of(
        small_model(roi=ROISettings(fc_dim=64, append_gt=False)), [sample([nowhere], [0])]
    )

    assert losses["loss_rpn_loc"].item() == 0


def test_regions_that_cover_everything_leave_no_loss_and_no_gradient():
    model = small_model()

    losses = losses_of(model, [sample([[-99.0, -99.0, 999.0, 999.0]], [-1])])
    sum(losses.values()).backward()

    assert all(loss.item() == 0 for loss in losses.values())
    assert all(not p.grad.any() for p in model.parameters())


def test_how_much_may_lie_in_a_region_reaches_both_stages():
    model = small_model(ignore_overlap=0.3)
    assert model.proposal_generator.ignore_overlap == model.roi_heads.ignore_overlap == 0.3
    model.ignore_overlap = 0.7
    assert model.proposal_generator.ignore_overlap == model.roi_heads.ignore_overlap == 0.7
    assert model.ignore_overlap == 0.7


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_it_trains_in_16_bits(precision):
    model = small_model()

    with torch.autocast("cpu", precision):
        losses = losses_of(model, [sample(BOXES, CLASSES)])
    sum(losses.values()).backward()

    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_it_learns_an_image_by_heart():
    """Targets, losses and decoding agree: what it is taught is what it then finds."""
    levels = PyramidLevels(strides=(4, 8), scales_per_octave=1)
    model, image = small_model(levels, channels=32), drawn_image()
    assert ap50(model, image) < 0.1

    learn(model, image, steps=60)

    assert ap50(model, image) > 0.9


# ---- Inference ----


def test_untrained_it_finds_something_everywhere_and_no_limit_cuts_it():
    model = small_faster_rcnn()

    with torch.no_grad():
        (output,) = model(noise([(200, 160)]))

    assert len(output["instances"]) > 100
    model.max_detections_per_image = 100
    with torch.no_grad():
        (output,) = model(noise([(200, 160)]))
    assert len(output["instances"]) == 100


def test_thresholds_act_on_the_detections():
    model, image = small_faster_rcnn(), noise([(60, 50)])
    with torch.no_grad():
        (all_of_them,) = model(image)
        model.test_score_thresh = 0.5
        (good,) = model(image)
        model.test_nms_thresh = 0.0
        (apart,) = model(image)

    assert 0 < len(apart["instances"]) < len(good["instances"]) < len(all_of_them["instances"])
    assert (good["instances"].scores > 0.5).all()
    predictor = model.roi_heads.box_predictor
    assert (predictor.test_score_thresh, predictor.test_nms_thresh) == (0.5, 0.0)


def test_candidates_per_level_are_those_of_the_first_stage():
    model = small_faster_rcnn(rpn=RPNSettings(pre_nms_topk=(30, 20)))
    assert model.test_topk_candidates == 20
    model.test_topk_candidates = 5
    assert model.proposal_generator.pre_nms_topk == {True: 30, False: 5}


def test_published_limits_are_the_default():
    model = small_model()
    assert model.test_score_thresh == 0.05
    assert model.test_nms_thresh == 0.5
    assert model.test_topk_candidates == 1000
    assert model.max_detections_per_image == -1
    assert (model.num_classes, model.levels) == (2, THREE)


def rows(instances):
    columns = instances.pred_boxes.tensor, instances.scores, instances.pred_classes
    return sorted((*b, s, c) for b, s, c in zip(*(x.tolist() for x in columns), strict=True))


@pytest.mark.parametrize("merge", ["joint", "per_tile"])
def test_on_one_tile_it_is_itself(merge):
    model, (image,) = small_faster_rcnn(), noise([(60, 50)])
    with torch.no_grad():
        (expected,) = model([image])

    tiled = TiledModel(model, tile=(64, 64), overlap=(16, 16), merge=merge, max_detections=10**6)

    assert len(expected["instances"]) > 10
    assert rows(tiled([image])[0]["instances"]) == rows(expected["instances"])


@pytest.mark.parametrize("merge", ["auto", "per_tile"])
def test_on_tiles_it_is_one_suppression_over_what_the_tiles_give(merge):
    model, (image,) = small_faster_rcnn(), noise([(97, 75)])
    tiled = TiledModel(model, tile=(40, 32), overlap=(12, 8), merge=merge, batch_size=5)

    (output,) = tiled([image])

    assert tiled.merge == {"auto": "joint"}.get(merge, merge)
    assert (model.test_nms_thresh, model.max_detections_per_image) == (0.5, -1)
    if merge == "auto":
        model.test_nms_thresh = 1.0
    merged = []
    for x1, y1, x2, y2 in tiled_inference.tiles_of(97, 75, (40, 32), (12, 8)):
        with torch.no_grad():
            (found,) = model([{"image": image["image"][:, y1:y2, x1:x2]}])
        for a, b, c, d, score, label in rows(found["instances"]):
            merged.append((a + x1, b + y1, c + x1, d + y1, score, label))
    expected = tiled_inference.suppress(merged, 0.5, 1000)
    assert len(merged) > len(expected) > 10
    torch.testing.assert_close(
        torch.tensor(rows(output["instances"])), torch.tensor(sorted(expected)), atol=1e-3, rtol=0
    )


# ---- Construction ----


def test_levels_beyond_p5_are_pooled():
    model = small_model(PYRAMIDS["published"])
    assert isinstance(model.backbone.top_block, PooledLevels)
    features = model.backbone(torch.rand(1, 3, 64, 128))
    assert torch.equal(features["p6"], features["p5"][:, :, ::2, ::2])
    assert not any("p6" in name for name, _ in model.named_parameters())


def test_parameters_have_the_names_of_detectron2():
    names = {name for name, _ in small_model().named_parameters()}
    heads = {name for name in names if not name.startswith("backbone.")}
    stages = (
        *(
            "proposal_generator.rpn_head." + x
            for x in ("conv", "objectness_logits", "anchor_deltas")
        ),
        *("roi_heads.box_head." + x for x in ("fc1", "fc2")),
        *("roi_heads.box_predictor." + x for x in ("cls_score", "bbox_pred")),
    )
    assert heads == {f"{stage}.{part}" for stage in stages for part in ("weight", "bias")}


def test_backbone_of_another_pyramid_is_refused():
    with pytest.raises(InputError, match=r"strides \{'p2': 4, .*\}, .* \[4, 8, 16, 32, 64\]"):
        ScaleMatchFasterRCNN(
            levels=PYRAMIDS["published"], backbone=small_backbone(), num_classes=1, **PIXELS
        )


def test_it_is_registered():
    assert META_ARCH_REGISTRY.get("ScaleMatchFasterRCNN") is ScaleMatchFasterRCNN
    assert issubclass(ScaleMatchFasterRCNN, GeneralizedRCNN)
