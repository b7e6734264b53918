"""The place of a process that torchrun has started, and processes that are lost."""

import pytest
import torch

from engine import workers
from scale_match.core.errors import InputError
from scale_match.engine.launch import _Failure, launch
from scale_match.engine.process_group import (
    LostProcessError,
    Place,
    is_lost_process,
    lost_processes_explained,
    process_group,
)
from scale_match.engine.torchrun import local_processes, refuse_torchrun, torchrun_place

# Process 3 of 4 on two machines.
SECOND_OF_SECOND = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.fixture
def under_torchrun(monkeypatch):
    """Sets the environment of a process of torchrun."""

    def place(**changes):
        for name, value in {**SECOND_OF_SECOND, **changes}.items():
            monkeypatch.setenv(name, value)

    return place


def test_a_process_that_a_person_starts_has_no_place():
    # Clusters set these for processes of their own.
    assert torchrun_place({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "here"}) is None
    assert torchrun_place({}) is None


def test_the_place_is_that_of_the_environment():
    assert torchrun_place(SECOND_OF_SECOND) == Place(3, 1, 4, 2, "env://")


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT"])
def test_a_variable_that_is_missing_or_no_number_is_named(name):
    rest = {key: value for key, value in SECOND_OF_SECOND.items() if key != name}
    with pytest.raises(InputError, match=f"LOCAL_RANK is set in the environment, but not {name}"):
        torchrun_place(rest)
    with pytest.raises(InputError, match=f"{name} in the environment must be a number.*'-1'"):
        torchrun_place({**rest, name: "-1"})


@pytest.mark.parametrize("per_machine", ["3", "0"])
def test_machines_with_different_numbers_of_processes_are_refused(per_machine):
    with pytest.raises(InputError, match=r"as many processes.*WORLD_SIZE is 4"):
        torchrun_place({**SECOND_OF_SECOND, "LOCAL_WORLD_SIZE": per_machine})


@pytest.mark.parametrize("changes", [{"LOCAL_RANK": "0"}, {"RANK": "5"}])
def test_ranks_that_are_not_given_machine_by_machine_are_refused(changes):
    with pytest.raises(InputError, match="--distribution=block"):
        torchrun_place({**SECOND_OF_SECOND, **changes})


def test_torchrun_decides_how_many_processes_there_are(under_torchrun):
    assert local_processes(3) == 3
    under_torchrun()
    assert local_processes(1) == 2
    assert local_processes(2, num_machines=2, machine_rank=1) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_gpus": 4}, "--num-gpus 4 contradicts torchrun, which says 2: leave --num-gpus out"),
        ({"num_machines": 3}, "--num-machines 3 contradicts torchrun, which says 2"),
        ({"machine_rank": 2}, "--machine-rank 2 contradicts torchrun, which says 1"),
        ({"dist_url": "tcp://a:1"}, "--master-addr says: leave --dist-url tcp://a:1 out"),
    ],
)
def test_options_that_contradict_torchrun_are_refused(under_torchrun, options, message):
    under_torchrun()
    with pytest.raises(InputError, match=message):
        local_processes(**{"num_gpus": 1, **options})
    with pytest.raises(InputError, match=message):
        launch(workers.gather_ranks, device="cpu", args=(1,), **options)


def test_the_only_process_of_torchrun_is_a_plain_call(under_torchrun):
    under_torchrun(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", LOCAL_WORLD_SIZE="1")
    assert launch(lambda: "here", device="cpu") == "here"


def test_a_tool_that_starts_processes_itself_refuses_torchrun(under_torchrun):
    refuse_torchrun("transfer.py")
    under_torchrun()
    with pytest.raises(InputError, match=r"transfer\.py starts its processes itself.*--num-gpus"):
        refuse_torchrun("transfer.py")


def test_processes_that_cannot_meet_are_said_with_the_place(monkeypatch):
    def refuse(**_):
        raise RuntimeError("timed out\nmore")

    monkeypatch.setattr("torch.distributed.init_process_group", refuse)
    place = Place(1, 0, 2, 1, "tcp://10.0.0.1:29500")
    with (
        pytest.raises(InputError, match=r"process 1 of 2.*tcp://10\.0\.0\.1:29500 \(timed out\)"),
        process_group(place, "cpu"),
    ):
        pass


LOST = "[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:5"


def test_a_lost_process_is_one_sentence_and_other_faults_stay():
    with (
        pytest.raises(LostProcessError, match=r"lost another.*--resume"),
        lost_processes_explained(),
    ):
        raise RuntimeError(LOST)
    with pytest.raises(RuntimeError, match="shape"), lost_processes_explained():
        raise RuntimeError("shape mismatch")
    assert is_lost_process(torch.distributed.DistBackendError("NCCL"))
    assert not is_lost_process(ValueError(LOST))


def test_the_loss_of_another_process_is_not_taken_for_the_cause():
    lost = _Failure.of(LostProcessError("process 0 lost another"))
    cause = _Failure.of(InputError("rank 1 says why"))  # noted later
    assert min(lost, cause) is cause
