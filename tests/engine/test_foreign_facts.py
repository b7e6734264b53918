import pytest
import torch

from oracles.foreign_checkpoints import benchmark_cell_anchors
from scale_match.engine.foreign_facts import (
    extra_levels_of,
    maskrcnn_benchmark_facts,
    mmdetection_facts,
    strides_of_names,
)

RETINANET = """
dataset_type = 'CocoFmtDataset'
img_norm_cfg = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
model = dict(
    type='RetinaNet',
    backbone=dict(type='ResNet', depth=50, style='pytorch'),
    bbox_head=dict(
        type='RetinaHead',
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64])))
work_dir = './work_dirs/x'
"""


def test_the_config_in_a_retinanet_checkpoint_is_read():
    assert mmdetection_facts({"config": RETINANET}) == {
        "stride_in_1x1": False,
        "input_format": "RGB",
        "pixel_mean": [123.675, 116.28, 103.53],
        "pixel_std": [58.395, 57.12, 57.375],
        "strides": [4, 8, 16, 32, 64],
        "aspect_ratios": [0.5, 1.0, 2.0],
        "anchor_offset": 0.0,
        "anchor_scale": 2.0,
        "scales_per_octave": 3,
    }


def test_the_config_of_a_faster_rcnn_has_its_anchors_in_the_first_stage():
    text = (
        "model = {'rpn_head': dict(anchor_generator=dict(scales=[2], ratios=[1.0], strides=[4], "
        "center_offset=0.5)), 'bbox_head': None}"
    )
    assert mmdetection_facts({"config": text}) == {
        "strides": [4],
        "aspect_ratios": [1.0],
        "anchor_offset": 0.5,
        "anchor_scale": 2.0,
        "scales_per_octave": 1,
    }


def test_several_plain_scales_are_no_octave():
    generator = "dict(scales=[2, 5], ratios=[1], strides=[4])"
    text = f"model = dict(bbox_head=dict(anchor_generator={generator}))"
    assert "anchor_scale" not in mmdetection_facts({"config": text})


def test_the_config_of_an_fcos_is_read():
    text = (
        "model = dict(backbone=dict(style='caffe'), bbox_head=dict(type='FCOSHead', "
        "strides=[4, 8], regress_ranges=((-1, 16), (16, 1e8)), norm_on_bbox=True))"
    )
    assert mmdetection_facts({"config": text}) == {
        "stride_in_1x1": True,
        "strides": [4, 8],
        "size_ranges": [[-1, 16], [16, 1e8]],
        "norm_on_bbox": True,
        "min_distance": 0.0,
        "centerness_on_reg": False,
    }


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {"config": None},
        {"config": "model = dict("},
        {"config": "model = build()"},
        {"config": "model = 3"},
        {"config": "other = 3"},
        {"config": "model = dict(backbone=None)"},
        {"config": "model = dict(bbox_head=dict(regress_ranges=[[0, 1]]))"},
        {"config": "model = dict(bbox_head=dict(anchor_generator=dict(ratios=[1])))"},
        {"config": "model = dict(bbox_head=__import__('os').getcwd())"},
    ],
)
def test_what_is_no_config_says_nothing(meta):
    assert mmdetection_facts(meta) == {}


def test_the_anchors_of_maskrcnn_benchmark_tell_strides_and_sizes():
    strides = (4, 8, 16, 32, 64)
    cells = benchmark_cell_anchors(strides, [[2.0 * s, 3.0 * s] for s in strides], (0.5, 1.0, 2.0))
    facts = maskrcnn_benchmark_facts(cells)
    assert facts["strides"] == [4, 8, 16, 32, 64]
    assert facts["smallest_anchors"] == pytest.approx([8, 16, 32, 64, 128], rel=0.1)
    assert facts["anchor_offset"] == 0.5


def test_rounded_sides_change_the_size_of_an_anchor_by_less_than_a_tenth():
    for size in (4, 8, 8.31, 30.23):
        cells = benchmark_cell_anchors([4], [[size]], (0.5, 1.3, 2.0))
        assert maskrcnn_benchmark_facts(cells)["smallest_anchors"][0] == pytest.approx(
            size, rel=0.1
        )


@pytest.mark.parametrize("cells", [{}, {"rpn.anchor_generator.cell_anchors.0": torch.zeros(0, 4)}])
def test_a_file_without_anchors_says_nothing(cells):
    assert maskrcnn_benchmark_facts(cells) == {}


def test_strides_are_told_where_a_layer_makes_the_coarsest_level():
    names = [f"backbone.fpn_lateral{k}.weight" for k in (3, 4, 5)]
    assert strides_of_names(names) == []
    names += ["backbone.top_block.p6.weight", "backbone.top_block.p7.bias"]
    assert strides_of_names(names) == [8, 16, 32, 64, 128]
    assert strides_of_names(["backbone.fpn_lateral2.bias", "backbone.top_block.p6.bias"]) == []


def test_where_the_coarsest_levels_come_from():
    pyramid = {"backbone.fpn_output5.weight": torch.zeros(8, 8, 3, 3)}
    assert extra_levels_of({}, [4, 64]) == ""
    assert extra_levels_of(pyramid, []) == ""
    assert extra_levels_of(pyramid, [4, 8, 16, 32]) == ""
    assert extra_levels_of(pyramid, [4, 8, 16, 32, 64]) == "max_pool"
    name = "backbone.top_block.p6.weight"
    assert extra_levels_of({name: torch.zeros(8, 16, 3, 3)}, []) == "convolution"
    assert extra_levels_of({name: torch.zeros(8, 8, 3, 3)}, []) == "convolution_of_p5"
