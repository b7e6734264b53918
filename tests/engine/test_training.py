"""Both front ends, whole: train, resume, evaluate, and what bad input gets."""

import json
import shutil

import pytest
import torch
from detectron2.engine import SimpleTrainer

from engine.tiny import RUNNERS, make_data, same_weights, weights_of
from scale_match.core.errors import InputError
from scale_match.data.lazy import register_files
from scale_match.engine.front_ends import LAZY, YACS
from scale_match.engine.non_finite import NonFiniteLossError
from scale_match.engine.step import TrainStep
from scale_match.engine.trainer import ScaleMatchTrainer
from scale_match.inference.tiled_model import TiledModel


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
    """The losses of every step, and the scales of its images, in order."""
    seen = []
    write = SimpleTrainer._write_metrics

    def record(self, losses, data_time, *rest, **more):
        seen.append({name: float(value.detach()) for name, value in losses.items()})
        return write(self, losses, data_time, *rest, **more)

    monkeypatch.setattr(SimpleTrainer, "_write_metrics", record)
    return seen


def test_both_front_ends_train_the_same_weights_and_metrics(data, tmp_path, steps):
    results = {}
    for name, runner in RUNNERS.items():
        # The config systems decay the biases of norms differently, so nothing decays here.
        results[name] = runner.train(data, tmp_path / name, **runner.no_decay)
    assert results["yacs"] == results["lazy"]
    assert steps[:6] == steps[6:]
    assert same_weights(weights_of(tmp_path / "yacs"), weights_of(tmp_path / "lazy"))


def test_a_training_leaves_weights_metrics_and_detections(runner, data, tmp_path):
    metrics = runner.train(data, tmp_path, eval_period=4)
    assert 0 <= metrics["bbox"]["AP50_tiny"] <= 1
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert names >= {
        "config.yaml",
        "log.txt",
        "metrics.json",
        "last_checkpoint",
        "model_final.pth",
        "model_best.pth",
        "model_best.json",
        "inference/coco_instances_results.json",
        "inference/metrics.json",
        "inference/scores.json",
        "inference/protocol.json",
    }
    assert not [name for name in names if ".tmp" in name]
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    evaluated = [line["iteration"] for line in lines if "bbox/AP50_tiny" in line]
    assert evaluated == [3, 6]
    losses = next(line for line in lines if "total_loss" in line)
    assert {"loss_cls", "loss_box_reg", "grad_norm", "lr"} <= losses.keys()


def test_a_resumed_run_equals_one_that_was_not_interrupted(runner, data, tmp_path, steps):
    options = {"policy": "sm", "target": data[0], "period": 2, "workers": 1}
    whole = runner.train(data, tmp_path / "whole", **options)
    uninterrupted = list(steps)
    # As after a kill between iterations 4 and 5: files of later iterations are not there.
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000003.pth", part)
    (part / "last_checkpoint").write_text("model_0000003.pth")
    steps.clear()
    resumed = runner.train(data, part, resume=True, **options)
    assert steps == uninterrupted[4:]
    assert resumed == whole
    assert same_weights(weights_of(tmp_path / "whole"), weights_of(part))


def test_a_run_with_a_random_seed_resumes_with_it(runner, data, tmp_path, steps):
    runner.train(data, tmp_path / "whole", seed=-1, period=2)
    uninterrupted = list(steps)
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000003.pth", part)
    (part / "last_checkpoint").write_text("model_0000003.pth")
    steps.clear()
    runner.train(data, part, resume=True, seed=-1, period=2)
    assert steps == uninterrupted[4:]
    assert same_weights(weights_of(tmp_path / "whole"), weights_of(part))


def test_the_seed_decides_the_training(runner, data, tmp_path, steps):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        runner.train(data, tmp_path / folder, seed=seed, max_iter=2)
    assert steps[:2] == steps[2:4]
    assert steps[:2] != steps[4:]


def test_a_finished_run_that_is_resumed_trains_nothing_and_evaluates(runner, data, tmp_path, steps):
    first = runner.train(data, tmp_path)
    steps.clear()
    assert runner.train(data, tmp_path, resume=True) == first
    assert steps == []


def test_a_worker_that_dies_during_a_step_is_said(runner, data, tmp_path, monkeypatch, capsys):
    # torch's handler of SIGCHLD raises wherever the program is.
    def interrupted(self, batch):
        raise RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. ")

    monkeypatch.setattr(TrainStep, "_losses", interrupted)
    with pytest.raises(InputError, match=r"worker \(pid 12\) is killed.*NUM_WORKERS"):
        runner.train(data, tmp_path, max_iter=1)
    assert "Traceback" not in capsys.readouterr().out


