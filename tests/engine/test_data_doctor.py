import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.modeling import build_model
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage

from config_facts import lazy_facts, yacs_facts
from data_samples import box, image, random_objects, write_data, write_image
from scale_match.core.anchor_recall import best_anchor_ious
from scale_match.core.data_advice import training_bytes
from scale_match.core.errors import InputError
from scale_match.engine.data_doctor import (
    DoctorSettings,
    check_strict,
    diagnose,
    write_advised_config,
)
from scale_match.engine.lazy_config import lazy_config
from scale_match.engine.lazy_schedule import settle_schedule
from scale_match.engine.registration import register_all
from scale_match.engine.session import prepare, yacs_config
from scale_match.engine.trainer import train
from scale_match.modeling.levels import PyramidLevels
from scale_match.report.advised_config import ConfigFiles
from scale_match.report.data_report import data_report
from toy import make_toy_dataset

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_the_best_anchors_are_those_of_the_model():
    pyramid, side = PyramidLevels(strides=(4, 8, 16)), 128
    objects = random_objects(0, 60, sides=(side, side), low=3.0, high=50.0)
    generator = DefaultAnchorGenerator(
        sizes=[list(sizes) for sizes in pyramid.anchor_sizes],
        aspect_ratios=list(pyramid.aspect_ratios),
        strides=list(pyramid.strides),
        offset=0.0,
    )
    maps = [torch.zeros(1, 1, side // stride, side // stride) for stride in pyramid.strides]
    anchors = Boxes.cat(generator(maps))
    corners = objects.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    expected = pairwise_iou(Boxes(torch.tensor(corners).float()), anchors).amax(dim=1)
    found = best_anchor_ious(pyramid, objects.boxes, objects.image_sides[objects.rows])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("strides", [(4, 8, 16, 32, 64), (8, 16, 32)])
def test_the_memory_is_what_autograd_keeps(strides, tmp_path):
    register_all()
    cfg = yacs_config(CONFIGS / "tiny_person/adap_retinanet_r18_fpn_1x_tinyperson.yaml")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "SCALE_MATCH.MODEL.STRIDES", list(strides)])
    model = build_model(cfg)
    own = {
        tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())
    }
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor keeps its address
        return tensor

    instances = Instances((128, 192))
    instances.gt_boxes = Boxes(torch.tensor([[20.0, 20.0, 40.0, 44.0]]))
    instances.gt_classes = torch.zeros(1, dtype=torch.long)
    sample = {"image": torch.zeros(3, 128, 192, dtype=torch.uint8), "instances": instances}
    with EventStorage(0), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = model([sample])
    assert losses
    measured = sum(size for size, _ in kept.values())
    expected = training_bytes("r18", PyramidLevels(strides=strides), 128 * 192, 1)
    assert measured == pytest.approx(expected, rel=0.05)


def make_large(folder):
    """Six images that are larger than a tile, with objects of 6 to 30 % of their sides."""
    return make_toy_dataset(folder, num_images=2, width=960, height=256, boxes_per_image=12)


@pytest.mark.parametrize(("make", "tiles"), [(make_toy_dataset, False), (make_large, True)])
def test_the_advised_config_trains(make, tiles, tmp_path):
    annotations, images = make(tmp_path / "data")
    diagnosis = diagnose(DoctorSettings(annotations, images, backbone="r18")).diagnosis
    output = tmp_path / "mine.yaml"
    files = ConfigFiles(CONFIGS, annotations, images)
    write_advised_config(diagnosis, files, output)
    cfg = yacs_config(output)
    assert tiles == cfg.SCALE_MATCH.TILES.ENABLED == cfg.SCALE_MATCH.TRAIN_TILES.ENABLED
    if tiles:
        sides = cfg.SCALE_MATCH.TILES.SIZE, cfg.SCALE_MATCH.TILES.OVERLAP
        assert sides == (cfg.SCALE_MATCH.TRAIN_TILES.SIZE, cfg.SCALE_MATCH.TRAIN_TILES.OVERLAP)
    anchors = diagnosis.advice.anchors
    assert list(anchors.strides) == cfg.SCALE_MATCH.MODEL.STRIDES
    cfg.merge_from_list(
        ["SOLVER.MAX_ITER", 1, "SOLVER.IMS_PER_BATCH", 1, "DATALOADER.NUM_WORKERS", 0]
    )
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    train(cfg, resume=False)
    assert (tmp_path / "run" / "model_final.pth").is_file()


