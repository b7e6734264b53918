"""The feature pyramid builds its levels, and nothing that no level uses."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7

from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.modeling.backbone import ExtraLevels, PooledLevels, build_fpn, build_resnet
from scale_match.modeling.levels import PyramidLevels

PYRAMIDS = {
    "stride 4": PyramidLevels(),
    "stride 8": PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4),
    "three levels": PyramidLevels(strides=(4, 8, 16)),
    "coarse only": PyramidLevels(strides=(32, 64, 128, 256)),
}
each_pyramid = pytest.mark.parametrize("levels", PYRAMIDS.values(), ids=PYRAMIDS)


def small_backbone(levels, extra_levels="convolution", **resnet):
    resnet = {"depth": 18, "norm": "BN", "freeze_at": 0, **resnet}
    return build_fpn(
        bottom_up=build_resnet(levels=levels, **resnet),
        levels=levels,
        out_channels=16,
        extra_levels=extra_levels,
    )


@each_pyramid
def test_levels_have_their_names_strides_and_sizes(levels):
    backbone = small_backbone(levels).eval()

    features = backbone(torch.rand(1, 3, 128, 192))

    assert list(features) == list(levels.feature_names)
    shapes = backbone.output_shape()
    assert [shapes[name].stride for name in features] == list(levels.strides)
    for stride, feature in zip(levels.strides, features.values(), strict=True):
        assert feature.shape == (1, 16, -(-128 // stride), -(-192 // stride))


@each_pyramid
def test_every_parameter_gets_a_gradient(levels):
    backbone = small_backbone(levels)

    sum(feature.sum() for feature in backbone(torch.rand(2, 3, 64, 64)).values()).backward()

    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_frozen_stages_have_no_gradient_and_all_others_do():
    backbone = small_backbone(PyramidLevels(), freeze_at=2)

    sum(feature.sum() for feature in backbone(torch.rand(2, 3, 64, 64)).values()).backward()

    without = {name for name, p in backbone.named_parameters() if p.grad is None}
    assert without
    assert all(name.startswith(("bottom_up.stem", "bottom_up.res2")) for name in without)


def test_stage_res5_is_not_built_for_three_fine_levels():
    names = [name for name, _ in small_backbone(PYRAMIDS["three levels"]).named_parameters()]

    assert not any("res5" in name or "top_block" in name for name in names)


def test_first_extra_level_convolves_res5_itself():
    torch.manual_seed(0)
    extra = ExtraLevels(in_channels=2, out_channels=3, num_levels=1)
    res5 = torch.randn(1, 2, 5, 6)

    (p6,) = extra(res5)

    expected = torch.nn.functional.conv2d(res5, extra.p6.weight, extra.p6.bias, stride=2, padding=1)
    assert p6.shape == (1, 3, 3, 3)
    torch.testing.assert_close(p6, expected)


def test_two_extra_levels_are_those_of_detectron2_by_name_and_value():
    ours, theirs = ExtraLevels(4, 3, num_levels=2), LastLevelP6P7(4, 3)
    theirs.load_state_dict(ours.state_dict())
    res5 = torch.randn(1, 4, 9, 9)

    for level, expected in zip(ours(res5), theirs(res5), strict=True):
        torch.testing.assert_close(level, expected)


@each_pyramid
def test_yacs_builds_the_same_parameters(levels):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_scale_match_fpn_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.SCALE_MATCH.MODEL.STRIDES = list(levels.strides)
    cfg.freeze()

    from_yacs = build_backbone(cfg).state_dict()

    ours = small_backbone(levels).state_dict()
    assert {k: v.shape for k, v in from_yacs.items()} == {k: v.shape for k, v in ours.items()}


@pytest.mark.parametrize("in_1x1", [False, True])
def test_bottleneck_stride_stands_where_it_is_asked_for(in_1x1):
    block = build_resnet(levels=PyramidLevels(), norm="BN", stride_in_1x1=in_1x1).res3[0]

    assert block.conv1.stride == ((2, 2) if in_1x1 else (1, 1))
    assert block.conv2.stride == ((1, 1) if in_1x1 else (2, 2))


def test_published_backbone_has_frozen_norms_only():
    backbone = build_fpn(bottom_up=build_resnet(levels=PyramidLevels()), levels=PyramidLevels())

    norms = {type(m).__name__ for m in backbone.modules() if "Norm" in type(m).__name__}
    assert norms == {"FrozenBatchNorm2d"}


def test_pooled_levels_are_every_second_pixel_and_learn_nothing():
    levels = PYRAMIDS["coarse only"]
    backbone = small_backbone(levels, "max_pool").eval()

    features = backbone(torch.rand(1, 3, 256, 192))

    assert list(features) == ["p5", "p6", "p7", "p8"]
    for fine, coarse in (("p5", "p6"), ("p6", "p7"), ("p7", "p8")):
        assert torch.equal(features[coarse], features[fine][:, :, ::2, ::2])
    assert list(backbone.top_block.parameters()) == []


def test_one_pooled_level_is_detectron2s():
    p5 = torch.rand(2, 3, 7, 5)
    (ours,), (theirs,) = PooledLevels(1)(p5), LastLevelMaxPool()(p5)
    assert torch.equal(ours, theirs)


@each_pyramid
def test_every_parameter_gets_a_gradient_with_pooled_levels(levels):
    backbone = small_backbone(levels, "max_pool")

    sum(feature.sum() for feature in backbone(torch.rand(2, 3, 64, 64)).values()).backward()

    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []


def test_an_unknown_kind_of_extra_levels_is_refused():
    message = r"extra_levels \(SCALE_MATCH.MODEL.EXTRA_LEVELS\) must be one of .*, received 'pool'"
    with pytest.raises(InputError, match=message):
        small_backbone(PyramidLevels(), "pool")
