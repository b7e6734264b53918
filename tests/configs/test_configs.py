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

# The last part tells GPUs x images where rows differ in nothing else: those of the policy's
# training where there is a policy, else its own. "offline": tested on tile files.
GRAMMAR = re.compile(
    r"(?P<model>adap_retinanet_c|adap_retinanet|retinanet|faster_rcnn|adap_fcos)"
    r"_(?P<backbone>r50|r18)_(?P<neck>fpn)_(?P<schedule>1x|20it|quick)"
    r"_(?P<data>coco|tinyperson|toy)(_(?P<policy>sm|msm|gsm))?(_(?P<batch>\dx\d|offline))?"
)
KINDS = {
    "adap_retinanet_c": "ScaleMatchRetinaNet",
    "adap_retinanet": "ScaleMatchRetinaNet",
    "retinanet": "ScaleMatchRetinaNet",
    "faster_rcnn": "ScaleMatchFasterRCNN",
    "adap_fcos": "ScaleMatchFCOS",
}
CLIPPING = {"adap_retinanet_c": 1.0, "adap_fcos": 35.0}  # 0 otherwise

# batch, learning rate, start; recipes of the published rows, and of those without a number
COCO_ROWS = {
    "coco/faster_rcnn_r50_fpn_1x_coco_sm_2x8": 16,
    "coco/faster_rcnn_r50_fpn_1x_coco_sm": 8,
    "coco/faster_rcnn_r50_fpn_1x_coco_msm": 8,
    "coco/adap_retinanet_r50_fpn_1x_coco_sm": 8,
    "coco/adap_retinanet_r50_fpn_1x_coco_msm": 8,
    "coco/adap_fcos_r50_fpn_1x_coco_sm": 8,
    "coco/adap_fcos_r50_fpn_1x_coco_msm": 8,
}
TINY_ROWS = {
    "faster_rcnn_r50_fpn_1x_tinyperson_4x1": (4, 0.02, "imagenet"),
    "faster_rcnn_r50_fpn_1x_tinyperson": (2, 0.01, "imagenet"),
    "faster_rcnn_r50_fpn_1x_tinyperson_offline": (2, 0.01, "imagenet"),
    "faster_rcnn_r50_fpn_1x_tinyperson_sm_2x8": (2, 0.01, "sm_2x8"),
    "faster_rcnn_r50_fpn_1x_tinyperson_sm": (2, 0.01, "sm"),
    "faster_rcnn_r50_fpn_1x_tinyperson_msm": (2, 0.01, "msm"),
    "adap_retinanet_r50_fpn_1x_tinyperson": (1, 0.005, "imagenet"),
    "adap_retinanet_r50_fpn_1x_tinyperson_sm": (1, 0.005, "sm"),
    "adap_retinanet_r50_fpn_1x_tinyperson_msm": (1, 0.005, "msm"),
    "adap_retinanet_c_r50_fpn_1x_tinyperson_4x1": (4, 0.02, "imagenet"),
    "adap_retinanet_c_r50_fpn_1x_tinyperson": (2, 0.01, "imagenet"),
    "adap_retinanet_c_r50_fpn_1x_tinyperson_offline": (2, 0.01, "imagenet"),
    "adap_retinanet_c_r50_fpn_1x_tinyperson_sm": (1, 0.005, "sm"),
    "adap_retinanet_c_r50_fpn_1x_tinyperson_msm": (2, 0.01, "msm"),
    "retinanet_r50_fpn_1x_tinyperson": (1, 0.005, "imagenet"),
    "adap_fcos_r50_fpn_1x_tinyperson": (4, 0.01, "imagenet"),
    "adap_fcos_r50_fpn_1x_tinyperson_offline": (4, 0.01, "imagenet"),
    "adap_fcos_r50_fpn_1x_tinyperson_sm": (4, 0.01, "sm"),
    "adap_fcos_r50_fpn_1x_tinyperson_msm": (4, 0.01, "msm"),
}
ROWS = {
    **{row: (batch, 0.01, "imagenet") for row, batch in COCO_ROWS.items()},
    **{f"tiny_person/{row}": settings for row, settings in TINY_ROWS.items()},
}
each_row = pytest.mark.parametrize("row", ROWS)
IMAGENET = "detectron2://ImageNetPretrained/"