@pytest.mark.parametrize("backbone", ["r18", "r50"])
@pytest.mark.parametrize("make", [make_toy_dataset, make_large])
def test_the_lazy_form_says_the_same(make, backbone, tmp_path):
    annotations, images = make(tmp_path / "data")
    diagnosis = diagnose(DoctorSettings(annotations, images, backbone=backbone)).diagnosis
    files = ConfigFiles(CONFIGS, annotations, images, annotations, images)
    for name in ("mine.yaml", "mine.py"):
        write_advised_config(diagnosis, files, tmp_path / name)
    found = [yacs_facts(tmp_path / "mine.yaml"), lazy_facts(tmp_path / "mine.py")]
    assert found[0] == found[1]


def test_a_config_for_a_gpu_builds_with_as_many_classes_as_categories(tmp_path):
    annotations, images = make_toy_dataset(tmp_path / "data", categories=3)
    diagnosis = diagnose(DoctorSettings(annotations, images)).diagnosis
    output = tmp_path / "mine.yaml"
    test_set = (annotations, images)
    write_advised_config(diagnosis, ConfigFiles(CONFIGS, annotations, images, *test_set), output)
    cfg = yacs_config(output, ["MODEL.DEVICE", "cpu"])
    register_all()
    assert build_model(cfg).num_classes == 3
    assert str(annotations) == cfg.SCALE_MATCH.DATA.TEST_ANNOTATIONS
    assert cfg.SOLVER.BASE_LR == 0.01


