"""Starting the processes of a training, on GPUs and on CPUs.

detectron2's ``launch`` starts one process per GPU; the one of version 0.5 refuses to start any
without CUDA. Here the processes of a CPU training are started by :func:`launch` itself and talk by
gloo, with either version. Processes that torchrun has started only join their group. What goes
wrong in a process comes back as one sentence.
"""

import os
import pickle
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import format_exc
from typing import Any, TypeVar
from urllib.parse import urlparse

import torch
from detectron2.utils import comm
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    start_processes,
)

from scale_match.core.errors import InputError
from scale_match.engine.process_group import (
    Place,
    is_lost_process,
    lost_processes_explained,
    process_group,
)
from scale_match.engine.torchrun import local_processes, torchrun_place

__all__ = ["check_device", "launch"]

Result = TypeVar("Result")

_RESULT_FILE = "result.pickle"


def check_device(device: str, *, key: str, num_gpus: int = 1) -> None:
    """Refuses a device that this machine does not have.

    Args:
        device: A torch device, as "cpu", "cuda", "cuda:1".
        key: The config key, with a value to set, that the sentence advises.
        num_gpus: Processes per machine; with CUDA each needs a GPU of its own.

    Raises:
        InputError: It is no device, CUDA is asked for and absent, or there are fewer GPUs.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(f"{device!r} is no device: use cpu or cuda ({key})") from error
    if num_gpus < 1:
        raise InputError(f"--num-gpus must be at least 1, received {num_gpus}")
    if kind != "cuda":
        return
    if not torch.cuda.is_available():
        raise InputError(
            f"the device is {device!r}, but this Python finds no CUDA GPU: set {key} to run on "
            "the CPU"
        )
    if num_gpus > torch.cuda.device_count():
        raise InputError(
            f"--num-gpus {num_gpus} asks for more GPUs than the {torch.cuda.device_count()} here"
        )


def launch(
    main: Callable[..., Result],
    *,
    num_gpus: int = 1,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
    device: str = "cuda",
    args: Sequence[Any] = (),
) -> Result | None:
    """Runs ``main(*args)`` in ``num_gpus`` processes on this machine, and waits for them.

    A process of torchrun is one of them already: it runs ``main`` as part of torchrun's group.

    Args:
        main: Importable by name, since the processes start afresh.
        num_gpus: Processes on this machine; on the CPU too.
        num_machines: Machines that run this call.
        machine_rank: Which of them this is.
        dist_url: Where the processes meet, as "tcp://host:port"; "auto" on one machine.
        device: "cpu" or "cuda...": which way to start them; see :func:`check_device`.
        args: Arguments of ``main``; must be picklable.

    Returns:
        What ``main`` returned in the first process of this machine; must be picklable too. In a
        process of torchrun, what it returned in this one.

    Raises:
        InputError: ``main`` raised one in any process of this machine; or a process was killed;
            or ``dist_url`` cannot be used; or the arguments contradict torchrun.
    """
    place = torchrun_place()
    if place is not None:
        local_processes(
            num_gpus, num_machines=num_machines, machine_rank=machine_rank, dist_url=dist_url
        )
        if place.world_size == 1:
            return main(*args)
        with process_group(place, device):
            return main(*args)
    world_size = num_machines * num_gpus
    if world_size == 1:
        return main(*args)
    if machine_rank == 0:
        _check_url(dist_url, num_machines)
    elif dist_url == "auto":
        raise InputError(f"--dist-url auto needs one machine, received {num_machines}")
    with tempfile.TemporaryDirectory(prefix="scale_match_launch") as name:
        folder = Path(name)
        job = _Job(main, tuple(args), folder)
        try:
            if torch.device(device).type == "cuda":
                # Here, because it brings all of detectron2 and doubles the start of a process.
                from detectron2.engine import launch as launch_on_gpus

                launch_on_gpus(job, num_gpus, num_machines, machine_rank, dist_url, ())
            else:
                url = _meeting(dist_url, folder)
                first = machine_rank * num_gpus
                _run_on_cpu(job, Place(first, 0, world_size, num_gpus, url))
        except (ProcessRaisedException, ProcessExitedException) as error:
            raise _cause(error, folder) from error
        return job.result()


@dataclass(frozen=True, slots=True)
class _Job:
    """The call that each process makes, and where it leaves its outcome."""

    main: Callable[..., Any]
    args: tuple[Any, ...]
    folder: Path

    def __call__(self) -> None:
        with self.noting_failure(comm.get_rank()), lost_processes_explained():
            value = self.main(*self.args)
        if comm.get_local_rank() == 0:
            (self.folder / _RESULT_FILE).write_bytes(pickle.dumps(value))

    @contextmanager
    def noting_failure(self, rank: int) -> Iterator[None]:
        """Leaves what ends the process where the parent finds it; the inner one of two counts."""
        path = self.folder / f"failure{rank}"
        try:
            yield
        except Exception as error:
            if not path.exists():
                path.write_bytes(pickle.dumps(_Failure.of(error)))
            raise

    def result(self) -> Any:  # noqa: ANN401 - what main returned
        return pickle.loads((self.folder / _RESULT_FILE).read_bytes())


@dataclass(frozen=True, slots=True, order=True)
class _Failure:
    """What ended a process; the least one is the cause, the others failed for want of it."""

    is_consequence: bool
    when: float
    is_input_error: bool
    sentence: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> "_Failure":
        is_input_error = isinstance(error, InputError)
        return cls(is_lost_process(error), time.time(), is_input_error, str(error), format_exc())


def _run_on_cpu(job: _Job, first: Place) -> None:
    """Starts the CPU processes of this machine, given the first one's place, and waits for them.

    Raises:
        ProcessRaisedException: One of them raised an exception.
        ProcessExitedException: One of them was killed.
    """
    context = start_processes(  # type: ignore[no-untyped-call]
        _cpu_process, args=(job, first), nprocs=first.per_machine, join=False, start_method="spawn"
    )
    try:
        while not context.join():
            pass
    except ProcessRaisedException:
        # One that was killed takes the others with it, which may be seen first.
        for index, process in enumerate(context.processes):
            code = process.exitcode
            if code is not None and code < 0 and code != -signal.SIGTERM:
                raise ProcessExitedException(
                    "killed", index, process.pid, code, signal.Signals(-code).name
                ) from None
        raise


def _cpu_process(local_rank: int, job: _Job, first: Place) -> None:
    """Body of one CPU process: joins the group and does the job."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max((os.cpu_count() or 1) // first.per_machine, 1))
    place = replace(first, rank=first.rank + local_rank, local_rank=local_rank)
    with job.noting_failure(place.rank), process_group(place, "cpu"):
        job()


