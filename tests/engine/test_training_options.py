"""The options of docs/training_options.md, in whole trainings of both front ends."""

import json
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from detectron2.engine import SimpleTrainer

from engine import option_workers
from engine.tiny import RUNNERS, make_data, same_weights, weights_of
from scale_match.core.errors import InputError
from scale_match.engine.launch import launch


@pytest.fixture(params=list(RUNNERS))
def runner(request):
    return RUNNERS[request.param]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def steps(monkeypatch):
    """The losses of every step in order."""
    seen = []
    write = SimpleTrainer._write_metrics

    def record(self, losses, data_time, *rest, **more):
        seen.append({name: float(value.detach()) for name, value in losses.items()})
        return write(self, losses, data_time, *rest, **more)

    monkeypatch.setattr(SimpleTrainer, "_write_metrics", record)
    return seen


def scalars(folder, name):
    """The values of a scalar in metrics.json, by iteration."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return {line["iteration"]: line[name] for line in lines if name in line}


def killed_after(whole, part, iteration):
    """A folder as a kill leaves it; the record of evaluations may be later than the checkpoint."""
    part.mkdir()
    name = f"model_{iteration:07d}.pth"
    for file in (name, "evaluations.json", "model_best.json"):
        if (whole / file).is_file():
            shutil.copy(whole / file, part)
    (part / "last_checkpoint").write_text(name)


def test_all_options_together_resume_exactly(runner, data, tmp_path, steps, capsys):
    options = {
        "accumulate": 2,
        "amp": True,
        "ema": 0.9,
        "validation": 1,
        "patience": 2,
        "eval_period": 2,
        "period": 2,
        "max_iter": 8,
    }
    whole, part = tmp_path / "whole", tmp_path / "part"
    metrics = runner.train(data, whole, **options)
    uninterrupted = list(steps)
    # So short a training detects nothing: after iterations 1, 3 and 5 the same AP50_tiny of 0.
    assert len(uninterrupted) == 6
    assert "stopped early after iteration 5: bbox/AP50_tiny has not" in capsys.readouterr().out
    killed_after(whole, part, 3)
    steps.clear()
    assert runner.train(data, part, resume=True, **options) == metrics
    assert steps == uninterrupted[4:]
    for name in ("model_final", "model_final_ema"):
        assert same_weights(weights_of(whole, name), weights_of(part, name))
    losses = scalars(whole, "validation/total_loss")
    assert losses
    assert losses == scalars(part, "validation/total_loss")
    assert (part / "evaluations.json").read_text() == (whole / "evaluations.json").read_text()
    # A stopped run that is resumed trains nothing; with more patience it goes on.
    steps.clear()
    assert runner.train(data, part, resume=True, **options) == metrics
    assert steps == []
    runner.train(data, part, resume=True, **{**options, "patience": 3})
    assert len(steps) == 2


@pytest.fixture
def _fp16_in_time():
    """Convolutions in fp16 are slow on most CPUs, and slowest by oneDNN."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@pytest.mark.usefixtures("_fp16_in_time")
def test_fp16_resumes_exactly(runner, tmp_path, steps):
    # For the same reason two steps on a small image each.
    data = make_data(tmp_path / "data", num_images=2, width=48, height=32)
    options = {"amp": True, "amp_type": "fp16", "period": 1, "max_iter": 2, "batch": 1}
    whole, part = tmp_path / "whole", tmp_path / "part"
    runner.train(data, whole, **options)
    uninterrupted = list(steps)
    killed_after(whole, part, 0)
    steps.clear()
    runner.train(data, part, resume=True, **options)
    assert steps == uninterrupted[1:]
    assert same_weights(weights_of(whole), weights_of(part))
    scales = scalars(whole, "loss_scale")
    assert scales == scalars(part, "loss_scale")
    state = torch.load(part / "model_final.pth")["trainer"]
    state = state.get("_trainer", state)["gradient_scale"]
    assert state["scaler"]["scale"] == scales[1]


def test_a_validation_loss_changes_nothing(runner, data, tmp_path, steps):
    plain, watched = tmp_path / "plain", tmp_path / "watched"
    options = {"workers": 1, "max_iter": 4, "period": 3}
    metrics = runner.train(data, plain, **options)
    before = list(steps)
    steps.clear()
    assert runner.train(data, watched, validation=1, **options) == metrics
    assert steps == before
    for name in ("model_0000002", "model_final"):
        assert same_weights(weights_of(plain, name), weights_of(watched, name))
    states = [torch.load(folder / "model_final.pth")["trainer"] for folder in (plain, watched)]
    normalizers = [state.get("_trainer", state)["loss_normalizer"] for state in states]
    assert normalizers[0] == normalizers[1]
    assert set(scalars(watched, "validation/loss_cls")) == {3}


