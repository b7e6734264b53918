"""Every config: its name, its first line, its twin, and the numbers of the published rows."""

import re

import pytest
import torch
import yaml
from detectron2.config import instantiate

from config_facts import lazy_facts, load_lazy, load_yacs, model_facts, yacs_facts
from conftest import REPOSITORY
from scale_match.modeling.levels import PyramidLevels

torch.set_num_threads(1)

CONFIGS = REPOSITORY / "configs"
STEMS = sorted(
    {
        path.with_suffix("")
        for path in CONFIGS.glob("*/*.*")
        if path.parent.name != "common" and not path.name.startswith("Base-")
    }
)
each_leaf = pytest.mark.parametrize("leaf", STEMS, ids=lambda path: path.name)

GRAMMAR = re.compile(
    r"(?P<model>adap_retinanet_c|adap_retinanet|retinanet)_(?P<backbone>r50|r18)_(?P<neck>fpn)"
    r"_(?P<schedule>1x|20it|quick)_(?P<data>coco|tinyperson|toy)(_(?P<policy>sm|msm|gsm))?"
)

# batch, learning rate, clipping, policy, start; recipes of the published rows
ROWS = {
    "coco/adap_retinanet_r50_fpn_1x_coco_sm": (8, 0.01, 0.0, "sm", "imagenet"),
    "coco/adap_retinanet_r50_fpn_1x_coco_msm": (8, 0.01, 0.0, "msm", "imagenet"),
    "tiny_person/adap_retinanet_r50_fpn_1x_tinyperson": (1, 0.005, 0.0, "none", "imagenet"),
    "tiny_person/adap_retinanet_c_r50_fpn_1x_tinyperson": (2, 0.01, 1.0, "none", "imagenet"),
    "tiny_person/adap_retinanet_c_r50_fpn_1x_tinyperson_sm": (1, 0.005, 1.0, "none", "sm"),
    "tiny_person/adap_retinanet_c_r50_fpn_1x_tinyperson_msm": (2, 0.01, 1.0, "none", "msm"),
    "tiny_person/retinanet_r50_fpn_1x_tinyperson": (1, 0.005, 0.0, "none", "imagenet"),
}
each_row = pytest.mark.parametrize("row", ROWS)


def start_of(name):
    return {
        "imagenet": "detectron2://ImageNetPretrained/torchvision/R-50.pkl",
        "sm": "output/adap_retinanet_r50_fpn_1x_coco_sm/model_final.pth",
        "msm": "output/adap_retinanet_r50_fpn_1x_coco_msm/model_final.pth",
    }[name]


def test_there_are_configs():
    assert len(STEMS) >= 18
    assert {f"{path.parent.name}/{path.name}" for path in STEMS} >= set(ROWS)


@each_leaf
def test_every_config_has_its_twin(leaf):
    assert leaf.with_suffix(".yaml").is_file()
    assert leaf.with_suffix(".py").is_file()


@each_leaf
def test_name_obeys_the_grammar_and_says_what_is_inside(leaf):
    parts = GRAMMAR.fullmatch(leaf.name)
    assert parts, leaf.name
    cfg = load_yacs(leaf.with_suffix(".yaml"))

    assert f"r{cfg.MODEL.RESNETS.DEPTH}" == parts["backbone"]
    stride = 4 if parts["model"].startswith("adap") else 8
    assert cfg.SCALE_MATCH.MODEL.STRIDES[0] == stride
    assert (cfg.SCALE_MATCH.SOLVER.CLIP_GLOBAL_NORM > 0) == parts["model"].endswith("_c")
    assert (80 if parts["data"] == "coco" else 1) == cfg.MODEL.RETINANET.NUM_CLASSES
    if parts["data"] == "tinyperson":
        assert cfg.SCALE_MATCH.POLICY == "none"  # the suffix says how it was pretrained
        assert f"_{parts['policy']}/" in cfg.MODEL.WEIGHTS or not parts["policy"]
    else:
        assert (parts["policy"] or "none") == cfg.SCALE_MATCH.POLICY


