import sys
from types import SimpleNamespace

import pytest
from detectron2.engine import TrainerBase

from scale_match.core.errors import InputError
from scale_match.engine.wandb_writer import WandbHook, WandbWriter, check_wandb


class ServiceError(Exception):
    """What the package raises for a service that refuses."""


class Run:
    def __init__(self, run_id):
        self.id = run_id
        self.logged, self.metrics, self.is_finished = [], [], False

    def define_metric(self, name, step_metric=None):
        self.metrics.append((name, step_metric))

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.is_finished = True


@pytest.fixture
def service(monkeypatch):
    """A package `wandb` that keeps what it is given."""
    fake = SimpleNamespace(Error=ServiceError, calls=[], runs=[])

    def init(**arguments):
        fake.calls.append(arguments)
        fake.runs.append(Run(arguments["id"] or f"run{len(fake.calls)}"))
        return fake.runs[-1]

    fake.init = init
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


class Loop(TrainerBase):
    def run_step(self):
        self.storage.put_scalar("total_loss", float(self.iter))
        if self.iter == 1:
            self.storage.put_scalar("bbox/AP50_tiny", 0.5, smoothing_hint=False)


def train(folder, start, end, period=2):
    loop = Loop()
    loop.register_hooks([WandbHook(WandbWriter("tiny", folder), period)])
    loop.train(start, end)


def test_scalars_are_logged_with_their_iteration(tmp_path, service):
    train(tmp_path, 0, 5)
    (run,) = service.runs
    assert run.logged == [
        {"total_loss": 0.5, "bbox/AP50_tiny": 0.5, "iteration": 1},
        # smoothed: the median of 0, 1, 2, 3
        {"total_loss": 1.5, "iteration": 3},
        {"total_loss": 2.0, "iteration": 4},
    ]
    assert run.metrics == [("iteration", None), ("*", "iteration")]
    assert run.is_finished


def test_the_run_is_opened_in_its_project_and_folder(tmp_path, service):
    train(tmp_path / "mine", 0, 1)
    assert service.calls == [
        {
            "project": "tiny",
            "name": "mine",
            "dir": str(tmp_path / "mine"),
            "id": None,
            "resume": "allow",
        }
    ]
    assert (tmp_path / "mine" / "wandb_run_id.txt").read_text() == "run1"


def test_a_resumed_training_goes_on_with_its_run(tmp_path, service):
    train(tmp_path, 0, 2)
    train(tmp_path, 2, 4)
    assert [call["id"] for call in service.calls] == [None, "run1"]
    assert service.runs[1].logged == [{"total_loss": 2.5, "iteration": 3}]


def test_a_new_training_in_the_folder_gets_a_new_run(tmp_path, service):
    train(tmp_path, 0, 2)
    train(tmp_path, 0, 2)
    assert [call["id"] for call in service.calls] == [None, None]
    assert (tmp_path / "wandb_run_id.txt").read_text() == "run2"


def test_a_resumed_training_that_had_no_run_gets_one(tmp_path, service):
    train(tmp_path, 2, 4)
    assert service.calls[0]["id"] is None


def test_a_service_that_refuses_is_said(tmp_path, service):
    def init(**arguments):
        raise ServiceError("api_key not configured")

    service.init = init
    with pytest.raises(InputError, match=r"project 'tiny' of Weights .*api_key not configured"):
        train(tmp_path, 0, 1)


def test_without_the_package_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"WANDB_PROJECT.*needs the package wandb, which is not"):
        check_wandb()


def test_a_writer_that_was_never_started_writes_nothing(tmp_path):
    writer = WandbWriter("tiny", tmp_path)
    writer.write()
    writer.close()
    assert list(tmp_path.iterdir()) == []