def parts_of(name):
    parts = GRAMMAR.fullmatch(name)
    assert parts, name
    return parts


def start_of(row, start):
    """The weights that a row begins with."""
    model = parts_of(row.rpartition("/")[2])["model"].removesuffix("_c")
    if start == "imagenet":
        return IMAGENET + ("MSRA/R-50.pkl" if model == "adap_fcos" else "torchvision/R-50.pkl")
    return f"output/{model}_r50_fpn_1x_coco_{start}/model_final.pth"


def test_there_are_configs():
    r50 = {f"{path.parent.name}/{path.name}" for path in STEMS if "_r50_" in path.name}
    assert r50 == set(ROWS)


def test_every_detector_has_small_configs_for_every_step():
    names = {path.name for path in STEMS}
    for model in ("adap_retinanet", "faster_rcnn", "adap_fcos"):
        clipped = "adap_retinanet_c" if model == "adap_retinanet" else model
        assert names >= {f"{clipped}_r18_fpn_1x_tinyperson{end}" for end in ("", "_sm", "_msm")}
        assert names >= {f"{model}_r18_fpn_1x_coco{end}" for end in ("_sm", "_msm")}
        assert names >= {
            f"{model}_r18_fpn_{length}_toy{end}"
            for length in ("20it", "quick")
            for end in ("", "_sm")
        }


@each_leaf
def test_every_config_has_its_twin(leaf):
    assert leaf.with_suffix(".yaml").is_file()
    assert leaf.with_suffix(".py").is_file()


@each_leaf
def test_name_obeys_the_grammar_and_says_what_is_inside(leaf):
    parts = parts_of(leaf.name)
    cfg = load_yacs(leaf.with_suffix(".yaml"))

    assert KINDS[parts["model"]] == cfg.MODEL.META_ARCHITECTURE
    assert f"r{cfg.MODEL.RESNETS.DEPTH}" == parts["backbone"]
    assert cfg.SCALE_MATCH.MODEL.STRIDES[0] == (8 if parts["model"] == "retinanet" else 4)
    assert CLIPPING.get(parts["model"], 0.0) == cfg.SCALE_MATCH.SOLVER.CLIP_GLOBAL_NORM
    classes = 80 if parts["data"] == "coco" else 1
    assert classes == num_classes(cfg)
    if parts["data"] == "tinyperson":
        assert cfg.SCALE_MATCH.POLICY == "none"  # the suffix says how it was pretrained
        after = "_".join(part for part in (parts["policy"], parts["batch"]) if part)
        assert f"_{after}/" in cfg.MODEL.WEIGHTS or not parts["policy"]
        offline = parts["batch"] == "offline"
        assert offline == (not cfg.SCALE_MATCH.TILES.ENABLED)
        assert offline == ("corner" in cfg.SCALE_MATCH.DATA.TEST_ANNOTATIONS)
    else:
        assert (parts["policy"] or "none") == cfg.SCALE_MATCH.POLICY
    own_batch = parts["batch"] if parts["data"] == "coco" or not parts["policy"] else None
    if own_batch not in (None, "offline"):
        gpus, images = map(int, own_batch.split("x"))
        assert gpus * images == cfg.SOLVER.IMS_PER_BATCH


def num_classes(cfg):
    """Of the detector that a yacs config names."""
    return {
        "ScaleMatchRetinaNet": cfg.MODEL.RETINANET.NUM_CLASSES,
        "ScaleMatchFasterRCNN": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        "ScaleMatchFCOS": cfg.SCALE_MATCH.FCOS.NUM_CLASSES,
    }[cfg.MODEL.META_ARCHITECTURE]