def test_both_front_ends_have_the_same_validation_loss(data, tmp_path):
    found = []
    for name, runner in RUNNERS.items():
        runner.train(data, tmp_path / name, validation=1, max_iter=1)
        found.append(scalars(tmp_path / name, "validation/total_loss"))
    assert found[0] == found[1]


def test_a_batch_in_parts_gives_the_losses_of_the_whole(runner, data, tmp_path, steps):
    # Weights are compared in test_accumulation.py: AdamW makes lr-sized steps of rounding errors.
    for parts in (1, 4):
        options = {"norm": "GN", "max_iter": 3, "batch": 4, "accumulate": parts}
        runner.train(data, tmp_path / str(parts), **options)
    for whole, in_parts in zip(steps[:3], steps[3:], strict=True):
        assert in_parts == pytest.approx(whole, rel=1e-4)


def test_evaluations_see_the_average_and_checkpoints_both(runner, data, tmp_path, monkeypatch):
    seen = []
    module = "trainer" if runner is RUNNERS["yacs"] else "lazy"
    path = f"scale_match.engine.{module}.evaluate_model"

    def record(model, loader, evaluator):
        seen.append({k: v.clone() for k, v in model.model.state_dict().items()})
        return {"bbox": {"AP50_tiny": 0.5}}

    monkeypatch.setattr(path, record)
    runner.train(data, tmp_path, ema=0.5, max_iter=3)
    average, last = weights_of(tmp_path, "model_final_ema"), weights_of(tmp_path)
    assert not same_weights(average, last)
    assert same_weights(seen[0], average)
    assert same_weights(weights_of(tmp_path, "model_best"), average)
    runner.evaluate(data, tmp_path, resume=True, ema=0.5)
    assert same_weights(seen[1], average)
    runner.evaluate(data, tmp_path, resume=True)
    assert same_weights(seen[2], last)


def test_tensorboard_gets_the_scalars(runner, data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runner.train(data, tmp_path, validation=2, max_iter=2)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {
        "total_loss",
        "grad_norm",
        "lr",
        "bbox/AP50_tiny",
        "validation/total_loss",
    }


def test_numbers_go_to_weights_and_biases(runner, data, tmp_path, monkeypatch):
    logged = []
    run = SimpleNamespace(
        id="abc",
        define_metric=lambda *args, **options: None,
        log=logged.append,
        finish=lambda: logged.append("finished"),
    )
    fake = SimpleNamespace(Error=OSError, init=lambda **options: run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    runner.train(data, tmp_path, wandb="mine", max_iter=1)
    assert {"total_loss", "lr", "iteration"} <= logged[0].keys()
    assert logged[-2] == {**logged[-2], "bbox/AP50_tiny": 0.0, "iteration": 1}
    assert logged[-1] == "finished"
    assert (tmp_path / "wandb_run_id.txt").read_text() == "abc"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 3}, r"ACCUMULATE.*must divide the 2 images.*received 3"),
        ({"accumulate": 0}, r"train\.accumulate.*received 0"),
        ({"amp": True, "amp_type": "fp8"}, "must be bf16 or fp16, received 'fp8'"),
        ({"ema": 1.0}, r"EMA_DECAY, train\.ema_decay.*received 1\.0"),
        ({"validation": -1}, "VALIDATION_LOSS_PERIOD.*must not be negative, received -1"),
        ({"patience": 2}, r"patience 2\) needs evaluations.*TEST\.EVAL_PERIOD"),
        ({"patience": -1}, "patience.* must not be negative, received -1"),
        ({"wandb": "mine"}, "WANDB_PROJECT.*needs the package wandb"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    runner, data, tmp_path, options, message, monkeypatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(InputError, match=message):
        runner.train(data, tmp_path, **options)


@pytest.mark.parametrize("option", [{"validation": 1}, {"patience": 1, "eval_period": 1}])
def test_what_looks_at_a_test_set_needs_one(runner, data, tmp_path, option):
    empty = '""' if runner is RUNNERS["yacs"] else ""
    with pytest.raises(InputError, match="needs a test set"):
        runner.train(data, tmp_path, test=empty, test_images=empty, **option)


def test_two_processes_do_what_one_does(tmp_path):
    # Five images: the processes have unequal shares of the validation.
    data = make_data(tmp_path / "data", num_images=5)
    folders = {}
    for processes in (1, 2):
        folders[processes] = tmp_path / str(processes)
        arguments = ("yacs", data, folders[processes])
        launch(option_workers.train, num_gpus=processes, device="cpu", args=arguments)
    for scalar in ("total_loss", "validation/total_loss"):
        one, two = (scalars(folder, scalar) for folder in folders.values())
        assert list(one) == [3]  # both stopped after iteration 3
        assert two == pytest.approx(one, rel=1e-3)
