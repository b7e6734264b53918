"""ResNet with a feature pyramid whose levels are those of a `PyramidLevels`.

Only what the pyramid uses is built: no parameter stays without a gradient, which
DistributedDataParallel would refuse.
"""

from typing import Literal

import fvcore.nn.weight_init as weight_init
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import (
    BACKBONE_REGISTRY,
    FPN,
    Backbone,
    BasicStem,
    ResNet,
    build_resnet_backbone,
)
from torch import Tensor, nn
from torch.nn import functional

from scale_match.core.errors import InputError
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.pyramid_config import levels_from_config

__all__ = [
    "EXTRA_LEVELS",
    "ExtraLevels",
    "PooledLevels",
    "build_fpn",
    "build_resnet",
    "build_scale_match_fpn_backbone",
    "feature_shapes",
]

EXTRA_LEVELS = ("convolution", "convolution_of_p5", "max_pool")


class ExtraLevels(nn.Module):
    """Pyramid levels coarser than p5, by 3x3 convolutions with stride 2.

    The first one (``p6``) sees res5 or p5 itself, as mmdetection's ``add_extra_convs`` with
    "on_input" and "on_output" does; a further one sees the rectified level before it. With two
    levels this is detectron2's LastLevelP6P7, whose weights have the same names. detectron2's FPN
    reads the attributes ``num_levels`` and ``in_feature``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_levels: int, in_feature: str = "res5"
    ) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.in_feature = in_feature
        self._names = [f"p{6 + k}" for k in range(num_levels)]
        for k, name in enumerate(self._names):
            conv = nn.Conv2d(in_channels if k == 0 else out_channels, out_channels, 3, 2, 1)
            weight_init.c2_xavier_fill(conv)
            self.add_module(name, conv)

    def forward(self, feature: Tensor) -> list[Tensor]:
        """Maps (N, C, H, W) to the levels (N, out_channels, ceil(H / 2), ceil(W / 2)) ..."""
        levels: list[Tensor] = []
        for name in self._names:
            seen = functional.relu(levels[-1]) if levels else feature
            levels.append(self.get_submodule(name)(seen))
        return levels


class PooledLevels(nn.Module):
    """Pyramid levels coarser than p5, each every second pixel of the one before.

    So it is in Faster R-CNN, in mmdetection and in detectron2 (LastLevelMaxPool, whose one level
    this generalises). Nothing is learned. detectron2's FPN reads the two attributes.
    """

    def __init__(self, num_levels: int) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.in_feature = "p5"

    def forward(self, p5: Tensor) -> list[Tensor]:
        """Maps p5 (N, C, H, W) to the levels (N, C, ceil(H / 2), ceil(W / 2)) ..."""
        levels = [p5]
        for _ in range(self.num_levels):
            levels.append(functional.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return levels[1:]


def build_resnet(
    *,
    levels: PyramidLevels,
    depth: int = 50,
    norm: str = "FrozenBN",
    freeze_at: int = 2,
    stride_in_1x1: bool = False,
) -> ResNet:
    """Builds the stages of a ResNet that a pyramid needs.

    Args:
        levels: The pyramid.
        depth: 18, 34, 50, 101 or 152.
        norm: A norm that detectron2 knows. "FrozenBN" needs pretrained weights.
        freeze_at: Stages without gradient: 0 none, 1 the stem, 2 the stem and res2, and so on.
        stride_in_1x1: Where a bottleneck has its stride: False in the 3x3 convolution
            (torchvision's weights), True in the first 1x1 (MSRA's). Depth 18 and 34 have none.

    Returns:
        The bottom-up network with the outputs ``levels.bottom_up_features``.
    """
    bottleneck = {"stride_in_1x1": stride_in_1x1} if depth >= 50 else {}
    return ResNet(
        stem=BasicStem(in_channels=3, out_channels=64, norm=norm),
        stages=ResNet.make_default_stages(depth=depth, norm=norm, **bottleneck),
        out_features=list(levels.bottom_up_features),
        freeze_at=freeze_at,
    )


def build_fpn(
    *,
    bottom_up: Backbone,
    levels: PyramidLevels,
    out_channels: int = 256,
    norm: str = "",
    fuse_type: Literal["sum", "avg"] = "sum",
    extra_levels: Literal["convolution", "convolution_of_p5", "max_pool"] = "convolution",
) -> FPN:
    """Builds the feature pyramid on a bottom-up network.

    Args:
        bottom_up: A backbone with the outputs ``levels.bottom_up_features``.
        levels: The pyramid.
        out_channels: Channels of every level.
        norm: Norm of the lateral and output convolutions; "" for none.
        fuse_type: How a level and the coarser one are joined.
        extra_levels: Where levels coarser than p5 come from: "convolution" of res5,
            "convolution_of_p5" (both `ExtraLevels`) or "max_pool" of p5 (`PooledLevels`).

    Returns:
        A backbone with the outputs ``levels.feature_names``.

    Raises:
        InputError: ``extra_levels`` is none of these.
    """
    if extra_levels not in EXTRA_LEVELS:
        raise InputError(
            "extra_levels (SCALE_MATCH.MODEL.EXTRA_LEVELS) must be one of "
            f"{', '.join(EXTRA_LEVELS)}, received {extra_levels!r}"
        )
    top_block: nn.Module | None = None
    if levels.num_extra_levels and extra_levels == "max_pool":
        top_block = PooledLevels(levels.num_extra_levels)
    elif levels.num_extra_levels and extra_levels == "convolution_of_p5":
        top_block = ExtraLevels(out_channels, out_channels, levels.num_extra_levels, "p5")
    elif levels.num_extra_levels:
        channels = bottom_up.output_shape()["res5"].channels
        top_block = ExtraLevels(channels, out_channels, levels.num_extra_levels)
    return FPN(
        bottom_up=bottom_up,
        in_features=list(levels.bottom_up_features),
        out_channels=out_channels,
        norm=norm,
        top_block=top_block,
        fuse_type=fuse_type,
    )


@BACKBONE_REGISTRY.register()
def build_scale_match_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """The yacs form of `build_fpn`: the pyramid of ``SCALE_MATCH.MODEL`` on detectron2's ResNet.

    ``RESNETS.OUT_FEATURES`` and ``FPN.IN_FEATURES`` follow from the pyramid.
    """
    levels = levels_from_config(cfg)
    bottom_up_cfg = cfg.clone()
    bottom_up_cfg.defrost()
    bottom_up_cfg.MODEL.RESNETS.OUT_FEATURES = list(levels.bottom_up_features)
    return build_fpn(
        bottom_up=build_resnet_backbone(bottom_up_cfg, input_shape),
        levels=levels,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
        extra_levels=cfg.SCALE_MATCH.MODEL.EXTRA_LEVELS,
    )


def feature_shapes(backbone: Backbone, levels: PyramidLevels) -> list[ShapeSpec]:
    """Channels and stride of each level.

    Raises:
        InputError: The backbone is of another pyramid.
    """
    shapes: dict[str, ShapeSpec] = backbone.output_shape()
    strides = {name: shape.stride for name, shape in shapes.items()}
    if strides != dict(zip(levels.feature_names, levels.strides, strict=True)):
        raise InputError(
            f"the backbone's features have the strides {strides}, but the model's pyramid has "
            f"{list(levels.strides)}: both must come from the same levels"
        )
    return [shapes[name] for name in levels.feature_names]