@each_leaf
def test_first_line_names_the_row_in_both_twins(leaf):
    first = leaf.with_suffix(".yaml").read_text().splitlines()[0]

    assert leaf.with_suffix(".py").read_text().splitlines()[0] == first
    if leaf.parent.name == "quick":
        assert re.match(r"# (Smoke test|Quickstart): ", first)
    else:
        assert "no published row" in first or re.match(
            r"# (Pretraining of exp\d\.\d|exp\d\.\d|Test time compare) of 00\d_[0-9a-f]{16}\.txt: "
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
    batch, lr, start = ROWS[row]
    facts = yacs_facts(CONFIGS / f"{row}.yaml")
    fcos = "fcos" in row

    assert facts["schedule"]["batch"] == facts["schedule"]["reference_batch"] == batch
    assert facts["run"]["weights"] == start_of(row, start)
    assert facts["optimizer"] == {
        "kind": "sgd",
        "lr": lr,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "weight_decay_norm": 1e-4,
        "weight_decay_bias": 0.0 if fcos else 1e-4,
        "bias_lr_factor": 2.0 if fcos else 1.0,
    }
    # 1x: 12 epochs, steps at 8 and 11, linear warm-up over 500 iterations
    assert facts["schedule"]["max_iter"] is None
    assert facts["schedule"]["epochs"] == 12
    assert facts["schedule"]["step_epochs"] == [8, 11]
    assert facts["schedule"]["warmup"] == ("linear", 500, 1 / 3 if fcos else 0.001)


@each_row
def test_row_has_the_published_model(row):
    model = yacs_facts(CONFIGS / f"{row}.yaml")["model"]

    assert model["norms"] == ["FrozenBatchNorm2d"]
    assert not any(name.startswith(("backbone.bottom_up.stem",)) for name in model["trained"])
    assert not any(name.startswith("backbone.bottom_up.res2") for name in model["trained"])
    assert any(name.startswith("backbone.bottom_up.res3") for name in model["trained"])
    # torchvision's ResNet-50 has its stride in the 3x3 convolution, caffe's in the first 1x1
    caffe = "fcos" in row
    assert model["strided"]["backbone.bottom_up.res3.0.conv1"] == ((2, 2) if caffe else (1, 1))
    assert model["strided"]["backbone.bottom_up.res3.0.conv2"] == ((1, 1) if caffe else (2, 2))
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    assert model["pixels"] == (
        pytest.approx(mean[::-1] if caffe else mean),
        pytest.approx([1.0] * 3 if caffe else std),
    )
    assert model["input_format"] == ("BGR" if caffe else "RGB")
    offline = row.endswith("offline")
    assert (model["test_score_thresh"], model["test_nms_thresh"]) == (0.05, 0.6 if caffe else 0.5)
    if model["kind"] != "ScaleMatchFasterRCNN":
        limits = (model["test_topk_candidates"], model["max_detections_per_image"])
        assert limits == ((1000, 500) if offline else (2000, 1000))
        assert model["shapes"]["head.cls_subnet.6.weight"] == (256, 256, 3, 3)  # 4 convolutions
        assert model["prior"][0] == pytest.approx(-4.595, abs=1e-3)  # log(0.01 / 0.99)
        assert (model["focal_loss_alpha"], model["focal_loss_gamma"]) == (0.25, 2.0)


@each_row
def test_row_of_retinanet_has_its_anchors_and_losses(row):
    model = yacs_facts(CONFIGS / f"{row}.yaml")["model"]
    if model["kind"] != "ScaleMatchRetinaNet":
        return

    stride_8 = PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4)
    assert model["levels"] == (PyramidLevels() if "adap" in row else stride_8)
    assert model["matcher"] == ([-float("inf"), 0.4, 0.5, float("inf")], [0, -1, 1], True)
    assert (model["box_reg_loss_type"], model["smooth_l1_beta"]) == ("smooth_l1", 0.0)
    assert model["normalizer"]  # by the number of positives
    assert model["shapes"]["backbone.top_block.p6.weight"][1] == 2048  # sees res5


