"""Small detectors of each kind with random weights, to be written to files and read back."""

import torch
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.modeling.backbone.resnet import BasicBlock

from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.faster_rcnn import ScaleMatchFasterRCNN
from scale_match.modeling.fcos import ScaleMatchFCOS
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.retinanet import ScaleMatchRetinaNet
from scale_match.modeling.roi_heads import ROISettings

PIXELS = {"pixel_mean": [103.53, 116.28, 123.675], "pixel_std": [1.0, 1.0, 1.0]}
STRIDES = (4, 8, 16, 32, 64)


def detector(
    kind,
    *,
    seed=0,
    classes=3,
    norm="BN",
    extra_levels="convolution",
    channels=8,
    depth="small",
    offset=0.0,
    **levels,
):
    """A model of the kind "retinanet", "fcos" or "faster_rcnn" with weights of a seed."""
    if kind == "faster_rcnn":
        levels = {"scales_per_octave": 1, **levels}
        extra_levels = "max_pool"
    pyramid = PyramidLevels(**{"strides": STRIDES, **levels})
    backbone = build_fpn(
        bottom_up=small_resnet(pyramid, norm)
        if depth == "small"
        else build_resnet(levels=pyramid, depth=depth, norm=norm, freeze_at=0),
        levels=pyramid,
        out_channels=channels,
        extra_levels=extra_levels,
    )
    common = {"levels": pyramid, "backbone": backbone, "num_classes": classes, **PIXELS}
    if kind == "retinanet":
        model = ScaleMatchRetinaNet(**common, anchor_offset=offset)
    elif kind == "fcos":
        model = ScaleMatchFCOS(**common)
    else:
        roi = ROISettings(fc_dim=16)
        model = ScaleMatchFasterRCNN(**common, roi=roi, anchor_offset=offset)
    fill(model, seed)
    return model.eval()


def small_resnet(levels, norm):
    """A ResNet with few channels and blocks, so that its files are small."""
    stages, before = [], 4
    for index, (blocks, width) in enumerate(((2, 4), (1, 6), (1, 8), (1, 10))):
        strides = [1 if index == 0 else 2] + [1] * (blocks - 1)
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                blocks,
                in_channels=before,
                out_channels=width,
                stride_per_block=strides,
                norm=norm,
            )
        )
        before = width
    stem = BasicStem(in_channels=3, out_channels=4, norm=norm)
    return ResNet(stem=stem, stages=stages, out_features=list(levels.bottom_up_features))


def fill(model, seed):
    """Gives every parameter and buffer values of its own; no two channels are alike."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        random = torch.rand(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(0.5 + random)
        elif value.ndim > 1:
            fan_in = value[0].numel()
            value.copy_((random - 0.5) * 2 / fan_in**0.5)
        else:
            value.copy_(random - 0.2)


def state_of(model):
    """A copy of its parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def unequal(first, second):
    """Names whose values differ in the last bit."""
    return [name for name in first if not torch.equal(first[name], second[name])]
