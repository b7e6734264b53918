import copy
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from detectron2.modeling import build_model
from PIL import Image

from engine.tiny import RUNNERS, make_data
from scale_match.engine import command_line, lazy, preflight, trainer
from scale_match.engine.front_ends import LAZY, YACS
from scale_match.engine.preflight import find_problems, log_findings
from scale_match.engine.preflight_facts import (
    StepFacts,
    anchors_of,
    available_memory,
    limits_of,
    ranges_of,
    step_bytes,
)
from scale_match.engine.preflight_runs import LAZY_KEYS, YACS_KEYS
from scale_match.engine.step import TrainStep
from scale_match.inference.tiled_model import TiledModel
from small_detectors import small_faster_rcnn, small_fcos, small_retinanet

KEYS = {"yacs": YACS_KEYS, "lazy": LAZY_KEYS}
STEP = StepFacts(0.005, False, "sgd", 4, 4, False)


class StoppedError(Exception):
    """Instead of a training."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def facts(data, tmp_path, monkeypatch):
    """What the preflight of a run is told; the run then stops."""

    def facts(name, files=data, **changes):
        told = []

        def stop(run):
            told.append(run)
            raise StoppedError

        monkeypatch.setattr(trainer, "look_at", stop)
        monkeypatch.setattr(lazy, "look_at", stop)
        with pytest.raises(StoppedError):
            RUNNERS[name].train(files, tmp_path / "out", **changes)
        return told[0]

    return facts


def problems(run):
    return {found.check: found.problem for found in find_problems(run) if found.problem}


def skipped(run):
    return {found.check: found.skipped for found in find_problems(run) if found.skipped}


def logged(run, output):
    """Lines of the log file about a preflight: level and message."""
    log_findings(find_problems(run))
    text = (output / "out" / "log.txt").read_text()
    return re.findall(r"(\w+): (Preflight.*)", text)


@pytest.mark.parametrize("name", RUNNERS)
def test_a_training_without_a_problem_gets_one_line(facts, tmp_path, name):
    run = facts(name, width=64)
    assert logged(run, tmp_path) == [("INFO", "Preflight: no problems found in 9 checks")]


@pytest.mark.parametrize("name", RUNNERS)
def test_settings_that_do_not_fit_are_named(facts, name):
    keys = KEYS[name]
    candidates = {"yacs": "MODEL.RETINANET.TOPK_CANDIDATES_TEST"}.get(name, keys["candidates"])
    changes = {
        keys["levels"]: 64.0,
        keys["evaluator"]: [3, 4],
        keys["tiles"]: 3,
        candidates: 1,
        keys["rate"]: 0.1,
        keys["tile"]: [20, 20],
        keys["overlap"]: [4, 4],
    }
    found = problems(facts(name, **changes))
    assert list(found) == ["anchors", "tiles of test images", "detection limits", "learning rate"]
    assert f"{keys['levels']} makes anchors of 512 to" in found["anchors"]
    tiles = f"lie whole in no tile of 20x20 px ({keys['tile']}) with overlap 4x4 ({keys['overlap']}"
    assert tiles in found["tiles of test images"]
    assert found["detection limits"].startswith(
        f"{keys['evaluator']} (4 per category) and {keys['tiles']} (3 per image) are under the 5 "
        "boxes in the fullest image, "
    )
    assert f"; {keys['candidates']} (1 per tile) is under the 2" in found["detection limits"]
    assert f"{keys['rate']} 0.1 is large for AdamW" in found["learning rate"]


def test_a_resize_of_test_images_only_is_named(facts):
    changes = {
        "SCALE_MATCH.DATA.RESIZE": True,
        "INPUT.MIN_SIZE_TRAIN": (64,),
        "INPUT.MIN_SIZE_TEST": 128,
    }
    found = problems(facts("yacs", **changes))
    assert "resized by 1 in training and by 2 in testing" in found["training against test sizes"]


def test_scale_match_may_resize_training_images_as_it_likes(facts, data):
    policy = {"policy": "sm", "target": str(data[0])}
    for name in RUNNERS:
        assert "training against test sizes" not in problems(facts(name, **policy))


@pytest.mark.parametrize("name", RUNNERS)
def test_boxes_that_no_training_tile_holds_are_counted(facts, name):
    keys = {
        "yacs": ("SCALE_MATCH.TRAIN_TILES.ENABLED", "SCALE_MATCH.TRAIN_TILES.OVERLAP"),
        "lazy": ("dataloader.train.tiles.enabled", "dataloader.train.tiles.overlap"),
    }[name]
    changes = {keys[0]: True, keys[1]: [0, 0], KEYS[name]["training_tile"]: [9, 9]}
    found = problems(facts(name, **changes))["tiles of training images"]
    assert re.match(rf"\d+ of 30 boxes .* no tile of 9x9 px \({KEYS[name]['training_tile']}", found)


@pytest.mark.parametrize("name", RUNNERS)
def test_an_image_of_another_size_is_found_in_training_and_test_data(facts, tmp_path, name):
    files = make_data(tmp_path / "files")
    Image.new("RGB", (50, 40)).save(files[1] / "0003.jpg")
    found = problems(facts(name, files))
    for check in ("training images", "test images"):
        assert found[check].startswith("1 of 6 files looked at are wrong: ")
        assert found[check].endswith("0003.jpg has 50x40 pixels, its annotation says 96x64")


def test_a_tile_that_reaches_out_of_its_image_and_a_broken_file_are_found(tmp_path):
    path, broken = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (50, 40)).save(path)
    broken.write_text("no image")
    entry = {"file_name": str(path), "width": 20, "height": 20, "corner": (20, 10, 40, 41)}
    assert preflight._size_problem(entry).endswith("50x40 pixels, a tile reaches to 40x41")
    assert preflight._size_problem({**entry, "corner": (20, 10, 50, 40)}) is None
    assert "b.png" in preflight._size_problem({**entry, "file_name": str(broken)})


def test_a_step_that_does_not_fit_is_named(facts, monkeypatch):
    run = facts("yacs", width=64)
    assert not problems(run)
    monkeypatch.setattr(preflight, "available_memory", lambda device: 1e8)
    assert (
        "lower SOLVER.IMS_PER_BATCH or SCALE_MATCH.SOLVER.ACCUMULATE (raise it)"
        in (problems(run)["memory"])
    )
    monkeypatch.setattr(preflight, "available_memory", lambda device: None)
    assert "does not say" in skipped(run)["memory"]


@pytest.mark.parametrize("name", RUNNERS)
def test_a_rate_that_a_reference_batch_explains_is_no_problem(facts, name):
    sgd = {
        "yacs": {"SCALE_MATCH.SOLVER.OPTIMIZER": "sgd"},
        "lazy": {"optimizer._target_": "torch.optim.SGD"},
    }[name]
    run = facts(name, **sgd, **{KEYS[name]["rate"]: 1.0})
    assert run.step.optimizer == "sgd"
    assert "times the linear rule's" in problems(run)["learning rate"]
    # The file has 0.001 for batches of 2, as used: 0.4 times the rule, which is silent as well.
    run = facts(name, **sgd, **{KEYS[name]["reference_batch"]: 2})
    assert run.step.rate_is_explained
    run = replace(run, step=replace(run.step, rate=1.0))
    assert "learning rate" not in problems(run)
    # A rate of the command line is not for the reference batch.
    run = facts(name, **sgd, **{KEYS[name]["reference_batch"]: 2, KEYS[name]["rate"]: 1.0})
    assert "learning rate" in problems(run)


def test_a_training_without_a_test_set_skips_what_needs_one(facts):
    for name in RUNNERS:
        run = facts(name, test='""', test_images='""', width=64)
        assert skipped(run) == {
            "detection limits": "there is no test set",
            "training against test sizes": "there is no test set",
        }
        assert not problems(run)


class Drawing(T.Augmentation):
    """Draws from every generator, as augmentations of a user may."""

    def get_transform(self, image):
        draws = random.random() + np.random.random() + float(torch.rand(()))  # noqa: NPY002
        return T.HFlipTransform(image.shape[1]) if draws > 1 else T.NoOpTransform()


def random_states():
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
    return random.getstate(), numpy_state, torch.get_rng_state().tolist()


@pytest.mark.parametrize("name", RUNNERS)
def test_nothing_is_changed_by_looking(facts, name):
    run = facts(name)
    run.training.mapper.augmentations.augs.append(Drawing())
    run.model.train()
    weights, states = copy.deepcopy(run.model.state_dict()), random_states()
    find_problems(run)
    assert random_states() == states
    assert run.model.training
    for key, value in run.model.state_dict().items():
        assert torch.equal(value, weights[key]), key


def test_what_a_check_does_not_understand_is_said_and_stops_nothing(facts):
    run = facts("yacs", width=64)
    run.model.size_ranges = 5
    assert skipped(run) == {"anchors or ranges": "TypeError: 'int' object is not iterable"}


def test_data_of_another_kind_are_said_and_stop_nothing(facts):
    run = facts("yacs", width=64)
    strange = {key: value for key, value in run.training.entries[0].items() if key != "height"}
    run = replace(run, training=replace(run.training, entries=[strange]))
    assert skipped(run)["memory"] == skipped(run)["anchors"] == "KeyError: 'height'"


@pytest.mark.parametrize("name", RUNNERS)
def test_mosaics_are_recognised(facts, data, name):
    keys = {
        "yacs": ("SCALE_MATCH.AUGMENT.MOSAIC", "SCALE_MATCH.TARGET"),
        "lazy": (
            "dataloader.train.mosaic.canvas",
            "dataloader.train.mapper.scale_policy.target",
        ),
    }[name]
    run = facts(name, **{keys[0]: [64, 64], keys[1]: str(data[0])})
    assert run.training.mosaics
    assert not facts(name).training.mosaics


def test_boxes_without_ids_are_not_counted_in_tiles(facts):
    run = facts("yacs", width=64)
    nameless = {**run.training.entries[0], "annotations": [{"bbox": [1.0, 1.0, 9.0, 9.0]}]}
    training = replace(run.training, whole=(9, (64, 64)), entries=[nameless])
    run = replace(run, training=training)
    assert preflight._check_training_tiles(run).skipped == "the boxes have no ids"


def test_a_mapper_that_cannot_be_looked_through_and_mosaics_are_said(facts):
    run = facts("yacs", width=64)
    own = replace(run, training=replace(run.training, mapper=str))
    assert skipped(own)["anchors"] == "type cannot be looked through"
    mosaics = replace(run, training=replace(run.training, mosaics=True))
    assert skipped(mosaics) == dict.fromkeys(
        ("anchors", "training against test sizes", "memory"),
        "mosaics choose the sizes themselves",
    )


def test_problems_are_warnings_and_what_was_not_checked_is_said(facts, tmp_path):
    # 32 channels: there are no figures for its memory.
    (warning, skipped, last) = logged(facts("yacs", **{"SCALE_MATCH.EVAL.MAX_DETS": [2]}), tmp_path)
    assert warning[0] == "WARNING"
    assert warning[1].startswith("Preflight, detection limits: SCALE_MATCH.EVAL.MAX_DETS (2 per")
    assert skipped == ("INFO", "Preflight, not checked: memory (no figures for this backbone)")
    assert last == ("INFO", "Preflight: 1 problem found in 8 checks; --no-preflight skips it")


@pytest.mark.parametrize("name", RUNNERS)
def test_a_run_without_preflight_begins_without_looking(data, tmp_path, monkeypatch, name):
    def refuse(run):
        raise AssertionError("looked")

    def stop(step):
        raise StoppedError

    monkeypatch.setattr(trainer, "look_at", refuse)
    monkeypatch.setattr(lazy, "look_at", refuse)
    monkeypatch.setattr(TrainStep, "run_step", stop)
    runner = RUNNERS[name]
    with pytest.raises(StoppedError):
        runner.front_end.train(runner.config(data, tmp_path), preflight=False)
    with pytest.raises(AssertionError, match="looked"):
        runner.front_end.train(runner.config(data, tmp_path))


@pytest.mark.parametrize(("option", "expected"), [([], True), (["--no-preflight"], False)])
@pytest.mark.parametrize("name", RUNNERS)
def test_the_command_line_says_whether_to_look(monkeypatch, data, tmp_path, name, option, expected):
    asked = []
    front_end = {"yacs": YACS, "lazy": LAZY}[name]
    fake = replace(front_end, train=lambda cfg, **options: asked.append(options["preflight"]))
    monkeypatch.setattr(command_line, name.upper(), fake)
    monkeypatch.setattr(command_line, "launch", lambda run, *, args, **_: run(*args))
    argv = ["--config-file", str(RUNNERS[name].file), *option]
    argv += RUNNERS[name].overrides(data, tmp_path)
    command_line.run_training_tool(argv, fake, prog="tool", text="help")
    assert asked == [expected]


def stock_config(architecture):
    """A stock detectron2 model of a small backbone."""
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.RPN.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p3", "p4", "p5"]
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 1, 16
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    return cfg


@pytest.mark.parametrize(
    ("architecture", "positive", "limits"),
    [
        ("RetinaNet", 0.5, {"model": 100, "candidates": 1000}),
        ("GeneralizedRCNN", 0.7, {"model": 100, "proposals": 1000}),
    ],
)
def test_stock_models_tell_their_anchors_and_limits(architecture, positive, limits):
    model = build_model(stock_config(architecture))
    shapes, thresholds = anchors_of(model)
    assert (thresholds.positive, thresholds.best) == (positive, 0.0)
    assert shapes.strides == (8, 16, 32, 64, 128)
    assert shapes.sizes[[0, -1]] == pytest.approx([32, 512], rel=1e-5)
    assert ranges_of(model) is None
    named = {name: name for name in YACS_KEYS}
    assert {limit.key: limit.value for limit in limits_of(model, None, named)} == limits


def test_our_detectors_tell_their_anchors_or_ranges():
    shapes, thresholds = anchors_of(small_retinanet())
    assert (thresholds.positive, thresholds.best) == (0.5, 0.0)
    assert shapes.shapes[0].shape == (9, 2)
    _, thresholds = anchors_of(small_faster_rcnn())
    assert (thresholds.positive, thresholds.best) == (0.7, 0.3)
    fcos = small_fcos()
    assert anchors_of(fcos) is None
    assert ranges_of(fcos) == ([(-1.0, 16.0), (16.0, np.inf)], [4.0, 8.0])


def limits(tiled, max_dets=(200, 1000)):
    named = {name: name for name in YACS_KEYS}
    return {limit.key: (limit.value, limit.place) for limit in limits_of(tiled, max_dets, named)}


def test_tiles_decide_which_limit_counts():
    model = small_retinanet()
    assert limits(model) == {
        "evaluator": (1000, "category"),
        "model": (1000, "image"),
        "candidates": (2000, "image"),
    }
    on_tiles = {
        "evaluator": (1000, "category"),
        "tiles": (300, "image"),
        "candidates": (2000, "tile"),
    }
    # One suppression for all tiles sets the model's own limit aside.
    assert limits(TiledModel(model, max_detections=300)) == on_tiles
    per_tile = TiledModel(model, max_detections=300, merge="per_tile")
    assert limits(per_tile) == {**on_tiles, "model": (1000, "tile")}
    per_tile = TiledModel(model, max_detections=300, merge="per_tile", max_detections_per_tile=50)
    assert limits(per_tile) == {**on_tiles, "per_tile": (50, "tile")}


def test_a_model_that_keeps_all_detections_has_no_limit_of_its_own():
    assert "model" not in limits(small_faster_rcnn())
    assert limits(small_faster_rcnn(max_detections_per_image=70))["model"] == (70, "image")


def test_the_boxes_of_a_tile_are_those_whose_centres_lie_in_it():
    tiled = TiledModel(small_retinanet(), tile=(50, 50), overlap=(10, 10))
    boxes = [{"bbox": [x, 5.0, 10.0, 10.0], "bbox_mode": 1} for x in (0.0, 10.0, 40.0, 60.0)]
    entry = {"width": 90, "height": 50, "annotations": boxes}
    assert preflight._most_in_a_tile(entry, tiled) == 3  # 45 lies in both
    assert preflight._most_in_a_tile({**entry, "annotations": []}, tiled) == 0


def test_the_evaluator_counts_the_boxes_of_a_category():
    boxes = [{"category_id": category, "gt_ignore": category == 7} for category in (0, 2, 2, 7, 7)]
    assert preflight._most_of_a_category({"annotations": boxes}) == 2
    assert preflight._most_of_a_category({"annotations": boxes[3:]}) == 0
    assert preflight._most_of_a_category({}) == 0


def test_the_fullest_of_a_category_may_be_another_image(facts):
    run = facts("yacs", **{"SCALE_MATCH.EVAL.MAX_DETS": [4]})
    mixed = [{"file_name": f"{i}.jpg", "annotations": boxes_of(0, 1, 2, 3, 4, 5)} for i in range(3)]
    crowd = {"file_name": "crowd.jpg", "annotations": boxes_of(1, 1, 1, 1, 1)}
    entries = [{"width": 64, "height": 64, **each} for each in (*mixed, crowd)]
    found = preflight._check_limits(replace(run, testing=replace(run.testing, entries=entries)))
    assert found.problem == (
        "SCALE_MATCH.EVAL.MAX_DETS (4 per category) is under the 5 boxes of one category in "
        "crowd.jpg: set it to 5 or more"
    )


def boxes_of(*categories):
    box = {"bbox": [1.0, 1.0, 5.0, 5.0], "bbox_mode": 1}
    return [{**box, "category_id": category} for category in categories]


def test_the_greatest_limit_of_the_evaluator_counts():
    assert limits(small_retinanet(), max_dets=(1000, 200))["evaluator"] == (1000, "category")


def test_memory_is_estimated_for_backbones_that_were_measured(facts):
    assert step_bytes(small_retinanet(), 1e6, 1, half=False) is None
    model = facts("yacs", width=64).model
    one, two = (step_bytes(model, 327680, images, half=False) for images in (1, 2))
    assert 0 < 2 * one - two == pytest.approx(1.3 * 190e6)  # what does not grow with the batch
    half = step_bytes(model, 327680, 2, half=True)
    assert half == pytest.approx(one)


def test_a_machine_says_how_much_memory_there_is():
    available = available_memory(torch.device("cpu"))
    assert available is None or 1e8 < available < 1e14


def test_the_limits_of_a_first_stage_have_its_own_names():
    found = limits(small_faster_rcnn())

    assert "candidates" not in found
    assert found["rpn_candidates"] == (1000, "image")
    assert found["proposals"] == (1000, "image")
