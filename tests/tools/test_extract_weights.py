import pickle

import extract_weights
import numpy as np
import pytest
import torch
from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names

from engine.tiny import LAZY_FILE, YACS_FILE
from engine.weight_samples import detector, state_of, unequal
from oracles import foreign_checkpoints as foreign
from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.ema import WeightAverage
from scale_match.engine.weight_extraction import model_of_config

SMALL = ["MODEL.FPN.OUT_CHANNELS", "32", "SCALE_MATCH.MODEL.STRIDES", "[8,16]"]


class Optimizer:
    """Something else with a state, as large as a model."""

    def state_dict(self):
        return {"momentum": torch.zeros(100_000)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training's checkpoint of a RetinaNet."""
    folder = tmp_path_factory.mktemp("trained")
    model = detector("retinanet")
    AtomicCheckpointer(model, folder, trainer=Optimizer()).save("model_final", iteration=9)
    return folder / "model_final.pth"


def start(path, model, **options):
    checkpointer = AtomicCheckpointer(model)
    checkpointer.load(path, checkpointables=[], **options)
    return checkpointer.report


def test_the_weights_of_a_training_come_out_whole_and_alone(trained, tmp_path, capsys):
    output = tmp_path / "new" / "weights.pth"
    extract_weights.main([str(trained), str(output)])
    assert set(torch.load(output)) == {"model", "scale_match"}
    model = detector("retinanet", seed=1)
    assert start(output, model, all_needed=True).notes == ()
    assert unequal(state_of(detector("retinanet")), model.state_dict()) == []
    said = capsys.readouterr().out
    count = len(model.state_dict())
    assert f"{count}  in detectron2's names" in said
    before, after = trained.stat().st_size, output.stat().st_size
    assert after < before - 300_000
    assert f"{count} parameters and buffers, {after / 1e6:.1f} MB (the input has " in said
    assert f"{before / 1e6:.1f} MB)" in said


def test_what_comes_out_still_knows_its_anchors(trained, tmp_path):
    extract_weights.main([str(trained), str(tmp_path / "weights.pth")])
    with pytest.raises(InputError, match=r"an anchor scale of 2, this model has 4"):
        start(tmp_path / "weights.pth", detector("retinanet", anchor_scale=4))


def test_layers_of_the_classes_can_be_left_out(trained, tmp_path, capsys):
    output = tmp_path / "weights.pth"
    extract_weights.main([str(trained), str(output), "--without-classes"])
    left_out = set(torch.load(trained)["model"]) - set(torch.load(output)["model"])
    assert left_out == {"head.cls_score.weight", "head.cls_score.bias"}
    assert "2  left out as asked (without classes)" in capsys.readouterr().out
    report = start(output, detector("retinanet", classes=7))
    assert report.missing == ("head.cls_score.weight", "head.cls_score.bias")


def test_the_backbone_alone_fits_a_model_of_other_anchors(trained, tmp_path):
    output = tmp_path / "weights.pth"
    extract_weights.main([str(trained), str(output), "--without-head"])
    assert all(name.startswith("backbone.") for name in torch.load(output)["model"])
    report = start(output, detector("retinanet", anchor_scale=4))
    assert report.dropped == report.reset == ()


@pytest.mark.parametrize("project", ["mmdetection", "maskrcnn_benchmark"])
def test_checkpoints_of_other_projects_come_out_in_detectron2_names(tmp_path, project, capsys):
    state = state_of(detector("faster_rcnn"))
    if project == "mmdetection":
        head = foreign.mmdetection_faster_rcnn_head(state)
        file = foreign.mmdetection_file(state, "small", head)
    else:
        file = foreign.benchmark_file(state, "small", foreign.benchmark_faster_rcnn_head(state))
    torch.save(file, tmp_path / "theirs.pth")
    extract_weights.main([str(tmp_path / "theirs.pth"), str(tmp_path / "ours.pth")])
    assert f"(names of {project})" in capsys.readouterr().out
    written = torch.load(tmp_path / "ours.pth")["model"]
    compared = {name: value for name, value in state.items() if "num_batches" not in name}
    assert set(compared) <= set(written)
    assert all("running_var" in name for name in unequal(compared, written))


def test_a_part_of_a_tensor_is_not_saved_with_the_whole(tmp_path):
    state = {"backbone.body.x": torch.zeros(1)}
    state["roi_heads.box.predictor.bbox_pred.weight"] = torch.zeros(100_000)[:8].reshape(8, 1)
    torch.save({"model": state}, tmp_path / "theirs.pth")
    extract_weights.main([str(tmp_path / "theirs.pth"), str(tmp_path / "ours.pth")])
    assert (tmp_path / "ours.pth").stat().st_size < 5000


def caffe2_arrays():
    """As MSRA's backbones are pickled."""
    return {
        "conv1_w": np.full((4, 3, 7, 7), 0.5, np.float32),
        "res_conv1_bn_s": np.ones(4, np.float32),
        "res2_0_branch2a_w": np.ones((4, 4, 1, 1), np.float32),
        "fc1000_w": np.zeros((1000, 8), np.float32),
        "conv1_w_momentum": np.zeros(1, np.float32),
    }


def test_a_backbone_of_detectron2s_zoo_comes_out_in_full_names(tmp_path, capsys):
    (tmp_path / "R.pkl").write_bytes(pickle.dumps(caffe2_arrays()))
    extract_weights.main([str(tmp_path / "R.pkl"), str(tmp_path / "R.pth")])
    written = torch.load(tmp_path / "R.pth")["model"]
    assert set(written) == {
        "backbone.bottom_up.stem.conv1.weight",
        "backbone.bottom_up.stem.conv1.norm.weight",
        "backbone.bottom_up.res2.0.conv1.weight",
    }
    arrays = {name: torch.zeros(1) for name in caffe2_arrays() if "momentum" not in name}
    names, _ = convert_c2_detectron_names(arrays)
    assert f"left out: {next(name for name in names if 'fc' in name)}" in capsys.readouterr().out


def test_the_average_of_a_training_can_be_taken(trained, tmp_path):
    content = torch.load(trained)
    average = {name: value + 1 for name, value in content["model"].items()}
    content["trainer"] = {"hooks": {WeightAverage.__qualname__: {"updates": 3, "average": average}}}
    torch.save(content, tmp_path / "averaged.pth")
    extract_weights.main([str(tmp_path / "averaged.pth"), str(tmp_path / "out.pth"), "--ema"])
    assert unequal(average, torch.load(tmp_path / "out.pth")["model"]) == []
    with pytest.raises(InputError, match=r"model_final\.pth holds no moving average.*leave --ema"):
        extract_weights.main([str(trained), str(tmp_path / "out.pth"), "--ema"])


@pytest.fixture(scope="module")
def of_config(tmp_path_factory):
    """A checkpoint of the quick config's model with few channels."""
    folder = tmp_path_factory.mktemp("config")
    AtomicCheckpointer(model_of_config(YACS_FILE, SMALL), folder).save("model_final")
    return folder / "model_final.pth"


def test_the_model_of_a_config_says_what_it_takes(of_config, tmp_path, capsys):
    output = str(tmp_path / "out.pth")
    lazy = ["model.backbone.out_channels=32", "model.levels.strides=[8,16]"]
    for file, opts in ((YACS_FILE, SMALL), (LAZY_FILE, lazy)):
        extract_weights.main([str(of_config), output, "--config", str(file), "--opts", *opts])
        assert unequal(torch.load(of_config)["model"], torch.load(output)["model"]) == []
        assert "0  dropped, start anew" in capsys.readouterr().out


def test_a_model_with_other_strides_gets_the_backbone_only(of_config, tmp_path, capsys):
    words = [str(of_config), str(tmp_path / "out.pth"), "--config", str(YACS_FILE)]
    opts = ["--opts", "MODEL.FPN.OUT_CHANNELS", "32", "SCALE_MATCH.MODEL.STRIDES", "[4,8,16]"]
    with pytest.raises(InputError, match=r"strides \[8, 16\], this model has \[4, 8, 16\]"):
        extract_weights.main([*words, *opts])
    assert not (tmp_path / "out.pth").exists()
    extract_weights.main([*words, "--reset-head", *opts])
    assert "of a head that does not fit, start anew: head." in capsys.readouterr().out
    written = torch.load(tmp_path / "out.pth")["model"]
    assert all(name.startswith("backbone.") for name in written)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.pth", "out.pth"], "weight file none.pth does not exist"),
        (["{trained}", "out.pkl"], "weights are written to a .pth file, not to out.pkl"),
        (["{trained}", "{trained}"], "is the input itself: name another file"),
        (["{trained}", "out.pth", "--reset-head"], "are about a model: name it with --config"),
        (["{trained}", "out.pth", "--config", "none.yaml"], "none.yaml"),
        (["{empty}", "out.pth"], "is cut off or not a checkpoint"),
        (["{cut}", "out.pth"], "is cut off or not a checkpoint"),
        (["{head}", "out.pth", "--without-head"], "has nothing to write"),
    ],
)
def test_bad_input_gets_one_sentence_and_writes_nothing(
    trained, tmp_path, monkeypatch, capsys, words, sentence
):
    monkeypatch.chdir(tmp_path)
    files = {"trained": trained, **{name: tmp_path / f"{name}.pth" for name in ("empty", "cut")}}
    files["head"] = tmp_path / "head.pth"
    files["empty"].write_bytes(b"")
    files["cut"].write_bytes(trained.read_bytes()[:10_000])
    torch.save({"model": {"head.cls_score.bias": torch.zeros(2)}}, files["head"])
    words = [word.format(**files) for word in words]
    assert run_tool(extract_weights.main, words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert sentence in error
    assert not (tmp_path / "out.pth").exists()


def test_the_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as end:
        extract_weights.main(["--help"])
    assert end.value.code == 0
    assert "examples:" in capsys.readouterr().out
