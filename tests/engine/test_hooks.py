import json
import math

import pytest
import torch
from detectron2.engine import TrainerBase
from torch import nn

from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.hooks import (
    BestCheckpoint,
    EvaluationHook,
    LoopSettings,
    training_hooks,
)


class Loop(TrainerBase):
    """Iterations that do nothing, or fail at one of them."""

    def __init__(self, fail_at=None):
        super().__init__()
        self.fail_at = fail_at
        self.num_dropped_boxes = 0

    def run_step(self):
        if self.iter == self.fail_at:
            raise ValueError("stop here")


class Values:
    """Evaluations that give one value after the other; records after which iteration."""

    def __init__(self, loop, values):
        self.loop, self.values, self.calls = loop, iter(values), []

    def __call__(self):
        self.calls.append(self.loop.iter)
        return {"bbox": {"AP50_tiny": next(self.values), "AP50_all": 0.0}}


def best_run(tmp_path, values, start=0, model=None):
    """A loop of ten iterations with an evaluation after every second; the weight is the count."""
    model = model or nn.Linear(1, 1, bias=False)
    loop = Loop()
    evaluate = Values(loop, values)

    def counted():
        with torch.no_grad():
            model.weight.fill_(len(evaluate.calls))
        return evaluate()

    hook = BestCheckpoint("bbox/AP50_tiny", AtomicCheckpointer(model, tmp_path))
    loop.register_hooks([EvaluationHook(2, counted), hook])
    loop.train(start, 10)
    return evaluate


def best(tmp_path):
    record = json.loads((tmp_path / "model_best.json").read_text())
    weights = torch.load(tmp_path / "model_best.pth")
    assert weights["value"] == record["value"]
    return record["value"], record["iteration"], weights["model"]["weight"].item()


def test_evaluations_come_every_period_and_once_at_the_end(tmp_path):
    evaluate = best_run(tmp_path, [0.1] * 5)
    # After iterations 1, 3, 5, 7 (counted from 0), and after the last, when iter has become 10.
    assert evaluate.calls == [1, 3, 5, 7, 10]


def test_without_a_period_there_is_one_evaluation_at_the_end(tmp_path):
    loop = Loop()
    evaluate = Values(loop, [0.5])
    hook = EvaluationHook(0, evaluate)
    loop.register_hooks([hook])
    loop.train(0, 3)
    assert evaluate.calls == [3]
    assert hook.results["bbox"]["AP50_tiny"] == 0.5
    assert loop.storage.latest()["bbox/AP50_tiny"][0] == 0.5


def test_a_training_that_breaks_off_is_not_evaluated(tmp_path):
    loop = Loop(fail_at=2)
    evaluate = Values(loop, [])
    loop.register_hooks([EvaluationHook(0, evaluate)])
    with pytest.raises(ValueError, match="stop here"):
        loop.train(0, 3)
    assert evaluate.calls == []


def test_a_finished_training_that_is_resumed_is_evaluated(tmp_path):
    loop = Loop()
    evaluate = Values(loop, [0.5])
    loop.register_hooks([EvaluationHook(0, evaluate)])
    loop.train(3, 3)
    assert len(evaluate.calls) == 1


def test_the_best_weights_are_kept(tmp_path):
    best_run(tmp_path, [0.1, 0.4, 0.3, 0.4, 0.2])
    assert best(tmp_path) == (0.4, 3, 1.0)


def test_the_last_evaluation_can_be_the_best(tmp_path):
    best_run(tmp_path, [0.1, 0.4, 0.3, 0.4, 0.5])
    assert best(tmp_path) == (0.5, 10, 4.0)


def test_zero_is_a_value(tmp_path):
    best_run(tmp_path, [0.0] * 5)
    assert best(tmp_path) == (0.0, 1, 0.0)


@pytest.mark.parametrize("nothing", [-1.0, math.nan, math.inf])
def test_nothing_to_measure_is_never_the_best(tmp_path, nothing):
    best_run(tmp_path, [nothing] * 5)
    assert list(tmp_path.iterdir()) == []
    best_run(tmp_path, [0.2, nothing, nothing, 0.1, nothing])
    assert best(tmp_path)[:2] == (0.2, 1)


def test_a_resumed_run_remembers_the_best(tmp_path):
    best_run(tmp_path, [0.1, 0.4, 0.3, 0.3, 0.3])
    best_run(tmp_path, [0.35, 0.35, 0.35], start=6)
    assert best(tmp_path) == (0.4, 3, 1.0)
    best_run(tmp_path, [0.35, 0.45, 0.35], start=6)
    assert best(tmp_path)[:2] == (0.45, 10)


def test_a_new_run_in_the_same_folder_forgets_the_best(tmp_path):
    best_run(tmp_path, [0.9] * 5)
    best_run(tmp_path, [0.1] * 5)
    assert best(tmp_path)[:2] == (0.1, 1)


def test_the_best_of_another_metric_does_not_count(tmp_path):
    (tmp_path / "model_best.json").write_text(
        '{"metric": "bbox/AP50_all", "value": 0.9, "iteration": 1}'
    )
    best_run(tmp_path, [0.1, 0.2, 0.1], start=6)
    assert best(tmp_path)[0] == 0.2


def test_all_hooks_together(tmp_path):
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loop = Loop()
    # The writer prints a line only with these values.
    loop.run_step = lambda: loop.storage.put_scalars(total_loss=1.0, data_time=0.1)
    settings = LoopSettings(
        output_dir=tmp_path, max_iter=7, checkpoint_period=2, checkpoints_kept=2, log_period=3
    )
    checkpointer = AtomicCheckpointer(model, tmp_path, trainer=loop)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    loop.register_hooks(
        training_hooks(
            settings,
            optimizer=optimizer,
            schedule=schedule,
            checkpointer=checkpointer,
            evaluate=Values(loop, [0.25]),
        )
    )
    loop.train(0, 7)
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [2, 5, 6, 7]
    assert lines[-1]["bbox/AP50_tiny"] == 0.25
    assert lines[-2]["lr"] == pytest.approx(0.1)
    names = {path.name for path in tmp_path.glob("*.pth")}
    assert names == {"model_0000003.pth", "model_0000005.pth", "model_final.pth", "model_best.pth"}
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "model_final.pth")


def test_without_a_test_set_nothing_is_evaluated(tmp_path):
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    hooks = training_hooks(
        LoopSettings(output_dir=tmp_path, max_iter=1, checkpoint_period=1),
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.StepLR(optimizer, 5),
        checkpointer=AtomicCheckpointer(model, tmp_path),
        evaluate=None,
    )
    assert not any(isinstance(hook, EvaluationHook | BestCheckpoint) for hook in hooks)
