"""The pyramid has one source in yacs; stock keys may agree or stay away."""

import pytest
from detectron2.config import get_cfg

from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.pyramid_config import levels_from_config, refuse_changed_keys

SIZES = [list(sizes) for sizes in PyramidLevels().anchor_sizes]


def config(**keys):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    for key, value in keys.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def test_default_config_is_the_default_pyramid():
    assert levels_from_config(config()) == PyramidLevels()


def test_each_key_of_the_pyramid_is_read():
    cfg = config(
        SCALE_MATCH__MODEL__STRIDES=[8, 16],
        SCALE_MATCH__MODEL__ANCHOR_SCALE=4.0,
        SCALE_MATCH__MODEL__SCALES_PER_OCTAVE=2,
        SCALE_MATCH__MODEL__ASPECT_RATIOS=[1.0, 3.0],
    )

    assert levels_from_config(cfg) == PyramidLevels((8, 16), 4.0, 2, (1.0, 3.0))


@pytest.mark.parametrize(
    "keys",
    [
        {"MODEL__RETINANET__IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"]},
        {"MODEL__RPN__IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"]},
        {"MODEL__ROI_HEADS__IN_FEATURES": ["p2", "p3", "p4", "p5"]},
        {"MODEL__FPN__IN_FEATURES": ["res2", "res3", "res4", "res5"]},
        {"MODEL__RESNETS__OUT_FEATURES": ["res2", "res3", "res4", "res5"]},
        {"MODEL__ANCHOR_GENERATOR__SIZES": SIZES},
        {"MODEL__ANCHOR_GENERATOR__ASPECT_RATIOS": [[0.5, 1.0, 2.0]] * 5},
    ],
)
def test_a_stock_key_that_says_the_same_is_accepted(keys):
    assert levels_from_config(config(**keys)) == PyramidLevels()


def test_a_single_list_of_ratios_counts_for_every_level():
    cfg = config(
        SCALE_MATCH__MODEL__ASPECT_RATIOS=[1.0], MODEL__ANCHOR_GENERATOR__ASPECT_RATIOS=[[1.0]]
    )

    assert levels_from_config(cfg) == PyramidLevels(aspect_ratios=(1.0,))


@pytest.mark.parametrize(
    ("key", "value", "source"),
    [
        ("MODEL__RETINANET__IN_FEATURES", ["p2", "p3", "p4"], "STRIDES"),
        ("MODEL__RPN__IN_FEATURES", ["p2", "p3", "p4", "p5"], "STRIDES"),
        ("MODEL__ROI_HEADS__IN_FEATURES", ["p2", "p3", "p4", "p5", "p6"], "STRIDES"),
        ("MODEL__FPN__IN_FEATURES", ["res3", "res4", "res5"], "STRIDES"),
        ("MODEL__RESNETS__OUT_FEATURES", ["res2"], "STRIDES"),
        ("MODEL__ANCHOR_GENERATOR__SIZES", [[16.0], [32.0]], "ANCHOR_SCALE"),
        ("MODEL__ANCHOR_GENERATOR__SIZES", [[8.0, 10.0, 12.0]], "ANCHOR_SCALE"),
        ("MODEL__ANCHOR_GENERATOR__ASPECT_RATIOS", [[1.0]], "ASPECT_RATIOS"),
        ("MODEL__ANCHOR_GENERATOR__ASPECT_RATIOS", [[0.5, 1.0, 3.0]], "ASPECT_RATIOS"),
    ],
)
def test_a_stock_key_that_contradicts_is_refused_by_both_names(key, value, source):
    name = key.replace("__", ".")

    with pytest.raises(InputError, match=rf"{name} is .* but SCALE_MATCH\.MODEL\.{source} makes"):
        levels_from_config(config(**{key: value}))


def test_a_changed_key_that_a_model_does_not_obey_is_refused():
    keys = ("MODEL.RPN.LOSS_WEIGHT", "MODEL.ROI_BOX_HEAD.NORM", "MODEL.NO_SUCH.KEY")
    refuse_changed_keys(config(), keys, model="Ours")

    message = "MODEL.ROI_BOX_HEAD.NORM is 'GN', but Ours does not obey it: leave .* at ''"
    with pytest.raises(InputError, match=message):
        refuse_changed_keys(config(MODEL__ROI_BOX_HEAD__NORM="GN"), keys, model="Ours")
