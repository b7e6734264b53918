"""The check of the configs, and the tool around it."""

import importlib.util
import json
import math
import pickle
import shutil

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer

from scale_match.core.errors import InputError
from scale_match.engine.config_check import (
    ConfigChecker,
    ConfigResult,
    code_hash,
    config_files,
    differing_twins,
)
from scale_match.engine.config_check_data import (
    CHECK_TILE,
    write_backbone_file,
    write_check_data,
)
from scale_match.modeling.backbone import build_resnet
from scale_match.modeling.levels import PyramidLevels

# A detector each, in small; RetinaNet comes below.
FAST = (
    "quick/faster_rcnn_r18_fpn_20it_toy_sm.py",
    "quick/adap_fcos_r18_fpn_20it_toy.yaml",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checker(repository, tmp_path_factory):
    return ConfigChecker(repository / "configs", tmp_path_factory.mktemp("check"))


@pytest.mark.parametrize("name", FAST)
def test_a_config_works(checker, repository, name, capsys):
    result = checker.check(repository / "configs" / name)

    assert result.error == "", result.details
    assert result.config == name
    assert result.detector.startswith("ScaleMatch")
    assert math.isfinite(result.loss)
    assert result.detections > 0
    assert capsys.readouterr().out == ""
    assert not list(checker._scratch.glob("run/*"))


def test_twins_that_start_from_a_pretraining_have_the_same_loss(checker, repository):
    """The weights of 80 classes are made, saved and loaded; the classifier starts anew."""
    stem = repository / "configs/tiny_person/adap_retinanet_c_r18_fpn_1x_tinyperson_msm"
    results = [checker.check(stem.with_suffix(end)) for end in (".yaml", ".py")]

    assert differing_twins(results) == []
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-6)


def result_of(config, loss=1.0, error=""):
    return ConfigResult(config, error, "", loss, 1, 0.1, 1, "f")


def test_twins_with_other_losses_are_named():
    results = [result_of("a/b.yaml"), result_of("a/b.py", 1.1), result_of("a/c.py", 7.0)]
    assert differing_twins(results) == ["the twins of a/b have the losses 1.0 and 1.1"]
    assert differing_twins([result_of("a/b.yaml"), result_of("a/b.py", None, "no")]) == []


def test_what_goes_wrong_is_a_result(repository, tmp_path):
    broken = tmp_path / "configs/quick/broken.yaml"
    broken.parent.mkdir(parents=True)
    shutil.copytree(repository / "configs/common", tmp_path / "configs/common")
    broken.write_text("MODEL:\n  META_ARCHITECTUR: x\n")
    result = ConfigChecker(tmp_path / "configs", tmp_path / "scratch").check(broken)
    assert result.error.startswith("InputError: ")
    assert "META_ARCHITECTUR" in result.error
    assert "Traceback" in result.details
    assert result.loss is None


def test_the_leaves_are_found_with_twins_side_by_side(repository):
    found = [path.name for path in config_files(repository / "configs", only="quick/faster")]
    assert found[:2] == ["faster_rcnn_r18_fpn_20it_toy.yaml", "faster_rcnn_r18_fpn_20it_toy.py"]
    everything = config_files(repository / "configs")
    assert not any(path.name.startswith("Base") for path in everything)
    assert not any("common" in path.parts for path in everything)
    lazy = config_files(repository / "configs", front_end="lazy")
    assert len(everything) == 2 * len(lazy)
    with pytest.raises(InputError, match=r"no config below .* has 'yolo' in its name"):
        config_files(repository / "configs", only="yolo")


def test_the_fingerprint_sees_config_and_code(repository, tmp_path):
    first, second = sorted((repository / "configs/quick").glob("adap_retinanet*toy.yaml"))
    one = ConfigChecker(repository / "configs", tmp_path, code="1")
    other = ConfigChecker(repository / "configs", tmp_path, code="2")
    assert one.fingerprint(first) == one.fingerprint(first)
    assert len({one.fingerprint(first), one.fingerprint(second), other.fingerprint(first)}) == 3
    assert code_hash() == code_hash()