@each_leaf
def test_first_line_names_the_row_in_both_twins(leaf):
    first = leaf.with_suffix(".yaml").read_text().splitlines()[0]

    assert leaf.with_suffix(".py").read_text().splitlines()[0] == first
    if leaf.parent.name == "quick":
        assert re.match(r"# (Smoke test|Quickstart): ", first)
    else:
        assert "no published row" in first or re.match(
            r"# (Pretraining of )?exp\d\.\d of 00\d_[0-9a-f]{16}\.txt: "
            r"(AP50_tiny|COCO200 val) \d\d\.\d+$",
            first,
        )


@each_leaf
def test_twins_say_the_same(leaf):
    from_yacs, from_lazy = (
        yacs_facts(leaf.with_suffix(".yaml")),
        lazy_facts(leaf.with_suffix(".py")),
    )

    assert from_yacs.keys() == from_lazy.keys()
    for part, facts in from_yacs.items():
        assert facts == from_lazy[part], part


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.name)
def test_yaml_is_plain_and_loads_with_every_version(path):
    """Python tags would run code; this test runs with both versions of detectron2."""
    text = path.read_text()

    assert "!!" not in text
    assert isinstance(yaml.safe_load(text), dict)
    load_yacs(path)


@each_leaf
def test_leaf_holds_differences_only(leaf):
    """A key that the bases have already would hide what makes this config special."""
    own = yaml.safe_load(leaf.with_suffix(".yaml").read_text())
    inherited = _inherited(leaf.with_suffix(".yaml"))

    assert own.pop("OUTPUT_DIR") == f"output/{leaf.name}"
    assert [key for key, value in _flat(own) if inherited.get(key) == value] == []


def _inherited(path):
    """Dotted keys and values that a yaml file has from its bases."""
    keys = {}
    bases = yaml.safe_load(path.read_text()).get("_BASE_", [])
    for base in [bases] if isinstance(bases, str) else bases:
        keys.update(_inherited(path.parent / base))
        keys.update(_flat(yaml.safe_load((path.parent / base).read_text())))
    return keys


def _flat(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@each_row
def test_row_has_the_published_settings(row):
    batch, lr, clip, policy, start = ROWS[row]
    facts = yacs_facts(CONFIGS / f"{row}.yaml")

    assert facts["schedule"]["batch"] == batch
    assert facts["schedule"]["clip"] == clip
    assert facts["policy"]["policy"] == policy
    assert facts["run"]["weights"] == start_of(start)
    assert facts["optimizer"] == {
        "kind": "sgd",
        "lr": lr,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "weight_decay_norm": 1e-4,
        "weight_decay_bias": 1e-4,
    }
    # 1x: 12 epochs, steps at 8 and 11, linear warm-up over 500 iterations from 0.001
    assert facts["schedule"]["max_iter"] is None
    assert facts["schedule"]["epochs"] == 12
    assert facts["schedule"]["step_epochs"] == [8, 11]
    assert facts["schedule"]["warmup"] == ("linear", 500, 0.001)


@each_row
def test_row_has_the_published_model(row):
    model = yacs_facts(CONFIGS / f"{row}.yaml")["model"]

    stride_8 = PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4)
    assert model["levels"] == (PyramidLevels() if "adap" in row else stride_8)
    assert model["norms"] == ["FrozenBatchNorm2d"]
    assert not any(name.startswith(("backbone.bottom_up.stem",)) for name in model["trained"])
    assert not any(name.startswith("backbone.bottom_up.res2") for name in model["trained"])
    assert any(name.startswith("backbone.bottom_up.res3") for name in model["trained"])
    # torchvision's ResNet-50: stride in the 3x3 convolution
    assert model["strided"]["backbone.bottom_up.res3.0.conv1"] == (1, 1)
    assert model["strided"]["backbone.bottom_up.res3.0.conv2"] == (2, 2)
    assert model["pixels"] == (
        pytest.approx([123.675, 116.28, 103.53]),
        pytest.approx([58.395, 57.12, 57.375]),
    )
    assert model["input_format"] == "RGB"
    assert model["shapes"]["head.cls_subnet.6.weight"] == (256, 256, 3, 3)  # four convolutions
    assert model["prior"][0] == pytest.approx(-4.595, abs=1e-3)  # log(0.01 / 0.99)
    assert model["matcher"] == ([-float("inf"), 0.4, 0.5, float("inf")], [0, -1, 1], True)
    assert (model["focal_loss_alpha"], model["focal_loss_gamma"]) == (0.25, 2.0)
    assert (model["box_reg_loss_type"], model["smooth_l1_beta"]) == ("smooth_l1", 0.0)
    assert model["normalizer"]  # by the number of positives
    assert (model["test_score_thresh"], model["test_nms_thresh"]) == (0.05, 0.5)
    assert (model["test_topk_candidates"], model["max_detections_per_image"]) == (2000, 1000)


