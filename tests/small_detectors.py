"""The smallest detectors that have all that tests of inference need, and images for them."""

import torch
from torch import nn

from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.faster_rcnn import ScaleMatchFasterRCNN
from scale_match.modeling.fcos import ScaleMatchFCOS
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.retinanet import ScaleMatchRetinaNet
from scale_match.modeling.roi_heads import ROISettings


def small_retinanet(num_classes=2):
    """A random RetinaNet of two levels whose scores and boxes are spread out."""
    torch.manual_seed(0)
    levels = PyramidLevels(strides=(4, 8))
    backbone = build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=8,
    )
    model = ScaleMatchRetinaNet(
        levels=levels,
        backbone=backbone,
        num_classes=num_classes,
        num_head_convs=1,
        pixel_mean=[120.0, 120.0, 120.0],
        pixel_std=[57.0, 57.0, 57.0],
        test_score_thresh=0.1,
    )
    spread_out(model)
    return model.eval()


def small_faster_rcnn(num_classes=2, strides=(4, 8), **arguments):
    """A random Faster R-CNN of a few levels; its scores and boxes are spread out."""
    torch.manual_seed(0)
    levels = PyramidLevels(strides=strides, scales_per_octave=1)
    backbone = build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=8,
        extra_levels="max_pool",
    )
    settings = {"roi": ROISettings(fc_dim=32), "test_score_thresh": 0.1, **arguments}
    model = ScaleMatchFasterRCNN(
        levels=levels,
        backbone=backbone,
        num_classes=num_classes,
        pixel_mean=[120.0, 120.0, 120.0],
        pixel_std=[57.0, 57.0, 57.0],
        **settings,
    )
    spread_out_stages(model)
    return model.eval()


def small_fcos(num_classes=2, strides=(4, 8), **arguments):
    """A random FCOS of a few levels whose scores and boxes are spread out."""
    torch.manual_seed(0)
    levels = PyramidLevels(strides=strides)
    backbone = build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=8,
    )
    settings = {"num_head_convs": 1, "test_score_thresh": 0.1, **arguments}
    model = ScaleMatchFCOS(
        levels=levels,
        backbone=backbone,
        num_classes=num_classes,
        pixel_mean=[120.0, 120.0, 120.0],
        pixel_std=[57.0, 57.0, 57.0],
        **settings,
    )
    for branch in (model.head.cls_subnet, model.head.bbox_subnet):
        for part in branch:
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=0.1)
    spread_out(model)
    nn.init.normal_(model.head.ctrness.weight, std=1.0)
    return model.eval()


def spread_out(model, std=1.0):
    """Gives a RetinaNet or FCOS random weights with which many boxes have many different scores.

    Two scores are hardly ever equal, unless `std` is so large for the width of the model that they
    end up at 1.
    """
    nn.init.normal_(model.head.cls_score.weight, std=std)
    nn.init.constant_(model.head.cls_score.bias, -3.5)
    nn.init.normal_(model.head.bbox_pred.weight, std=0.1 * std)


def spread_out_stages(model, std=1.0):
    """The same for a Faster R-CNN."""
    head, predictor = model.proposal_generator.rpn_head, model.roi_heads.box_predictor
    nn.init.normal_(head.objectness_logits.weight, std=std)
    nn.init.normal_(head.anchor_deltas.weight, std=0.1 * std)
    nn.init.normal_(predictor.cls_score.weight, std=std)
    nn.init.normal_(predictor.bbox_pred.weight, std=std)


def noise(sizes, seed=1):
    """Inputs with noise for images; a size is (width, height), or with the wanted output's too."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for number, (width, height, *wanted) in enumerate(sizes):
        image = torch.rand(3, height, width, generator=generator) * 255
        out_width, out_height = wanted or (width, height)
        samples.append(
            # Ids descend, as no rule forbids.
            {"image_id": 100 - number, "image": image, "height": out_height, "width": out_width}
        )
    return samples