def _meeting(dist_url: str, folder: Path) -> str:
    """A file of our own as the meeting point of one machine: no port that could be taken."""
    return (folder / "meeting").as_uri() if dist_url == "auto" else dist_url


def _check_url(dist_url: str, num_machines: int) -> None:
    """Refuses a meeting point that cannot work, before any process is started."""
    if dist_url == "auto":
        if num_machines > 1:
            raise InputError(
                f"--dist-url auto needs one machine, received {num_machines}: name a free port of "
                "the first machine, as tcp://10.0.0.1:29500"
            )
        return
    url = urlparse(dist_url)
    if url.scheme not in {"tcp", "env", "file"}:
        raise InputError(f"--dist-url must look like tcp://host:port, received {dist_url!r}")
    if url.scheme != "tcp":
        return
    try:
        port = url.port
    except ValueError:
        port = None
    if not url.hostname or port is None:
        raise InputError(f"--dist-url must look like tcp://host:port, received {dist_url!r}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError as error:
            raise InputError(
                f"port {port} of --dist-url {dist_url} cannot be used ({error.strerror}): "
                "choose another, or auto on one machine"
            ) from error


def _cause(error: Exception, folder: Path) -> Exception:
    """What to raise for failed processes: what came first, in its own words."""
    if isinstance(error, ProcessExitedException):
        by = f" by {error.signal_name}" if error.signal_name else ""
        return InputError(
            f"process {error.error_index} was ended{by} with exit code {error.exit_code} "
            "(SIGKILL is often a lack of memory); --resume goes on from the last checkpoint"
        )
    failures: list[_Failure] = [pickle.loads(path.read_bytes()) for path in folder.glob("failure*")]
    if not failures:
        return error
    first = min(failures)
    if first.is_input_error:
        return InputError(first.sentence)
    return RuntimeError(f"a process of the run failed:\n{first.traceback}")