def test_pretraining_matches_the_scales_of_tiny_person():
    facts = yacs_facts(CONFIGS / "coco/adap_retinanet_r50_fpn_1x_coco_msm.yaml")

    assert facts["policy"] == {
        "policy": "msm",
        "target": "tiny_set/mini_annotations/tiny_set_train_all_erase.json",
        "source": "coco/annotations/instances_train2017.json",
        "bins": 100,
        "log": False,
        "except_rate": None,
        "mu_sigma": [],
        "normal_sample": "",
        "min_size": -1.0,
        "size_per": "image",
        "scale_range": [0.1, 1.0],
        "default_scale": 0.25,
        "max_tries": 5,
        "out_of_range": "clip",
    }
    assert facts["data"]["test_resize"] == (200, 333)
    assert not facts["tiles"]["enabled"]


def test_tiny_person_is_tested_on_tiles_without_resizing():
    facts = yacs_facts(CONFIGS / "tiny_person/adap_retinanet_c_r50_fpn_1x_tinyperson_sm.yaml")

    assert facts["data"]["test_resize"] is None
    assert facts["tiles"] == {
        "enabled": True,
        "tile": [640, 512],
        "overlap": [100, 100],
        "merge": "auto",
        "nms_threshold": 0.5,
        "max_detections": 1000,
        "max_detections_per_tile": None,
        "batch_size": 4,
    }
    assert facts["max_dets"] == [200, 1000]


@pytest.mark.parametrize("leaf", [leaf for leaf in STEMS if "_r18_" in leaf.name], ids=str)
def test_small_models_can_start_from_random_weights(leaf):
    facts = yacs_facts(leaf.with_suffix(".yaml"))

    assert facts["model"]["norms"] == ["BatchNorm2d", "GroupNorm"]
    assert facts["run"]["device"] == "cpu"
    names = {name for name in facts["model"]["shapes"] if name.endswith((".weight", ".bias"))}
    assert facts["model"]["trained"] == names


@pytest.mark.parametrize(
    ("override", "name", "shape"),
    [
        ("model.num_classes=3", "head.cls_score.weight", (27, 64, 3, 3)),
        ("model.levels.scales_per_octave=1", "head.bbox_pred.weight", (12, 64, 3, 3)),
        ("model.backbone.out_channels=32", "head.bbox_subnet.0.weight", (32, 32, 3, 3)),
        (
            "model.levels.strides=[4,8,16,32,64]",
            "backbone.top_block.p6.weight",
            (64, 512, 3, 3),
        ),
    ],
)
def test_an_override_reaches_everything_that_depends_on_it(override, name, shape):
    cfg = load_lazy(CONFIGS / "tiny_person/adap_retinanet_r18_fpn_1x_tinyperson.py", override)

    assert model_facts(instantiate(cfg.model))["shapes"][name] == shape
