import pickle

import numpy as np
import pytest
import torch
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer


class Counter:
    """A checkpointable object."""

    def __init__(self, value=0):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


class Detector(nn.Module):
    """Names as in a detectron2 model: a backbone and a classification layer."""

    def __init__(self, classes=2, width=4):
        super().__init__()
        stem = nn.Module()
        stem.conv1 = nn.Conv2d(3, width, 1)
        self.backbone = nn.Module()
        self.backbone.bottom_up = nn.Module()
        self.backbone.bottom_up.stem = stem
        self.cls_score = nn.Conv2d(width, classes, 1)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_state_comes_back(tmp_path):
    model, counter = nn.Linear(2, 2), Counter(5)
    AtomicCheckpointer(model, tmp_path, counter=counter).save("model_0000004", iteration=4)
    other, restored = nn.Linear(2, 2), Counter()
    checkpointer = AtomicCheckpointer(other, tmp_path, counter=restored)
    rest = checkpointer.resume_or_load("", resume=True)
    assert torch.equal(model.weight, other.weight)
    assert restored.value == 5
    assert rest["iteration"] == 4
    assert checkpointer.report.kept == ("weight", "bias")


def test_only_the_final_files_are_left(tmp_path):
    AtomicCheckpointer(nn.Linear(2, 2), tmp_path).save("model_0000004")
    assert files(tmp_path) == ["last_checkpoint", "model_0000004.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000004.pth"


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / ".tmp-0123abcd-model_0000004.pth").write_bytes(b"half")
    AtomicCheckpointer(nn.Linear(2, 2), tmp_path).save("model_0000004")
    assert files(tmp_path) == ["last_checkpoint", "model_0000004.pth"]


def test_the_best_weights_are_not_what_a_run_resumes_from(tmp_path):
    checkpointer = AtomicCheckpointer(nn.Linear(2, 2), tmp_path, counter=Counter())
    checkpointer.save("model_0000004")
    checkpointer.save_weights("model_best", iteration=9)
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "model_0000004.pth")
    content = torch.load(tmp_path / "model_best.pth")
    assert set(content) == {"model", "iteration", "scale_match"}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")]
)
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch, error):
    model = nn.Linear(2, 2)
    checkpointer = AtomicCheckpointer(model, tmp_path)
    checkpointer.save("model_0000004")
    before = (tmp_path / "model_0000004.pth").read_bytes()

    def fails_half_way(content, path):
        path.write_bytes(before[:100])
        raise error

    monkeypatch.setattr(torch, "save", fails_half_way)
    with pytest.raises(InputError, match=r"cannot write .*model_0000004\.pth"):
        checkpointer.save("model_0000004")
    with pytest.raises(InputError, match=r"cannot write .*model_0000009\.pth"):
        checkpointer.save("model_0000009")
    assert files(tmp_path) == ["last_checkpoint", "model_0000004.pth"]
    assert (tmp_path / "model_0000004.pth").read_bytes() == before
    assert checkpointer.get_checkpoint_file().endswith("model_0000004.pth")


def test_processes_but_the_first_write_nothing(tmp_path):
    AtomicCheckpointer(nn.Linear(2, 2), tmp_path, save_to_disk=False).save("model")
    assert files(tmp_path) == []


def test_another_number_of_classes_keeps_everything_else(tmp_path):
    pretrained, model = Detector(classes=80), Detector(classes=1)
    initial = model.cls_score.weight.clone()
    AtomicCheckpointer(pretrained, tmp_path).save("pretrained")
    checkpointer = AtomicCheckpointer(model)
    checkpointer.load(tmp_path / "pretrained.pth", checkpointables=[])
    stem = model.backbone.bottom_up.stem.conv1.weight
    assert torch.equal(stem, pretrained.backbone.bottom_up.stem.conv1.weight)
    assert torch.equal(model.cls_score.weight, initial)
    assert [one.name for one in checkpointer.report.dropped] == [
        "cls_score.weight",
        "cls_score.bias",
    ]


def test_a_resume_from_another_models_folder_is_refused_and_changes_nothing(tmp_path):
    model = Detector(classes=1)
    before = [value.clone() for value in model.parameters()]
    AtomicCheckpointer(Detector(classes=80), tmp_path).save("model_final")
    with pytest.raises(InputError, match=r"model_final\.pth does not fit this model"):
        AtomicCheckpointer(model, tmp_path).resume_or_load("", resume=True)
    assert all(map(torch.equal, before, model.parameters()))


def test_weights_of_another_model_are_refused_and_change_nothing(tmp_path):
    model = Detector()
    before = [value.clone() for value in model.parameters()]
    AtomicCheckpointer(Detector(width=8), tmp_path).save("wide")
    with pytest.raises(InputError, match=r"wide\.pth holds the weights of another model"):
        AtomicCheckpointer(model).load(tmp_path / "wide.pth", checkpointables=[])
    assert all(map(torch.equal, before, model.parameters()))


def test_weights_saved_inside_a_parallel_wrapper_load(tmp_path):
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "parallel.pth")
    AtomicCheckpointer(other).load(tmp_path / "parallel.pth", all_needed=True)
    assert torch.equal(model.weight, other.weight)


def test_a_bare_state_dict_loads(tmp_path):
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    AtomicCheckpointer(other).load(tmp_path / "bare.pth", all_needed=True)
    assert torch.equal(model.weight, other.weight)