def test_resume_without_a_checkpoint_starts_at_the_beginning(runner, data, tmp_path, steps):
    runner.train(data, tmp_path, resume=True, max_iter=1)
    assert len(steps) == 1


def test_a_new_run_in_the_folder_of_an_old_one_is_not_resumed_from_the_old(
    runner, data, tmp_path, steps, capsys
):
    runner.train(data, tmp_path, max_iter=2)
    steps.clear()
    # As if it had been killed before its first checkpoint.
    with pytest.raises(InputError):
        runner.train(data, tmp_path, lr=1e30, max_iter=4, period=10)
    assert "holds checkpoints of an earlier run; this one starts anew" in capsys.readouterr().out
    assert not (tmp_path / "last_checkpoint").exists()
    assert not (tmp_path / "model_best.json").exists()
    steps.clear()
    runner.train(data, tmp_path, resume=True, max_iter=2)
    assert len(steps) == 2


def test_an_evaluation_gives_the_metrics_of_the_training(runner, data, tmp_path):
    trained = runner.train(data, tmp_path / "run")
    assert runner.evaluate(data, tmp_path / "run", resume=True) == trained
    named = runner.evaluate(data, tmp_path / "other", weights=tmp_path / "run" / "model_final.pth")
    assert named == trained


@pytest.mark.parametrize("tiles", [True, False])
def test_images_are_evaluated_on_tiles_where_asked(runner, data, tmp_path, monkeypatch, tiles):
    tiled, forward = [], TiledModel.forward

    def record(self, batch):
        tiled.extend(batch)
        return forward(self, batch)

    monkeypatch.setattr(TiledModel, "forward", record)
    runner.train(data, tmp_path, tiles=tiles, max_iter=1)
    assert len(tiled) == (6 if tiles else 0)


def test_weights_of_another_number_of_classes_are_taken_over(runner, data, tmp_path):
    pretraining = make_data(tmp_path / "three", categories=3)
    runner.train(pretraining, tmp_path / "pretrained", classes=3, max_iter=1)
    pretrained = weights_of(tmp_path / "pretrained")
    runner.train(
        data,
        tmp_path / "tuned",
        weights=tmp_path / "pretrained" / "model_final.pth",
        lr=0.0,
        max_iter=1,
    )
    tuned = weights_of(tmp_path / "tuned")
    name = "backbone.bottom_up.stem.conv1.weight"
    assert torch.equal(pretrained[name], tuned[name])
    assert pretrained["head.cls_score.weight"].shape != tuned["head.cls_score.weight"].shape
    log = (tmp_path / "tuned" / "log.txt").read_text()
    assert "2  dropped, start anew: head.cls_score.weight" in log


def test_mixed_precision_trains_on_the_cpu(runner, data, tmp_path, steps):
    runner.train(data, tmp_path, amp=True, max_iter=1)
    assert len(steps) == 1


def test_without_a_test_set_a_training_ends_without_metrics(runner, data, tmp_path):
    empty = '""' if runner.front_end is YACS else ""
    assert runner.train(data, tmp_path, test=empty, test_images=empty, max_iter=1) == {}
    assert not (tmp_path / "inference").exists()


@pytest.mark.parametrize("option", [{"norm": "FrozenBN"}, {"freeze_at": 2}])
def test_frozen_layers_with_random_weights_are_refused(runner, data, tmp_path, option):
    with pytest.raises(InputError, match=r"are frozen, and there are no weights to load: .*GN"):
        runner.train(data, tmp_path, **option)


def test_another_number_of_categories_than_classes_is_refused(runner, data, tmp_path):
    with pytest.raises(InputError, match=r"model has 3 classes, but .*annotations\.json has 1 cat"):
        runner.train(data, tmp_path, classes=3)
    with pytest.raises(InputError, match="model has 3 classes"):
        runner.evaluate(data, tmp_path, classes=3)


def test_an_evaluation_without_weights_is_refused(runner, data, tmp_path):
    key = runner.keys["weights"].replace(".", r"\.")
    with pytest.raises(InputError, match=rf"no weights to evaluate: name them in {key}"):
        runner.evaluate(data, tmp_path)


