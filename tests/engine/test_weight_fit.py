import pytest
import torch

from engine.weight_samples import detector, state_of, unequal
from oracles import foreign_checkpoints as foreign
from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer

COARSE = {"strides": (8, 16, 32, 64, 128)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Checkpoints of detectors by name."""
    folder = tmp_path_factory.mktemp("trained")
    kinds = {
        "retinanet": detector("retinanet"),
        "classes": detector("retinanet", classes=80),
        "coarse": detector("retinanet", **COARSE),
        "scale": detector("retinanet", anchor_scale=4),
        "anchors": detector("retinanet", scales_per_octave=1),
        "fcos": detector("fcos"),
        "faster_rcnn": detector("faster_rcnn"),
    }
    for name, model in kinds.items():
        AtomicCheckpointer(model, folder / name).save(name)
    return {name: folder / name / f"{name}.pth" for name in kinds}


def start(path, model, **options):
    """Starts a training; returns the report."""
    checkpointer = AtomicCheckpointer(model)
    checkpointer.load(path, checkpointables=[], **options)
    return checkpointer.report


def test_a_checkpoint_fits_the_model_that_it_was_saved_from(trained):
    for kind in ("retinanet", "fcos", "faster_rcnn"):
        model = detector(kind, seed=1)
        report = start(trained[kind], model, all_needed=True)
        assert unequal(state_of(detector(kind)), model.state_dict()) == []
        assert report.notes == ()


def test_equal_shapes_of_other_anchors_are_refused_with_both_sides_and_the_way_out(trained):
    model = detector("retinanet", seed=1)
    before = state_of(model)
    with pytest.raises(
        InputError,
        match=r"scale\.pth was trained for an anchor scale of 4, this model has 2 "
        r"\(SCALE_MATCH\.MODEL\.ANCHOR_SCALE; in a Lazy config model\.levels\.anchor_scale\): "
        r"change the config, or let the head start anew with --reset-head$",
    ):
        start(trained["scale"], model)
    assert unequal(before, model.state_dict()) == []


def test_other_strides_are_refused(trained):
    with pytest.raises(
        InputError, match=r"strides \[8, 16, 32, 64, 128\], this model has \[4, 8, 16, 32, 64\]"
    ):
        start(trained["coarse"], detector("retinanet"))


def test_a_head_of_other_strides_starts_anew_as_a_whole(trained):
    model = detector("retinanet", seed=1)
    before = state_of(model)
    report = start(trained["coarse"], model, reset_head=True)
    head = {name: value for name, value in before.items() if name.startswith("head.")}
    assert set(report.reset) == set(head)
    assert unequal(head, model.state_dict()) == []
    pretrained = torch.load(trained["coarse"])["model"]
    taken = [name for name in before if name.startswith("backbone.") and name in pretrained]
    assert unequal({name: pretrained[name] for name in taken}, model.state_dict()) == []
    text = report.describe()
    assert "of a head that does not fit, start anew: head.cls_subnet.0, " in text
    assert "head.bbox_pred" in text
    assert "note: its head was trained for strides [8, " in text
    assert "not in the file, start anew: backbone.fpn_lateral2.weight" in text


def test_another_number_of_anchors_names_the_layer_or_starts_anew(trained):
    with pytest.raises(InputError, match=r"anchor scales per octave: 1, this model has 3"):
        start(trained["anchors"], detector("retinanet"))
    report = start(trained["anchors"], detector("retinanet"), reset_head=True)
    assert {one.name for one in report.dropped} == {
        f"head.{layer}.{part}"
        for layer in ("cls_score", "bbox_pred")
        for part in ("weight", "bias")
    }


def test_the_head_of_another_kind_of_detector_is_refused_or_starts_anew(trained):
    sentence = r"fcos\.pth was trained for an FCOS, this model is a RetinaNet: change"
    with pytest.raises(InputError, match=sentence):
        start(trained["fcos"], detector("retinanet"))
    model = detector("retinanet", seed=1)
    head = {name: value for name, value in state_of(model).items() if "head." in name}
    start(trained["fcos"], model, reset_head=True)
    assert unequal(head, model.state_dict()) == []


def test_other_classes_pass_and_are_listed_without_an_option(trained):
    report = start(trained["classes"], detector("retinanet"))
    assert [one.name for one in report.dropped] == ["head.cls_score.weight", "head.cls_score.bias"]
    assert report.reset == ()


def test_an_evaluation_names_the_classes_of_both_sides(trained):
    with pytest.raises(
        InputError,
        match=r"trained for classes: 80, this model has 3 .*: take the config that it was trained",
    ):
        AtomicCheckpointer(detector("retinanet")).load_to_evaluate(
            str(trained["classes"]), resume=False, key="MODEL.WEIGHTS"
        )


def test_a_resume_from_another_models_folder_says_so_in_one_sentence(trained):
    for name in ("scale", "fcos", "classes"):
        with pytest.raises(
            InputError, match=r"choose another output folder, or leave --resume out$"
        ) as error:
            AtomicCheckpointer(detector("retinanet"), trained[name].parent).resume_or_load("")
        assert "\n" not in str(error.value)


def test_a_resume_never_resets_the_head(trained):
    checkpointer = AtomicCheckpointer(detector("retinanet"), trained["scale"].parent)
    with pytest.raises(InputError, match=r"trained for an anchor scale of 4, .* --resume out$"):
        checkpointer.load(checkpointer.get_checkpoint_file(), reset_head=True)


def test_only_unfitting_layers_start_anew_where_a_file_says_nothing(trained, tmp_path):
    state = torch.load(trained["anchors"])["model"]
    torch.save({"model": state}, tmp_path / "silent.pth")
    with pytest.raises(InputError, match=r"another model: head\..*\(--reset-head lets them start"):
        start(tmp_path / "silent.pth", detector("retinanet"))
    report = start(tmp_path / "silent.pth", detector("retinanet"), reset_head=True)
    assert len(report.dropped) == 4
    assert report.reset == ()
    assert "note: it does not say what anchors it was trained with" in report.describe()


def test_another_backbone_is_refused_whatever_the_option(trained, tmp_path):
    state = torch.load(trained["retinanet"])["model"]
    name = "backbone.bottom_up.stem.conv1.weight"
    torch.save({"model": {**state, name: state[name][:2]}}, tmp_path / "narrow.pth")
    for reset_head in (False, True):
        with pytest.raises(InputError, match=r"another model: backbone\.bottom_up") as error:
            start(tmp_path / "narrow.pth", detector("retinanet"), reset_head=reset_head)
        assert "--reset-head" not in str(error.value)


def test_strides_are_told_from_names_where_a_file_of_detectron2_says_nothing(trained, tmp_path):
    torch.save({"model": torch.load(trained["coarse"])["model"]}, tmp_path / "zoo.pth")
    with pytest.raises(
        InputError, match=r"zoo\.pth was trained for strides \[8, 16, 32, 64, 128\]"
    ):
        start(tmp_path / "zoo.pth", detector("retinanet"))


def test_anchors_of_a_checkpoint_of_mmdetection_are_compared(trained, tmp_path):
    state = torch.load(trained["retinanet"])["model"]
    config = (
        "model = dict(bbox_head=dict(anchor_generator=dict(octave_base_scale=4, "
        "scales_per_octave=3, ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64])))"
    )
    head = foreign.mmdetection_retinanet_head(state)
    file = foreign.mmdetection_file(state, "small", head, {"config": config})
    torch.save(file, tmp_path / "epoch_12.pth")
    with pytest.raises(
        InputError, match=r"epoch_12\.pth was trained for an anchor scale of 4, this"
    ):
        start(tmp_path / "epoch_12.pth", detector("retinanet"))
    start(tmp_path / "epoch_12.pth", detector("retinanet", anchor_scale=4), all_needed=True)


def test_anchors_of_a_checkpoint_of_maskrcnn_benchmark_are_compared(trained, tmp_path):
    state = torch.load(trained["faster_rcnn"])["model"]
    head = foreign.benchmark_faster_rcnn_head(state)
    strides = (4, 8, 16, 32, 64)
    # The published ones (recipes): no scale of the strides makes them.
    sizes = [[8.31], [12.5], [18.55], [30.23], [60.41]]
    head |= foreign.benchmark_cell_anchors(strides, sizes, (0.5, 1.3, 2.0))
    torch.save(foreign.benchmark_file(state, "small", head), tmp_path / "model.pth")
    with pytest.raises(
        InputError, match=r"smallest anchors of \[8.*; for an anchor offset of 0\.5"
    ):
        start(tmp_path / "model.pth", detector("faster_rcnn"))
    report = start(tmp_path / "model.pth", detector("faster_rcnn"), reset_head=True)
    assert all(name.startswith("backbone.") for name in report.kept)