def test_the_drawn_data_have_the_categories_asked_for(tmp_path):
    data = write_check_data(tmp_path, categories=3)
    whole, tiles = (json.loads(path.read_text()) for path in (data.whole, data.tiles))
    assert len(whole["categories"]) == 3
    assert {entry["category_id"] for entry in whole["annotations"]} == {1, 2, 3}
    assert all((tile["width"], tile["height"]) == CHECK_TILE for tile in tiles["images"])
    assert len(tiles["images"]) == 2 * len(whole["images"])
    assert len(json.loads(data.test_whole.read_text())["images"]) == 1
    assert len(list(data.images.iterdir())) == len(whole["images"])


@pytest.mark.parametrize("style", ["torchvision", "caffe"])
def test_random_weights_in_the_form_of_the_zoo_load_and_do_not_explode(tmp_path, style):
    path = tmp_path / "R-50.pkl"
    write_backbone_file(path, style)
    content = pickle.loads(path.read_bytes())
    assert ("conv1_w" in content) == (style == "caffe")
    # detectron2's own checkpointer, not ours
    net = build_resnet(levels=PyramidLevels(), stride_in_1x1=style == "caffe").eval()
    incompatible = DetectionCheckpointer(net).load(str(path))
    assert incompatible["__author__"] in ("torchvision", "Caffe2")
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.normal(size=(1, 3, 64, 64))).float()
    with torch.no_grad():
        features = net(pixels * (57.0 if style == "caffe" else 1.0))
    for value in features.values():
        assert 0.1 < float(value.std()) < 10.0


@pytest.fixture
def tool(repository, monkeypatch):
    """The tool with a stand-in for the check."""
    spec = importlib.util.spec_from_file_location(
        "check_configs_tool", repository / "tools/check_configs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.checked = []

    def check(self, path):
        name = path.relative_to(self._configs).as_posix()
        module.checked.append(name)
        error = "ValueError: no" if "fcos" in name else ""
        fingerprint = self.fingerprint(path)
        loss = None if error else 1.0
        return ConfigResult(
            name, error, "X", loss, 5, 0.1, 10**9, fingerprint, error and "Traceback"
        )

    monkeypatch.setattr(ConfigChecker, "check", check)
    return module


def test_a_second_call_checks_only_what_failed_or_is_new(tool, tmp_path, capsys):
    output = ["--output", str(tmp_path / "results.json")]
    tool.main(["--only", "quick/faster_rcnn_r18_fpn_20it_toy.", *output])
    assert len(tool.checked) == 2
    assert "2 configs, 0 failed, 0 differ from their twins" in capsys.readouterr().out

    tool.main(["--only", "quick/faster_rcnn_r18_fpn_20it", *output])
    assert len(tool.checked) == 4
    said = capsys.readouterr().out
    assert said.count("(before)") == 2
    assert "[4/4] quick/faster_rcnn_r18_fpn_20it_toy_sm.py" in said

    for _ in range(2):
        assert tool.run(["--only", "quick/adap_fcos_r18_fpn_20it_toy.yaml", *output]) == 1
    assert tool.checked[-2:] == ["quick/adap_fcos_r18_fpn_20it_toy.yaml"] * 2
    heard = capsys.readouterr()
    assert "FAILED ValueError: no" in heard.out
    assert "Traceback" in heard.err


def test_the_code_changed_so_everything_is_checked_again(tool, tmp_path, monkeypatch):
    arguments = ["--only", "20it_toy.yaml", "--front-end", "yacs", "--output"]
    arguments += [str(tmp_path / "results.json"), "--only", "faster_rcnn_r18_fpn_20it_toy.yaml"]
    tool.main(arguments)
    monkeypatch.setattr(tool, "code_hash", lambda: "another")
    tool.main(arguments)
    assert len(tool.checked) == 2


def test_another_file_in_place_of_the_results_is_an_error(tool, tmp_path):
    path = tmp_path / "results.json"
    path.write_text('[{"x": 1}]')
    with pytest.raises(InputError, match=r"results\.json holds no results of check_configs\.py"):
        tool.main(["--only", "quick", "--output", str(path)])


def test_the_exit_code_tells_failure_from_bad_input(tool, capsys):
    assert tool.run(["--only", "quick/faster_rcnn_r18_fpn_20it_toy.py"]) == 0
    assert tool.run(["--only", "yolo"]) == 2
    assert capsys.readouterr().err.startswith("error: no config below")