def test_a_resume_from_another_models_folder_is_refused(runner, data, tmp_path):
    runner.train(data, tmp_path, max_iter=1)
    before = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"model_final\.pth holds the weights of another model"):
        runner.train(data, tmp_path, resume=True, width=64)
    with pytest.raises(InputError, match=r"model_final\.pth holds the weights of another model"):
        runner.evaluate(data, tmp_path, resume=True, width=64)
    # The config still fits the checkpoints beside it.
    assert (tmp_path / "config.yaml").read_bytes() == before
    runner.train(data, tmp_path, resume=True, max_iter=2)
    assert (tmp_path / "config.yaml").read_bytes() != before


def test_weights_of_another_model_are_refused(runner, data, tmp_path):
    torch.save({"model": {"layer1.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth holds the weights of another model"):
        runner.train(data, tmp_path / "run", weights=tmp_path / "other.pth")


def test_a_truncated_image_stops_the_training_with_its_name(runner, tmp_path):
    annotations, images = make_data(tmp_path / "data", num_images=1)
    whole = (images / "0001.jpg").read_bytes()
    (images / "0001.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"0001\.jpg \(image id 1\) cannot be read"):
        runner.train((annotations, images), tmp_path / "run", workers=1)


def test_a_data_set_without_a_box_is_refused(runner, tmp_path):
    data = make_data(tmp_path / "data", boxes_per_image=0)
    with pytest.raises(InputError, match="no box to train on"):
        runner.train(data, tmp_path / "run")


def test_a_batch_that_one_process_cannot_share_is_refused(runner, data, tmp_path):
    with pytest.raises(InputError, match="batch"):
        runner.train(data, tmp_path, batch=0)


def test_a_device_that_is_not_there_is_refused(runner, data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    advice = {"MODEL.DEVICE": "MODEL.DEVICE cpu", "train.device": "train.device=cpu"}
    with pytest.raises(InputError, match=f"set {advice[runner.keys['device']]} to run on the CPU"):
        runner.train(data, tmp_path, device="cuda")


def test_a_loss_that_explodes_stops_with_a_dump_and_without_a_traceback(
    runner, data, tmp_path, capfd
):
    with pytest.raises(NonFiniteLossError, match=r"at iteration \d+: .*image \d.*non_finite_batch"):
        runner.train(data, tmp_path, lr=1e30)
    assert list(tmp_path.glob("non_finite_batch_iter*.pth"))
    captured = capfd.readouterr()
    assert "Traceback" not in captured.out + captured.err


def test_a_checkpoint_without_the_optimizer_cannot_be_resumed(data, tmp_path):
    # detectron2 0.5 writes such checkpoints.
    runner = RUNNERS["yacs"]
    runner.train(data, tmp_path, max_iter=1)
    content = torch.load(tmp_path / "model_final.pth")
    del content["trainer"]["_trainer"]
    torch.save(content, tmp_path / "model_final.pth")
    with pytest.raises(InputError, match=r"holds no state of the optimizer.*leave --resume out"):
        runner.train(data, tmp_path, resume=True)


def test_several_test_sets_are_evaluated_one_after_the_other(data, tmp_path):
    cfg = RUNNERS["yacs"].config(data, tmp_path, max_iter=1)
    cfg.SCALE_MATCH.DATA.TEST_ANNOTATIONS = cfg.SCALE_MATCH.DATA.TEST_IMAGES = ""
    first = register_files(*map(str, data))
    second = register_files(*map(str, make_data(tmp_path / "second", seed=1)))
    cfg.DATASETS.TEST = (first, second)
    results = YACS.train(cfg)
    assert list(results) == [first, second]
    assert (tmp_path / "inference" / second / "metrics.json").is_file()
    record = json.loads((tmp_path / "model_best.json").read_text())
    assert record["metric"] == f"{first}/bbox/AP50_tiny"


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_the_optimizer_is_the_one_that_is_named(data, tmp_path, name, kind):
    cfg = RUNNERS["yacs"].config(data, tmp_path, **{"SCALE_MATCH.SOLVER.OPTIMIZER": name})
    cfg.SOLVER.WEIGHT_DECAY = 0.25
    cfg.SOLVER.BASE_LR = 0.5
    optimizer = ScaleMatchTrainer.build_optimizer(cfg, torch.nn.Conv2d(1, 1, 1))
    assert isinstance(optimizer, kind)
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_lazy_config_with_a_loader_that_cannot_resume_is_refused(data, tmp_path):
    cfg = RUNNERS["lazy"].config(data, tmp_path)
    cfg.dataloader.train = {"_target_": "builtins.list", "total_batch_size": 2}
    cfg.dataloader.train.pop("total_batch_size")
    with pytest.raises(InputError, match=r"dataloader\.train must build an EpochDataLoader.*list"):
        LAZY.train(cfg)