def pickled_backbone(path, width=4):
    """As detectron2's model zoo keeps backbones: arrays by a shorter name, matched by ending."""
    arrays = {
        "stem.conv1.weight": np.full((width, 3, 1, 1), 0.5, np.float32),
        "stem.conv1.bias": np.zeros(width, np.float32),
        "stem.fc.weight": np.zeros((10, width), np.float32),
    }
    content = {"model": arrays, "__author__": "torchvision", "matching_heuristics": True}
    path.write_bytes(pickle.dumps(content))


def test_a_pickled_backbone_is_matched_by_the_ending_of_its_names(tmp_path):
    pickled_backbone(tmp_path / "R.pkl")
    model = Detector()
    checkpointer = AtomicCheckpointer(model)
    checkpointer.load(tmp_path / "R.pkl", checkpointables=[])
    assert (model.backbone.bottom_up.stem.conv1.weight == 0.5).all()
    assert checkpointer.report.kept == (
        "backbone.bottom_up.stem.conv1.weight",
        "backbone.bottom_up.stem.conv1.bias",
    )
    assert checkpointer.report.unused == ("stem.fc.weight",)


def test_a_pickled_backbone_of_another_width_is_refused(tmp_path):
    pickled_backbone(tmp_path / "R.pkl", width=8)
    with pytest.raises(
        InputError, match=r"another model: backbone\.bottom_up\.stem\.conv1\.weight: \(8, 3, 1, 1\)"
    ):
        AtomicCheckpointer(Detector()).load(tmp_path / "R.pkl", checkpointables=[])


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"weight file .*none\.pth does not exist"):
        AtomicCheckpointer(Detector()).load(tmp_path / "none.pth")
    with pytest.raises(InputError, match=r"weight file .* is a folder: name a file in it"):
        AtomicCheckpointer(Detector()).load(tmp_path)


def test_an_address_that_cannot_be_fetched_is_said(monkeypatch):
    checkpointer = AtomicCheckpointer(Detector())

    def offline(path, **_):
        raise OSError("no network")

    monkeypatch.setattr(checkpointer.path_manager, "get_local_path", offline)
    with pytest.raises(InputError, match=r"cannot read the weight file detectron2://R\.pkl: no ne"):
        checkpointer.load("detectron2://R.pkl")


def test_an_address_of_another_kind_is_said():
    with pytest.raises(InputError, match=r"file s3://b/R\.pkl: addresses start with https:// or"):
        AtomicCheckpointer(Detector()).load("s3://b/R.pkl")
    with pytest.raises(InputError, match=r"catalog://none: model not present in the catalog"):
        AtomicCheckpointer(Detector()).load("catalog://none")


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04half"])
def test_a_file_of_another_kind_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"other\{suffix} is cut off or not a checkpoint"):
        AtomicCheckpointer(Detector()).load(path)


@pytest.mark.parametrize("size", [300, 10_000, 100_000, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, size):
    AtomicCheckpointer(Detector(width=40_000), tmp_path).save("whole")
    data = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: int(size if size > 1 else size * len(data))])
    with pytest.raises(InputError, match=r"cut\.pth is cut off or not a checkpoint"):
        AtomicCheckpointer(Detector()).load(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "found list"),
        ({"model": {}}, "found none"),
        ({"model": {"weight": 3}}, "'weight' is no array but int"),
        (5, "cut off or not a checkpoint"),
    ],
)
def test_other_things_that_torch_saves_are_no_checkpoint(tmp_path, content, reason):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=reason):
        AtomicCheckpointer(Detector()).load(tmp_path / "odd.pth")


def test_a_checkpointer_is_usable_after_a_refusal(tmp_path):
    model = Detector()
    AtomicCheckpointer(model, tmp_path).save("good")
    (tmp_path / "bad.pth").write_bytes(b"bad")
    checkpointer = AtomicCheckpointer(model)
    with pytest.raises(InputError):
        checkpointer.load(tmp_path / "bad.pth")
    checkpointer.load(tmp_path / "good.pth")


def test_an_evaluation_needs_weights(tmp_path):
    checkpointer = AtomicCheckpointer(Detector(), tmp_path)
    with pytest.raises(InputError, match=r"no weights to evaluate: name them in MODEL\.WEIGHTS$"):
        checkpointer.load_to_evaluate("", resume=False, key="MODEL.WEIGHTS")
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpointer.load_to_evaluate("", resume=True, key="MODEL.WEIGHTS")


def test_an_evaluation_takes_the_last_checkpoint_when_it_resumes(tmp_path):
    model = Detector()
    AtomicCheckpointer(model, tmp_path).save("model_final")
    other = Detector()
    checkpointer = AtomicCheckpointer(other, tmp_path)
    checkpointer.load_to_evaluate("", resume=True, key="MODEL.WEIGHTS")
    assert torch.equal(model.cls_score.weight, other.cls_score.weight)


def test_an_evaluation_refuses_weights_of_a_part(tmp_path):
    pickled_backbone(tmp_path / "R.pkl")
    with pytest.raises(InputError, match=r"nothing may start anew here: no cls_score"):
        AtomicCheckpointer(Detector()).load_to_evaluate(
            str(tmp_path / "R.pkl"), resume=False, key="MODEL.WEIGHTS"
        )
