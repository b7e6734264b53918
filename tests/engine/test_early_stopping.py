import json
import math

import pytest
from detectron2.engine import HookBase, TrainerBase

from scale_match.core.errors import InputError
from scale_match.engine.early_stopping import (
    EarlyStopping,
    check_early_stopping,
    stopping_early,
    waited,
)


class Evaluations(HookBase):
    """One value after every second iteration, by iteration."""

    def __init__(self, values):
        self.values = values

    def after_step(self):
        if (self.trainer.iter + 1) % 2 == 0 and self.trainer.iter + 1 != self.trainer.max_iter:
            self.run()

    def run(self):
        iteration = self.trainer.storage.iter
        if iteration in self.values:
            self.trainer.storage.put_scalar("bbox/AP50_tiny", self.values[iteration])


class Loop(TrainerBase):
    def __init__(self):
        super().__init__()
        self.done = []

    def run_step(self):
        self.done.append(self.iter)


class Ends(HookBase):
    """Counts how often the training was over."""

    def __init__(self):
        self.count = 0

    def after_train(self):
        self.count += 1


def run(folder, values, *, patience=2, start=0, end=14):
    """The iterations that were done, the stops, the evaluations asked for, and the ends."""
    loop, evaluations, ends = Loop(), Evaluations(values), Ends()
    stops, asked = [], []

    def evaluate():
        asked.append(loop.storage.iter)
        evaluations.run()

    stopping = EarlyStopping(
        "bbox/AP50_tiny",
        patience,
        period=2,
        output_dir=folder,
        at_stop=lambda: stops.append(loop.iter),
        evaluate=evaluate,
    )
    loop.register_hooks([evaluations, stopping, ends])
    with stopping_early():
        loop.train(start, end)
    assert ends.count == 1
    return loop.done, stops, asked


def by_iteration(*values):
    return {1 + 2 * index: value for index, value in enumerate(values)}


def test_training_stops_when_nothing_has_got_better(tmp_path):
    done, stops, asked = run(tmp_path, by_iteration(0.1, 0.3, 0.2, 0.3, 0.9))
    # The best is after iteration 3; those after 5 and 7 are not better.
    assert done == list(range(8))
    assert stops == [7]
    assert asked == []


def test_the_reason_is_logged(tmp_path, caplog):
    caplog.set_level("INFO", logger="scale_match")
    run(tmp_path, by_iteration(0.3, 0.2, 0.1))
    assert (
        "Training stopped early after iteration 5: bbox/AP50_tiny has not got better in 2 "
        "evaluations (best 0.3000); --resume with a greater" in caplog.text
    )
    assert "Exception" not in caplog.text


def test_training_that_gets_better_goes_on_to_its_end(tmp_path):
    done, stops, _ = run(tmp_path, by_iteration(0.1, 0.1, 0.2, 0.2, 0.3, 0.3))
    assert done == list(range(14))
    assert stops == []


def test_the_evaluation_at_the_end_stops_nothing(tmp_path):
    done, stops, _ = run(tmp_path, by_iteration(0.3, 0.2, 0.1), end=6)
    assert done == list(range(6))
    assert stops == []


def test_evaluations_that_measure_nothing_count_as_not_better(tmp_path):
    done, stops, _ = run(tmp_path, {1: -1.0, 3: math.nan})
    assert done == list(range(4))
    assert stops == [3]
    record = json.loads((tmp_path / "evaluations.json").read_text())
    assert record == {"metric": "bbox/AP50_tiny", "iterations": [1, 3], "values": [-1.0, -1.0]}


def test_a_resumed_run_stops_where_the_whole_one_does(tmp_path):
    values = by_iteration(0.3, 0.2, 0.1)
    run(tmp_path, values)
    # From a checkpoint after iteration 3; the value after iteration 5 is not yet known there.
    done, stops, asked = run(tmp_path, values, start=4)
    assert done == [4, 5]
    assert stops == [5]
    assert asked == []


def test_an_evaluation_that_a_kill_prevented_is_repeated(tmp_path):
    values = by_iteration(0.3, 0.2, 0.1)
    run(tmp_path, values)
    record = json.loads((tmp_path / "evaluations.json").read_text())
    record["iterations"].pop()
    record["values"].pop()
    (tmp_path / "evaluations.json").write_text(json.dumps(record))
    done, stops, asked = run(tmp_path, values, start=6)
    assert asked[0] == 5
    assert done == []
    assert stops == []


def test_without_patience_an_evaluation_that_a_kill_prevented_is_repeated_too(tmp_path):
    values = by_iteration(0.3, 0.2, 0.1)
    run(tmp_path, by_iteration(0.3, 0.2), end=5, patience=0)
    # Killed after the checkpoint of iteration 5 and before the end of its evaluation.
    done, stops, asked = run(tmp_path, values, start=6, end=8, patience=0)
    assert (done, stops, asked) == ([6, 7], [], [5])
    record = json.loads((tmp_path / "evaluations.json").read_text())
    assert record["iterations"] == [1, 3, 5]


def test_a_stopped_run_that_is_resumed_is_only_evaluated(tmp_path):
    values = by_iteration(0.3, 0.2, 0.1)
    run(tmp_path, values)
    done, stops, asked = run(tmp_path, values, start=6)
    assert (done, stops, asked) == ([], [], [6])


def test_with_more_patience_a_stopped_run_goes_on(tmp_path):
    values = by_iteration(0.3, 0.2, 0.1, 0.05)
    run(tmp_path, values)
    done, stops, _ = run(tmp_path, values, start=6, patience=3)
    assert done == [6, 7]
    assert stops == [7]


def test_a_finished_run_that_is_resumed_is_left_alone(tmp_path):
    values = by_iteration(0.3, 0.2, 0.1)
    run(tmp_path, values, end=6)
    assert run(tmp_path, values, start=6, end=6) == ([], [], [])


def test_a_new_run_in_the_folder_of_an_old_one_forgets_it(tmp_path):
    run(tmp_path, by_iteration(0.9, 0.1, 0.1))
    done, stops, _ = run(tmp_path, by_iteration(0.1, 0.2, 0.1, 0.1))
    assert stops == [7]
    assert done == list(range(8))


def test_the_record_of_another_metric_does_not_count(tmp_path):
    record = {"metric": "bbox/AP50_all", "iterations": [1, 3, 5], "values": [0.9, 0.1, 0.1]}
    (tmp_path / "evaluations.json").write_text(json.dumps(record))
    done, _, _ = run(tmp_path, by_iteration(0.1, 0.2, 0.3, 0.4), start=6, end=8)
    assert done == [6, 7]


def test_waiting_by_hand():
    assert waited([]) == 0
    assert waited([0.1]) == 0
    assert waited([0.0, 0.0, 0.0]) == 2
    assert waited([0.2, 0.1, 0.3]) == 0
    assert waited([-1.0, math.nan, math.inf]) == 3


def test_without_patience_nothing_is_needed():
    check_early_stopping(0, eval_period=0, has_test_set=False)
    check_early_stopping(1, eval_period=5, has_test_set=True)


@pytest.mark.parametrize(
    ("patience", "period", "has_test_set", "message"),
    [
        (-1, 5, True, "early_stopping_patience.* must not be negative, received -1"),
        (2, 0, True, r"needs evaluations during the training: set TEST\.EVAL_PERIOD"),
        (2, 5, False, "needs a test set"),
    ],
)
def test_settings_that_watch_nothing_are_refused(patience, period, has_test_set, message):
    with pytest.raises(InputError, match=message):
        check_early_stopping(patience, eval_period=period, has_test_set=has_test_set)
