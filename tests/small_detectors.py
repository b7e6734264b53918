"""The smallest detectors that have all that tests of inference need, and images for them."""

import torch
from torch import nn

from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.retinanet import ScaleMatchRetinaNet


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


def spread_out(model, std=1.0):
    """Gives a RetinaNet random weights with which many boxes have many different scores.

    Two scores are hardly ever equal, unless `std` is so large for the width of the model that they
    end up at 1.
    """
    nn.init.normal_(model.head.cls_score.weight, std=std)
    nn.init.constant_(model.head.cls_score.bias, -3.5)
    nn.init.normal_(model.head.bbox_pred.weight, std=0.1 * std)


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
