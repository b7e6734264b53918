from dataclasses import replace

import pytest
import yaml

from data_samples import box, image, write_data
from scale_match.engine.data_doctor import DoctorSettings, diagnose
from scale_match.report.advised_config import ConfigFiles, advised_config


@pytest.fixture
def found(tmp_path):
    path = write_data(tmp_path, [image(1, "a.jpg", 1920, 1080)], [box(1, 1, [30, 9, 12, 24])])
    return diagnose(DoctorSettings(path)).diagnosis


def config_of(diagnosis, folder, **changes):
    advice = replace(diagnosis.advice, **changes)
    files = ConfigFiles(folder / "configs", folder / "gt.json", folder / 'a "b": #c')
    text = advised_config(diagnosis, advice, files, folder / "mine.yaml")
    return text, yaml.safe_load(text)


def test_the_settings_are_those_of_the_advice(found, tmp_path):
    text, content = config_of(found, tmp_path)
    ours = content["SCALE_MATCH"]
    anchors = found.advice.anchors
    assert content["MODEL"]["RETINANET"]["NUM_CLASSES"] == 1
    assert ours["MODEL"] == {
        "STRIDES": list(anchors.strides),
        "ANCHOR_SCALE": anchors.anchor_scale,
        "SCALES_PER_OCTAVE": 3,
        "ASPECT_RATIOS": list(anchors.aspect_ratios),
    }
    assert ours["TILES"] == {"ENABLED": True, "SIZE": [640, 512], "OVERLAP": [100, 100]}
    assert ours["TRAIN_TILES"] == ours["TILES"]
    assert ours["SOLVER"] == {"CLIP_GLOBAL_NORM": 1.0, "REFERENCE_BATCH": 2}
    assert content["SOLVER"] == {"IMS_PER_BATCH": 2, "BASE_LR": 0.01}
    assert text.startswith("# Advised by tools/analyze.py for gt.json: 1 objects in 1 images\n")


def test_names_with_special_characters_survive(found, tmp_path):
    _, content = config_of(found, tmp_path)
    assert content["SCALE_MATCH"]["DATA"]["TRAIN_IMAGES"] == str(tmp_path / 'a "b": #c')
    assert content["SCALE_MATCH"]["DATA"]["TEST_IMAGES"] == ""


def test_the_scale_is_a_number_with_a_point_as_the_key_wants_it(found, tmp_path):
    _, content = config_of(found, tmp_path)
    assert type(content["SCALE_MATCH"]["MODEL"]["ANCHOR_SCALE"]) is float


def test_the_small_model_takes_its_solver_from_its_base(found, tmp_path):
    memory = replace(found.advice.memory, backbone="r18")
    _, content = config_of(found, tmp_path, memory=memory)
    assert content["_BASE_"] == [
        "configs/Base-AdapRetinaNet.yaml",
        "configs/Base-R18.yaml",
    ]
    assert "SOLVER" not in content
    assert "SOLVER" not in content["SCALE_MATCH"]


def test_whole_images_switch_tiles_off(found, tmp_path):
    tiles = replace(found.advice.tiles, enabled=False)
    _, content = config_of(found, tmp_path, tiles=tiles, scale_match=None)
    assert content["SCALE_MATCH"]["TILES"] == {"ENABLED": False}
    assert "TRAIN_TILES" not in content["SCALE_MATCH"]