@pytest.mark.parametrize(("batch", "rate", "warm_up"), [(2, 0.01, 500), (8, 0.04, 125)])
def test_the_advised_learning_rate_follows_the_batch(batch, rate, warm_up, tmp_path):
    annotations, images = make_toy_dataset(tmp_path / "data")
    diagnosis = diagnose(DoctorSettings(annotations, images)).diagnosis
    for name in ("mine.yaml", "mine.py"):
        write_advised_config(diagnosis, ConfigFiles(CONFIGS, annotations, images), tmp_path / name)
    words = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "run")]
    words += [] if batch == 2 else ["SOLVER.IMS_PER_BATCH", str(batch)]
    solver = prepare(yacs_config(tmp_path / "mine.yaml", words), training=True).SOLVER
    assert (pytest.approx(rate), warm_up) == (solver.BASE_LR, solver.WARMUP_ITERS)
    words = [] if batch == 2 else [f"dataloader.train.total_batch_size={batch}"]
    cfg = lazy_config(tmp_path / "mine.py", words)
    settle_schedule(cfg, images_per_epoch=6, iterations_per_epoch=6 // batch + 1)
    assert cfg.optimizer.lr == pytest.approx(rate)
    assert cfg.lr_multiplier.warmup_iters == warm_up


def test_a_config_inside_the_checkout_names_its_bases_relatively(tmp_path):
    configs = tmp_path / "checkout" / "configs"
    annotations, images = make_toy_dataset(tmp_path / "data")
    diagnosis = diagnose(DoctorSettings(annotations, images)).diagnosis
    inside, outside = configs / "mine" / "a.yaml", tmp_path / "b.yaml"
    for output in (inside, outside):
        write_advised_config(diagnosis, ConfigFiles(configs, annotations, images), output)
    assert yaml.safe_load(inside.read_text())["_BASE_"] == ["../Base-AdapRetinaNet.yaml"]
    bases = yaml.safe_load(outside.read_text())["_BASE_"]
    assert bases == [str(configs / "Base-AdapRetinaNet.yaml")]


def test_tiles_are_trained_on_as_they_are(tmp_path):
    write_image(tmp_path / "a.png", 200, 100)
    tiles = [image(k, "a.png", 120, 100, corner=[x, 0, x + 120, 100]) for k, x in ((1, 0), (2, 80))]
    annotations = write_data(tmp_path, tiles, [box(1, 1, [5, 5, 20, 20]), box(2, 2, [5, 5, 9, 9])])
    diagnosis = diagnose(DoctorSettings(annotations, tmp_path)).diagnosis
    assert diagnosis.problems == ()
    output = tmp_path / "mine.yaml"
    write_advised_config(diagnosis, ConfigFiles(CONFIGS, annotations, tmp_path), output)
    content = yaml.safe_load(output.read_text())["SCALE_MATCH"]
    assert content["DATA"]["TRAIN_ANNOTATIONS"] == str(annotations)
    assert "TILES" not in content
    assert "the images are tiles already" in data_report(diagnosis)


def test_data_that_would_stop_a_training_get_no_config(tmp_path):
    annotations = write_data(tmp_path, [image(1, "gone.jpg")], [box(1, 1, [5, 5, 9, 9])])
    diagnosis = diagnose(DoctorSettings(annotations, tmp_path)).diagnosis
    files = ConfigFiles(CONFIGS, annotations, tmp_path)
    with pytest.raises(
        InputError, match=r"cannot be trained on as it is \(image files that are missing: 1\)"
    ):
        write_advised_config(diagnosis, files, tmp_path / "mine.yaml")
    with pytest.raises(InputError, match=r"must name a \.yaml or \.py file, received .*mine\.txt"):
        write_advised_config(diagnosis, files, tmp_path / "mine.txt")
    assert list(tmp_path.iterdir()) == [annotations]


def test_data_without_objects_get_no_config(tmp_path):
    annotations = write_data(tmp_path, [image(1, "a.jpg")], [box(1, 1, [5, 5, 9, 9], ignore=1)])
    found = diagnose(DoctorSettings(annotations))
    diagnosis, objects = found.diagnosis, found.objects
    assert (diagnosis.advice, len(objects)) == (None, 0)
    assert "NOT USABLE: there is no object" in data_report(diagnosis)
    with pytest.raises(InputError, match="has no object to train on: no config"):
        write_advised_config(
            diagnosis, ConfigFiles(CONFIGS, annotations, tmp_path), tmp_path / "mine.yaml"
        )


def test_uncertain_boxes_are_no_objects_but_count_for_scale_match(tmp_path):
    boxes = [box(1, 1, [5, 5, 16, 16]), box(2, 1, [5, 5, 4, 4], uncertain=True)]
    annotations = write_data(tmp_path, [image(1, "a.jpg")], boxes)
    found = diagnose(DoctorSettings(annotations))
    diagnosis, objects = found.diagnosis, found.objects
    assert objects.sizes.tolist() == [16.0]
    assert np.exp(diagnosis.advice.scale_match.mu_sigma[0]) == pytest.approx(8.0)


def test_a_source_takes_the_place_of_coco(tmp_path):
    boxes = [box(1, 1, [5, 5, 40, 40])]
    source = write_data(tmp_path, [image(1, "a.jpg")], boxes).rename(tmp_path / "source.json")
    annotations = write_data(tmp_path, [image(1, "a.jpg")], [box(1, 1, [5, 5, 4, 4])])
    diagnosis = diagnose(DoctorSettings(annotations, source=source)).diagnosis
    advice = diagnosis.advice.scale_match
    assert (advice.source, advice.source_size) == ("source.json", pytest.approx(40.0))


def test_a_folder_that_is_none_is_refused(tmp_path):
    annotations = write_data(tmp_path, [image(1, "a.jpg")], [box(1, 1, [5, 5, 4, 4])])
    with pytest.raises(InputError, match=r"--images .*gt\.json is not a folder"):
        diagnose(DoctorSettings(annotations, annotations))


def test_strict_accepts_no_problem_at_all(tmp_path):
    images = [image(1, "a.jpg")]
    sound = diagnose(
        DoctorSettings(write_data(tmp_path, images, [box(1, 1, [5, 5, 4, 4])]))
    ).diagnosis
    check_strict(sound)
    flawed = diagnose(
        DoctorSettings(write_data(tmp_path, images, [box(9, 1, [5, 5, 0, 4])]))
    ).diagnosis
    with pytest.raises(
        InputError, match=r"gt\.json: boxes of zero width or height: 1, first 9; --strict"
    ):
        check_strict(flawed)


def test_what_is_found_fits_into_json(tmp_path):
    annotations, images = make_toy_dataset(tmp_path / "data")
    diagnosis = diagnose(DoctorSettings(annotations, images)).diagnosis
    again = json.loads(json.dumps(diagnosis.as_json(), allow_nan=False))
    assert again["advice"]["anchors"]["recall"]["all"] == diagnosis.advice.anchors.recall["all"]
    assert again["summary"]["num_objects"] == 20
