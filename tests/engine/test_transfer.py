import json
import re
from dataclasses import astuple
from pathlib import Path

import pytest
import torch

from scale_match.core.errors import InputError
from scale_match.engine import transfer
from scale_match.engine.data_doctor import DoctorSettings, diagnose, write_advised_config
from scale_match.engine.session import prepare, yacs_config
from scale_match.engine.trainer import ScaleMatchTrainer
from scale_match.engine.transfer import run_transfer
from scale_match.engine.transfer_configs import (
    build_configs,
    config_fingerprint,
    data_fingerprint,
    pretraining_policy,
)
from scale_match.engine.transfer_report import results_table
from scale_match.engine.transfer_settings import CocoFiles, TransferSettings, find_config
from scale_match.report.advised_config import ConfigFiles
from scale_match.storage.annotations import read_raw_coco
from scale_match.storage.files import write_json
from scale_match.storage.tiling import tile_annotations
from toy import make_toy_dataset

STAGES = (
    "histogram",
    "pretrain",
    "tiles",
    "finetune",
    "evaluation",
    "scratch",
    "scratch_evaluation",
    "pictures",
)
# As little of a model as there can be: tests of the pipeline, not of what it learns.
SMALL_MODEL = (
    ("MODEL.FPN.OUT_CHANNELS", "32"),
    ("MODEL.RETINANET.NUM_CONVS", "1"),
    ("SOLVER.IMS_PER_BATCH", "2"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    shapes = {
        "source": {"num_images": 4, "width": 96, "height": 80, "seed": 1},
        "target": {"num_images": 2, "width": 128, "height": 96, "seed": 2},
        "test": {"num_images": 2, "width": 128, "height": 96, "seed": 3},
    }
    return {
        name: CocoFiles(*make_toy_dataset(folder / name, **shape)) for name, shape in shapes.items()
    }


@pytest.fixture
def settings(data, repository):
    def make(output: Path, **changes) -> TransferSettings:
        config = repository / "configs/quick/adap_retinanet_r18_fpn_20it_toy.yaml"
        defaults = {
            "config": config,
            "scratch": True,
            "tile": (64, 64),
            "pretrain_steps": 3,
            "finetune_steps": 4,
            "opts": tuple(word for pair in SMALL_MODEL for word in pair),
        }
        return TransferSettings(output=output, **{**data, **defaults, **changes})

    return make


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


pytestmark = pytest.mark.usefixtures("one_thread")


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model_final.pth")["model"]


def _same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    # Sums of gradients differ in the last bits with the alignment of memory.
    return all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_a_transfer_runs_from_data_to_results_and_only_once(settings, tmp_path):
    results = run_transfer(settings(tmp_path))
    assert json.loads((tmp_path / "results.json").read_text()) == results
    for run in ("pretrained", "scratch"):
        assert 0.0 <= results[run]["AP50_tiny"] <= 1.0
    assert set(results["seconds"]) == {*STAGES, "total"}
    for run, stage in (("pretrained", "evaluation"), ("scratch", "scratch_evaluation")):
        path = tmp_path / stage / "inference" / "scores.json"
        assert results["scores_files"][run] == str(path)
        values = json.loads(path.read_text())["AP_maxDets1000"]
        assert values["tiny_50"] == results[run]["AP50_tiny"]
    protocol = results["protocol"]
    assert protocol["policy"] == "sm"
    assert protocol["detector"] == "RetinaNet, ResNet-18, strides 4, 8, 16"
    assert protocol["steps"] == {"pretrain": 3, "finetune": 4, "scratch": 4}
    assert protocol["train_tile"] == [64, 64]
    assert (tmp_path / "pictures/sizes.png").stat().st_size > 1000
    assert len(list((tmp_path / "pictures").glob("detections_*.jpg"))) == 2
    assert results["versions"]["torch"] == torch.__version__
    assert not list((tmp_path / "finetune").glob("model_0*.pth"))

    again = run_transfer(settings(tmp_path))
    assert all(stage["skipped"] for stage in again["stages"].values())
    assert {k: again[k] for k in ("pretrained", "scratch", "protocol", "seconds")} == {
        k: results[k] for k in ("pretrained", "scratch", "protocol", "seconds")
    }

    longer = run_transfer(settings(tmp_path, finetune_steps=5))
    skipped = {name for name, stage in longer["stages"].items() if stage["skipped"]}
    assert skipped == {"histogram", "pretrain", "tiles"}
    assert longer["protocol"]["steps"] == {"pretrain": 3, "finetune": 5, "scratch": 5}


@pytest.mark.parametrize(
    ("detector", "policy", "small"),
    [
        ("faster_rcnn", "gsm", ("MODEL.ROI_BOX_HEAD.FC_DIM", "32")),
        ("adap_fcos", "msm", ("SCALE_MATCH.FCOS.NUM_CONVS", "1")),
    ],
)
def test_every_detector_is_transferred(settings, repository, tmp_path, detector, policy, small):
    opts = (*SMALL_MODEL[0], *SMALL_MODEL[2], *small)
    config = repository / f"configs/quick/{detector}_r18_fpn_20it_toy.yaml"
    pretrain = config.with_name(f"{config.stem}_sm.yaml")
    results = run_transfer(
        settings(
            tmp_path,
            config=config,
            pretrain_config=pretrain,
            policy=policy,
            opts=opts,
            scratch=False,
            pretrain_steps=2,
            finetune_steps=2,
        )
    )
    assert results["protocol"]["policy"] == policy
    name = {"faster_rcnn": "Faster R-CNN", "adap_fcos": "FCOS"}[detector]
    assert results["protocol"]["detector"] == f"{name}, ResNet-18, strides 4, 8, 16"
    assert 0.0 <= results["pretrained"]["AP50_tiny"] <= 1.0
    assert not _same(_weights(tmp_path / "pretrain"), _weights(tmp_path / "finetune"))


def test_fine_tuning_starts_from_the_pretrained_weights(settings, tmp_path, monkeypatch):
    loaded = []
    original = ScaleMatchTrainer.resume_or_load

    def remember(self, resume=True, *, reset_head=False):
        loaded.append(self.cfg.MODEL.WEIGHTS)
        original(self, resume=resume, reset_head=reset_head)

    monkeypatch.setattr(ScaleMatchTrainer, "resume_or_load", remember)
    run_transfer(settings(tmp_path, test=None, finetune_steps=1))
    assert loaded == ["", str(tmp_path / "pretrain/model_final.pth"), ""]
    assert not _same(_weights(tmp_path / "finetune"), _weights(tmp_path / "scratch"))


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "_LEAST_PERIOD", 2)
    wanted = settings(tmp_path / "killed", test=None, scratch=False)
    original = ScaleMatchTrainer.run_step

    def die(self):
        if self.cfg.OUTPUT_DIR.endswith("finetune") and self.iter == 3:
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(ScaleMatchTrainer, "run_step", die)
    with pytest.raises(KeyboardInterrupt):
        run_transfer(wanted)
    assert not (tmp_path / "killed/results.json").exists()
    monkeypatch.setattr(ScaleMatchTrainer, "run_step", original)
    stages = run_transfer(wanted)["stages"]
    assert stages["pretrain"]["skipped"]
    assert stages["finetune"]["resumed"]
    run_transfer(settings(tmp_path / "whole", test=None, scratch=False))
    for stage in ("pretrain", "finetune"):
        assert _same(_weights(tmp_path / "killed" / stage), _weights(tmp_path / "whole" / stage))


def test_without_test_images_nothing_is_evaluated_and_the_table_says_so(settings, tmp_path):
    results = run_transfer(settings(tmp_path, test=None, scratch=False, finetune_steps=1))
    assert results["pretrained"] == results["scratch"] == {}
    assert results_table(results) == "No test images were named, so nothing was evaluated."
    assert [path.name for path in (tmp_path / "pictures").glob("*.jpg")] == []


def test_bad_data_are_found_before_the_first_training(settings, data, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    wanted = settings(tmp_path / "out", test=CocoFiles(broken, data["test"].images))
    with pytest.raises(InputError, match=r"broken\.json is not valid JSON"):
        run_transfer(wanted)
    assert not (tmp_path / "out/pretrain").exists()


@pytest.mark.parametrize("policy", ["sm", "msm", "gsm", "none"])
def test_the_policy_asked_for_is_that_of_the_pretraining_only(settings, tmp_path, policy):
    configs = build_configs(settings(tmp_path, policy=policy))
    assert policy == configs.pretrain.SCALE_MATCH.POLICY
    assert configs.finetune.SCALE_MATCH.POLICY == "none"


def test_a_target_of_tiles_is_refused_before_the_pretraining(settings, data, tmp_path):
    tiles = tmp_path / "tiles.json"
    write_json(tiles, tile_annotations(read_raw_coco(data["target"].annotations), tile=(64, 64)))
    target = CocoFiles(tiles, data["target"].images)
    with pytest.raises(InputError, match=r"tile"):
        run_transfer(settings(tmp_path, target=target))
    assert not (tmp_path / "pretrain").exists()


@pytest.mark.parametrize(("policy", "key"), [("mosaic", "MOSAIC"), ("exact_tile", "EXACT_TILE")])
def test_parts_of_images_may_take_the_place_of_a_policy(settings, tmp_path, policy, key):
    node = build_configs(settings(tmp_path, policy=policy, tile=(320, 256))).pretrain.SCALE_MATCH
    assert (node.POLICY, node.AUGMENT[key]) == ("none", [256, 320])
    # A config that names a size keeps it, and needs no option.
    opts = ("SCALE_MATCH.POLICY", "none", f"SCALE_MATCH.AUGMENT.{key}", "[64,96]")
    for asked in (policy, None):
        configs = build_configs(settings(tmp_path, policy=asked, opts=opts))
        assert configs.pretrain.SCALE_MATCH.AUGMENT[key] == [64, 96]
        assert configs.finetune.SCALE_MATCH.AUGMENT[key] == []
        assert pretraining_policy(configs.pretrain) == policy
    other = build_configs(settings(tmp_path, policy="msm", opts=opts)).pretrain.SCALE_MATCH
    assert (other.POLICY, other.AUGMENT[key]) == ("msm", [])


@pytest.mark.parametrize("policy", ["mosaic", "exact_tile"])
def test_parts_of_images_are_transferred(settings, tmp_path, policy):
    length = {"pretrain_steps": 1, "finetune_steps": 1, "scratch": False, "test": None}
    wanted = settings(tmp_path, policy=policy, tile=(96, 96), **length)
    results = run_transfer(wanted)
    assert results["protocol"]["policy"] == policy
    cfg = yacs_config(tmp_path / "pretrain/config.yaml")
    assert str(tmp_path / "histogram/target.json") == cfg.SCALE_MATCH.TARGET
    again = run_transfer(wanted)
    assert all(stage["skipped"] for stage in again["stages"].values())


def test_a_config_of_the_data_doctor_is_transferred(settings, data, repository, tmp_path):
    shape = {"num_images": 2, "width": 960, "height": 256, "boxes_per_image": 12}
    target = CocoFiles(*make_toy_dataset(tmp_path / "large", **shape))
    diagnosis = diagnose(
        DoctorSettings(target.annotations, target.images, backbone="r18")
    ).diagnosis
    config = tmp_path / "mine.yaml"
    files = ConfigFiles(
        repository / "configs", target.annotations, target.images, *astuple(data["test"])
    )
    write_advised_config(diagnosis, files, config)
    assert yacs_config(config).SCALE_MATCH.TRAIN_TILES.ENABLED
    length = {"pretrain_steps": 1, "finetune_steps": 1, "scratch": False, "test": None}
    options = {"target": target, "tile": (320, 256), **length}
    results = run_transfer(settings(tmp_path / "out", config=config, **options))
    assert results["protocol"]["steps"] == {"pretrain": 1, "finetune": 1}
    for stage in ("pretrain", "finetune"):
        cfg = yacs_config(tmp_path / "out" / stage / "config.yaml")
        assert not cfg.SCALE_MATCH.TRAIN_TILES.ENABLED
        assert str(tmp_path / "out" / stage) == cfg.OUTPUT_DIR


@pytest.mark.parametrize(
    ("tile", "sizes"),
    [((64, 64), r"--tile; SCALE_MATCH.TRAIN_TILES.SIZE is \[640, 512\]"), ((640, 512), "--tile")],
)
def test_tiles_that_loading_would_cut_are_left_out_and_it_is_said(
    settings, tmp_path, caplog, tile, sizes
):
    caplog.set_level("INFO")
    opts = ("SCALE_MATCH.TRAIN_TILES.ENABLED", "True")
    configs = build_configs(settings(tmp_path, opts=opts, tile=tile))
    for cfg in (configs.pretrain, configs.finetune):
        assert not cfg.SCALE_MATCH.TRAIN_TILES.ENABLED
    (said,) = caplog.messages
    assert re.search(rf"TRAIN_TILES.ENABLED does not count .* {tile[0]}x.* \({sizes}\)$", said)
    caplog.clear()
    build_configs(settings(tmp_path))
    assert not caplog.messages


def test_a_config_with_a_policy_keeps_it(settings, repository, tmp_path):
    msm = repository / "configs/coco/adap_retinanet_r18_fpn_1x_coco_msm.yaml"
    configs = build_configs(settings(tmp_path, pretrain_config=msm))
    assert configs.pretrain.SCALE_MATCH.POLICY == "msm"


def test_both_trainings_have_as_many_classes_as_their_data(settings, data, tmp_path):
    many = CocoFiles(*make_toy_dataset(tmp_path / "many", num_images=1, categories=3))
    configs = build_configs(settings(tmp_path, source=many))
    assert configs.pretrain.MODEL.RETINANET.NUM_CLASSES == 3
    assert configs.pretrain.MODEL.ROI_HEADS.NUM_CLASSES == 3
    assert configs.pretrain.SCALE_MATCH.FCOS.NUM_CLASSES == 3
    assert configs.finetune.MODEL.RETINANET.NUM_CLASSES == 1


@pytest.mark.parametrize("key", ["MODEL.META_ARCHITECTURE", "SCALE_MATCH.MODEL.STRIDES"])
def test_configs_of_two_detectors_are_refused_before_the_pretraining(
    settings, tmp_path, repository, key
):
    names = {
        "MODEL.META_ARCHITECTURE": "quick/adap_fcos_r18_fpn_20it_toy",
        "SCALE_MATCH.MODEL.STRIDES": "tiny_person/retinanet_r18_fpn_1x_tinyperson",
    }
    other = repository / "configs" / f"{names[key]}.yaml"
    with pytest.raises(InputError, match=rf"{key} is .* in --pretrain-config and .*--reset-head"):
        build_configs(settings(tmp_path, pretrain_config=other, opts=()))
    build_configs(settings(tmp_path, pretrain_config=other, opts=(), reset_head=True))


def test_steps_asked_for_replace_epochs_and_move_the_learning_rate_steps(settings, tmp_path):
    # 40000 is detectron2's default, which a schedule in epochs would not take for a wish.
    for steps in (120, 40000):
        solver = build_configs(settings(tmp_path, pretrain_steps=steps)).pretrain.SOLVER
        assert steps == solver.MAX_ITER
        assert (round(steps * 8 / 12), round(steps * 11 / 12)) == solver.STEPS
    opts = ("SCALE_MATCH.SOLVER.EPOCHS", "0", "SOLVER.MAX_ITER", "10", "SOLVER.STEPS", "(5,)")
    cfg = build_configs(settings(tmp_path, pretrain_steps=40, opts=opts)).pretrain
    assert cfg.SOLVER.STEPS == (20,)


def test_steps_asked_for_are_for_the_batch_that_is_used(settings, data, tmp_path):
    opts = ("SCALE_MATCH.SOLVER.REFERENCE_BATCH", "8", "SOLVER.IMS_PER_BATCH", "2")
    opts += ("SCALE_MATCH.SOLVER.OPTIMIZER", "sgd")
    cfg = build_configs(settings(tmp_path, pretrain_steps=12, opts=opts)).pretrain
    cfg.OUTPUT_DIR, cfg.SCALE_MATCH.POLICY = str(tmp_path / "out"), "none"
    solver = prepare(cfg, training=True).SOLVER
    assert (solver.MAX_ITER, solver.STEPS) == (12, (8, 11))
    assert pytest.approx(cfg.SOLVER.BASE_LR / 4) == solver.BASE_LR


def test_without_steps_the_schedule_is_that_of_the_config(settings, tmp_path):
    cfg = build_configs(settings(tmp_path, finetune_steps=None)).finetune
    assert cfg.SOLVER.MAX_ITER == 20
    assert cfg.SCALE_MATCH.SOLVER.EPOCHS == 12


def test_the_fingerprint_of_a_config_sees_settings_and_not_places(settings, tmp_path):
    first = build_configs(settings(tmp_path)).finetune
    moved = first.clone()
    moved.OUTPUT_DIR, moved.MODEL.WEIGHTS = "elsewhere", "other.pth"
    moved.SCALE_MATCH.DATA.TRAIN_IMAGES = "elsewhere"
    assert config_fingerprint(moved) == config_fingerprint(first)
    moved.SOLVER.BASE_LR *= 2
    assert config_fingerprint(moved) != config_fingerprint(first)


def test_the_fingerprint_of_data_sees_annotations_and_images(tmp_path):
    annotations, images = make_toy_dataset(tmp_path, num_images=2)
    files = CocoFiles(annotations, images)
    before = data_fingerprint(files)
    assert before["images"] == 2
    assert data_fingerprint(files) == before
    first = next(images.iterdir())
    first.write_bytes(first.read_bytes() + b"\0")
    assert data_fingerprint(files)["image_files_sha256"] != before["image_files_sha256"]
    assert data_fingerprint(files)["annotations_sha256"] == before["annotations_sha256"]
    first.unlink()
    assert data_fingerprint(files)["image_files_sha256"] != before["image_files_sha256"]


def test_a_source_without_categories_is_an_error(settings, tmp_path):
    empty = tmp_path / "empty.json"
    image = {"id": 1, "file_name": "1.jpg", "width": 8, "height": 8}
    empty.write_text(json.dumps({"images": [image], "annotations": [], "categories": []}))
    with pytest.raises(InputError, match=r"empty\.json has no categories"):
        build_configs(settings(tmp_path, source=CocoFiles(empty, tmp_path)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"policy": "esm"},
            "--policy must be one of sm, msm, gsm, exact_tile, mosaic, none, not 'esm'",
        ),
        ({"seed": -1}, "--seed must not be negative, but is -1"),
        ({"num_gpus": 0}, "--num-gpus must be at least 1, but is 0"),
        ({"pretrain_steps": 0}, "--pretrain-steps must be at least 1, but is 0"),
        ({"finetune_steps": -5}, "--finetune-steps must be at least 1, but is -5"),
    ],
)
def test_settings_out_of_range_are_errors(settings, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        settings(tmp_path, **changes)


def test_a_config_is_found_by_path_or_by_name(tmp_path, monkeypatch):
    path = tmp_path / "configs/quick/small.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert find_config(str(path)) == path
    assert find_config(str(path.with_suffix(""))) == path
    assert find_config("quick/small", [tmp_path / "configs"]) == path
    assert find_config("quick/small.yaml", [tmp_path / "configs"]) == path
    with pytest.raises(InputError, match=r"no config quick/large, here or below .*configs"):
        find_config("quick/large", [tmp_path / "configs"])
    with pytest.raises(InputError, match=r"Lazy one, .* name its twin quick/small\.yaml$"):
        find_config("quick/small.py", [tmp_path / "configs"])


def _results(pretrained, scratch):
    run = {"AP50_tiny": 0.0, "AP25_tiny": 0.0, "AP75_tiny": -1.0}
    return {
        "pretrained": {**run, "AP50_tiny": pretrained},
        "scratch": {**run, "AP50_tiny": scratch},
        "protocol": {
            "detector": "FCOS, ResNet-18, strides 4, 8, 16",
            "policy": "msm",
            "test_annotations": "test.json",
            "test_tile": [640, 512],
            "test_overlap": [100, 100],
            "nms_iou": 0.5,
            "max_dets": 1000,
            "tiny_sizes_px": [1.0, 20.0],
            "train_tile": [320, 256],
            "steps": {"pretrain": 30, "finetune": 20, "scratch": 20},
            "images_per_step": {"pretrain": 8, "finetune": 4, "scratch": 4},
        },
    }


def test_the_table_shows_both_runs_and_the_protocol():
    text = results_table(_results(0.625, 0.5))
    for expected in (
        "pretrained (monotone Scale Match)",
        "62.50",
        "values x100",
        "640x512 tiles with overlap 100, 100",
        "pretraining: 30 steps of 8 images; fine-tuning: 20 steps of 4 tiles of 320x256",
        "not pretrained: the same 20 steps on the same tiles",
        "at most 1000 detections",
        "detector: FCOS, ResNet-18, strides 4, 8, 16",
        "The pretrained model is better here: AP50_tiny 62.50 against 50.00.",
    ):
        assert expected in text


@pytest.mark.parametrize("scratch", [0.5, 0.6])
def test_the_table_says_so_where_pretraining_did_not_help(scratch):
    assert "The pretrained model is NOT better here" in results_table(_results(0.5, scratch))
