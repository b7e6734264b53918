import math

import pytest
from torch import nn

from engine.weight_samples import detector
from scale_match.engine.model_facts import misfits, model_facts, setting_notes

RETINANET = {
    "family": "RetinaNet",
    "strides": [4, 8],
    "anchor_scale": 2.0,
    "scales_per_octave": 3,
    "aspect_ratios": [0.5, 1.0, 2.0],
    "anchor_offset": 0.0,
    "num_classes": 80,
}


def test_the_facts_of_a_retinanet():
    facts = model_facts(detector("retinanet", offset=0.25, anchor_scale=4, aspect_ratios=[1]))
    assert facts == {
        "family": "RetinaNet",
        "strides": [4, 8, 16, 32, 64],
        "extra_levels": "convolution",
        "anchor_scale": 4.0,
        "scales_per_octave": 3,
        "aspect_ratios": [1.0],
        "anchor_offset": 0.25,
        "box_weights": [1.0, 1.0, 1.0, 1.0],
        "num_classes": 3,
        "input_format": "BGR",
        "pixel_mean": [103.53, 116.28, 123.675],
        "pixel_std": [1.0, 1.0, 1.0],
    }


def test_the_facts_of_a_faster_rcnn_are_those_of_both_stages():
    facts = model_facts(detector("faster_rcnn", classes=2))
    assert facts["family"] == "Faster R-CNN"
    assert facts["extra_levels"] == "max_pool"
    assert (facts["scales_per_octave"], facts["anchor_offset"]) == (1, 0.0)
    assert (facts["num_classes"], facts["box_weights"]) == (2, [10.0, 10.0, 5.0, 5.0])


def test_the_facts_of_an_fcos_have_ranges_and_no_anchors():
    facts = model_facts(detector("fcos", extra_levels="convolution_of_p5"))
    assert facts["size_ranges"][0] == [-1.0, 16.0]
    assert facts["size_ranges"][-1] == [128.0, math.inf]
    assert facts["extra_levels"] == "convolution_of_p5"
    assert "anchor_scale" not in facts
    assert "box_weights" not in facts


def test_a_bottleneck_says_where_its_stride_is():
    assert model_facts(detector("retinanet", depth=50))["stride_in_1x1"] is False


def test_another_module_has_no_facts_but_its_family():
    assert model_facts(nn.Linear(2, 2)) == {"family": ""}


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({}, None),
        ({"num_classes": 1}, None),
        ({"aspect_ratios": [0.5, 1.0, 2.0001]}, None),
        (
            {"strides": [8, 16]},
            "strides [4, 8], this model has [8, 16] (SCALE_MATCH.MODEL.STRIDES; in a Lazy config "
            "model.levels.strides)",
        ),
        ({"strides": [4, 8, 16]}, "strides [4, 8], this model has [4, 8, 16]"),
        (
            {"anchor_scale": 4.0},
            "an anchor scale of 2, this model has 4 (SCALE_MATCH.MODEL.ANCHOR_S",
        ),
        ({"scales_per_octave": 1}, "anchor scales per octave: 3, this model has 1"),
        ({"aspect_ratios": [1.0]}, "aspect ratios [0.5, 1, 2], this model has [1]"),
        ({"anchor_offset": 0.5}, "an anchor offset of 0, this model has 0.5 (MODEL.ANCHOR_GEN"),
        ({"family": "FCOS"}, "a RetinaNet, this model is an FCOS"),
    ],
)
def test_what_the_head_depends_on_has_to_agree(changes, phrase):
    found = misfits(RETINANET, {**RETINANET, **changes}, all_needed=False)
    if phrase is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(phrase)


def test_each_difference_is_said():
    found = misfits(
        RETINANET, {**RETINANET, "strides": [8, 16], "anchor_scale": 4.0}, all_needed=False
    )
    assert len(found) == 2


def test_size_ranges_are_compared_and_any_great_limit_is_none():
    mine = {"family": "FCOS", "size_ranges": [[-1.0, 16.0], [16.0, math.inf]]}
    other = {"family": "FCOS", "size_ranges": [[-1, 16], [16, 1e8]]}
    assert misfits(other, mine, all_needed=True) == []
    other["size_ranges"] = [[-1, 64], [64, 1e8]]
    assert misfits(other, mine, all_needed=True) == [
        "size ranges [[-1, 64], [64, inf]], this model has [[-1, 16], [16, inf]] "
        "(SCALE_MATCH.FCOS.SIZE_RANGES; in a Lazy config model.size_ranges)"
    ]


def test_classes_and_pooled_levels_have_to_agree_where_nothing_may_start_anew():
    file = {**RETINANET, "extra_levels": "max_pool"}
    model = {**RETINANET, "extra_levels": "convolution", "num_classes": 1}
    assert misfits(file, model, all_needed=False) == []
    classes, levels = misfits(file, model, all_needed=True)
    assert classes.startswith("classes: 80, this model has 1 (MODEL.RETINANET.NUM_CLASSES, ")
    assert levels.startswith("levels above p5 by max_pool, this model has convolution (SCALE_MAT")


def test_anchors_in_pixels_are_compared_within_a_tenth():
    file = {"family": "RetinaNet", "smallest_anchors": [8.4, 15.6]}
    assert misfits(file, RETINANET, all_needed=True) == []
    file["smallest_anchors"] = [8.4, 12.5]
    assert misfits(file, RETINANET, all_needed=True)[0].startswith(
        "smallest anchors of [8.4, 12.5], this model has [8, 16]"
    )


def test_a_file_without_a_head_has_nothing_to_compare():
    assert misfits({**RETINANET, "family": "", "strides": [8]}, RETINANET, all_needed=True) == []
    assert misfits({}, RETINANET, all_needed=True) == []


def test_settings_of_the_input_are_advice():
    file = {"input_format": "RGB", "pixel_std": [58.4, 57.1, 57.4], "stride_in_1x1": False}
    model = {"input_format": "BGR", "pixel_std": [1.0, 1.0, 1.0], "stride_in_1x1": True}
    notes = setting_notes(file, model)
    assert notes[0] == (
        "it was made for channels in the order RGB, this model has BGR "
        "(INPUT.FORMAT; model.input_format)"
    )
    assert "[58.4, 57.1, 57.4], this model has [1, 1, 1]" in notes[1]
    assert "convolution: no, this model has yes" in notes[2]
    assert setting_notes(file, file) == []
    assert setting_notes({"min_distance": 0.0}, {"min_distance": -1.5})[0].startswith(
        "it was made for distances to a side of at least (strides): 0, this model has -1.5"
    )
