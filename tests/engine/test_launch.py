import socket
import threading

import pytest
import torch

from engine import workers
from scale_match.core.errors import InputError
from scale_match.engine.launch import check_device, launch


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]


def test_one_process_is_a_plain_call():
    assert launch(lambda: "here", num_gpus=1, device="cpu") == "here"


def test_two_cpu_processes_form_one_group_and_the_first_ones_value_returns():
    assert launch(workers.gather_ranks, num_gpus=2, device="cpu", args=(10,)) == [
        (0, 0, 2),
        (10, 1, 2),
    ]


def on_two_machines(job, *args):
    """What a call of launch on each of two "machines" returns or raises; both are this one."""
    port = free_port()
    results = {}

    def machine(rank):
        try:
            results[rank] = launch(
                job,
                num_gpus=1,
                num_machines=2,
                machine_rank=rank,
                dist_url=f"tcp://127.0.0.1:{port}",
                device="cpu",
                args=args,
            )
        except InputError as error:
            results[rank] = str(error)

    threads = [threading.Thread(target=machine, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results[0], results[1]


def test_two_machines_with_one_cpu_process_each_meet_at_a_port():
    ranks = [(0, 0, 1), (1, 0, 1)]
    assert on_two_machines(workers.gather_ranks, 1) == (ranks, ranks)


def test_a_process_killed_on_another_machine_ends_this_one_with_a_sentence():
    first, second = on_two_machines(workers.die)
    assert first.startswith("process 0 lost another of the 2 processes of this run")
    assert "--resume goes on from the last checkpoint" in first
    assert second.startswith("process 0 was ended by SIGKILL")


def test_bad_input_in_a_process_is_one_sentence_in_the_parent():
    # The other process fails too, for want of this one; its error must not win.
    with pytest.raises(InputError) as caught:
        launch(workers.fail_with_a_sentence, num_gpus=2, device="cpu", args=(1,))
    assert str(caught.value) == "rank 1 does not like its input"


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a fault of the program"):
        launch(workers.fail_otherwise, num_gpus=2, device="cpu")


def test_a_killed_process_is_said_with_its_signal_and_what_to_do():
    with pytest.raises(InputError, match=r"process 1 was ended by SIGKILL.*--resume"):
        launch(workers.die, num_gpus=2, device="cpu")


def test_a_port_in_use_is_refused_before_any_process_starts():
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of --dist-url tcp://127.0.0.1:{port}"):
            launch(
                workers.gather_ranks, num_gpus=2, device="cpu", dist_url=f"tcp://127.0.0.1:{port}"
            )


@pytest.mark.parametrize("rank", [0, 1])
def test_several_machines_need_a_named_meeting_point(rank):
    with pytest.raises(InputError, match="--dist-url auto needs one machine, received 2"):
        launch(workers.gather_ranks, num_gpus=1, num_machines=2, machine_rank=rank, device="cpu")


@pytest.mark.parametrize("url", ["127.0.0.1:29500", "tcp://127.0.0.1", "tcp://:x", "tcp://a:b"])
def test_a_meeting_point_of_another_form_is_refused(url):
    with pytest.raises(InputError, match="--dist-url must look like tcp://host:port"):
        launch(workers.gather_ranks, num_gpus=2, device="cpu", dist_url=url)


def test_cuda_without_a_gpu_is_refused_naming_the_key(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"'cuda'.*finds no CUDA GPU: set MODEL\.DEVICE cpu"):
        check_device("cuda", key="MODEL.DEVICE cpu")
    check_device("cpu", key="MODEL.DEVICE cpu", num_gpus=8)


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda", key="MODEL.DEVICE cpu", num_gpus=2)
    with pytest.raises(InputError, match="--num-gpus 4 asks for more GPUs than the 2 here"):
        check_device("cuda", key="MODEL.DEVICE cpu", num_gpus=4)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", ""])
def test_something_that_is_no_device_is_refused(device):
    with pytest.raises(InputError, match="is no device"):
        check_device(device, key="MODEL.DEVICE cpu")


def test_no_process_at_all_is_refused():
    with pytest.raises(InputError, match="--num-gpus must be at least 1, received 0"):
        check_device("cpu", key="MODEL.DEVICE cpu", num_gpus=0)


def test_on_gpus_the_job_goes_through_detectron2s_launch(monkeypatch):
    calls = []

    def stock_launch(main_func, *places):
        calls.append(places)
        main_func()

    monkeypatch.setattr("detectron2.engine.launch", stock_launch)
    result = launch(
        workers.gather_ranks,
        num_gpus=2,
        num_machines=1,
        dist_url="auto",
        device="cuda",
        args=(3,),
    )
    # Not in a group here: the one rank is 0.
    assert result == [(0, 0, 1)]
    # Processes per machine, machines, rank of this one, meeting point, arguments.
    assert calls == [(2, 1, 0, "auto", ())]