def test_faster_rcnn_is_that_of_the_rows():
    model = yacs_facts(CONFIGS / "tiny_person/faster_rcnn_r50_fpn_1x_tinyperson.yaml")["model"]

    assert model["levels"] == PyramidLevels(scales_per_octave=1)
    assert model["anchors"][0][1] == [-4.0, -4.0, 4.0, 4.0]  # 2 x stride
    assert model["matcher"] == ([-float("inf"), 0.3, 0.7, float("inf")], [0, -1, 1], True)
    assert model["least_matched_iou"] == 0.3
    assert model["rpn_samples"] == (256, 0.5)
    assert model["proposals"] == ({True: 2000, False: 1000}, {True: 1000, False: 1000}, 0.7)
    assert model["roi_samples"] == (512, 0.25, True)
    assert model["roi_matcher"] == ([-float("inf"), 0.5, float("inf")], [0, 1])
    assert model["roi_delta_weights"] == (10.0, 10.0, 5.0, 5.0)
    assert model["max_detections_per_image"] == -1
    assert not any("top_block" in name for name in model["shapes"])  # p6 is pooled
    sizes = model["shapes"]
    assert sizes["roi_heads.box_head.fc1.weight"] == (1024, 256 * 7 * 7)
    assert sizes["proposal_generator.rpn_head.objectness_logits.weight"] == (3, 256, 1, 1)


def test_fcos_is_that_of_its_row():
    facts = yacs_facts(CONFIGS / "tiny_person/adap_fcos_r50_fpn_1x_tinyperson.yaml")
    model = facts["model"]

    assert [tuple(one) for one in model["size_ranges"]] == [
        (-1, 16), (16, 32), (32, 64), (64, 128), (128, float("inf")),
    ]  # fmt: skip
    assert model["center_sampling_radius"] == 1.5
    assert model["shapes"]["backbone.top_block.p6.weight"] == (256, 256, 3, 3)  # sees p5
    assert not any("norm" in name for name in model["shapes"] if name.startswith("head."))
    assert facts["schedule"]["clip"] == 35.0
    assert facts["tiles"]["nms_threshold"] == 0.6


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

    norms = ["BatchNorm2d"] if "faster" in leaf.name else ["BatchNorm2d", "GroupNorm"]
    assert facts["model"]["norms"] == norms
    assert facts["run"]["device"] == "cpu"
    assert facts["optimizer"]["kind"] == "adamw"
    assert facts["schedule"]["reference_batch"] == 0  # the linear rule is SGD's
    learned = (".weight", ".bias", ".scale")
    names = {name for name in facts["model"]["shapes"] if name.endswith(learned)}
    assert facts["model"]["trained"] == names


@pytest.mark.parametrize(
    ("model", "override", "name", "shape"),
    [
        ("adap_retinanet", "model.num_classes=3", "head.cls_score.weight", (27, 64, 3, 3)),
        (
            "adap_retinanet",
            "model.levels.scales_per_octave=1",
            "head.bbox_pred.weight",
            (12, 64, 3, 3),
        ),
        (
            "adap_retinanet",
            "model.backbone.out_channels=32",
            "head.bbox_subnet.0.weight",
            (32, 32, 3, 3),
        ),
        (
            "adap_retinanet",
            "model.levels.strides=[4,8,16,32,64]",
            "backbone.top_block.p6.weight",
            (64, 512, 3, 3),
        ),
        ("faster_rcnn", "model.num_classes=3", "roi_heads.box_predictor.cls_score.bias", (4,)),
        (
            "faster_rcnn",
            "model.backbone.out_channels=32",
            "roi_heads.box_head.fc1.weight",
            (256, 32 * 7 * 7),
        ),
        (
            "faster_rcnn",
            "model.levels.aspect_ratios=[1.0]",
            "proposal_generator.rpn_head.anchor_deltas.bias",
            (4,),
        ),
        ("adap_fcos", "model.num_classes=3", "head.cls_score.weight", (3, 64, 3, 3)),
        ("adap_fcos", "model.backbone.out_channels=32", "head.ctrness.weight", (1, 32, 3, 3)),
        (
            "adap_fcos",
            "model.levels.strides=[4,8,16,32,64]",
            "backbone.top_block.p6.weight",
            (64, 64, 3, 3),
        ),
    ],
)
def test_an_override_reaches_everything_that_depends_on_it(model, override, name, shape):
    cfg = load_lazy(CONFIGS / f"tiny_person/{model}_r18_fpn_1x_tinyperson.py", override)

    assert model_facts(instantiate(cfg.model))["shapes"][name] == shape
