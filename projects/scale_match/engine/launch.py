"""Starting the processes of a training, on GPUs and on CPUs.

detectron2's ``launch`` starts one process per GPU; the one of version 0.5 refuses to start any
without CUDA. Here the processes of a CPU training are started by :func:`launch` itself and talk by
gloo, with either version. What goes wrong in a process comes back as one sentence.
"""

import os
import pickle
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlparse

import torch
import torch.distributed as dist
from detectron2.engine import launch as launch_on_gpus
from detectron2.utils import comm
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from scale_match.core.errors import InputError

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

    Args:
        main: Importable by name, since the processes start afresh.
        num_gpus: Processes on this machine; on the CPU too.
        num_machines: Machines that run this call.
        machine_rank: Which of them this is.
        dist_url: Where the processes meet, as "tcp://host:port"; "auto" on one machine.
        device: "cpu" or "cuda...": which way to start them; see :func:`check_device`.
        args: Arguments of ``main``; must be picklable.

    Returns:
        What ``main`` returned in the first process of this machine; must be picklable too.

    Raises:
        InputError: ``main`` raised one in any process of this machine; or a process was killed;
            or ``dist_url`` cannot be used.
    """
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
                launch_on_gpus(job, num_gpus, num_machines, machine_rank, dist_url, ())
            else:
                group = _Group(num_gpus, world_size, machine_rank, _meeting(dist_url, folder))
                spawn(_cpu_process, args=(job, group), nprocs=num_gpus)  # type: ignore[no-untyped-call]
        except (ProcessRaisedException, ProcessExitedException) as error:
            raise _sentence(error, folder) from error
        return job.result()


@dataclass(frozen=True, slots=True)
class _Job:
    """The call that each process makes, and where it leaves its outcome."""

    main: Callable[..., Any]
    args: tuple[Any, ...]
    folder: Path

    def __call__(self) -> None:
        try:
            value = self.main(*self.args)
        except InputError as error:
            (self.folder / f"error{comm.get_rank()}.txt").write_text(str(error))
            raise
        if comm.get_local_rank() == 0:
            (self.folder / _RESULT_FILE).write_bytes(pickle.dumps(value))

    def result(self) -> Any:  # noqa: ANN401 - what main returned
        return pickle.loads((self.folder / _RESULT_FILE).read_bytes())


@dataclass(frozen=True, slots=True)
class _Group:
    """The processes that work together."""

    per_machine: int
    world_size: int
    machine_rank: int
    url: str


def _cpu_process(local_rank: int, job: _Job, group: _Group) -> None:
    """Body of one CPU process: joins the group and does the job."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max((os.cpu_count() or 1) // group.per_machine, 1))
    dist.init_process_group(
        backend="gloo",
        init_method=group.url,
        world_size=group.world_size,
        rank=group.machine_rank * group.per_machine + local_rank,
    )
    _create_local_group(group)
    comm.synchronize()
    try:
        job()
    finally:
        dist.destroy_process_group()


def _create_local_group(group: _Group) -> None:
    """Tells detectron2 which processes share this machine."""
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(group.per_machine)
        return
    # detectron2 0.5 has this line inside its own launch only.
    for machine in range(group.world_size // group.per_machine):
        first = machine * group.per_machine
        ranks = dist.new_group(list(range(first, first + group.per_machine)))
        if machine == group.machine_rank:
            comm._LOCAL_PROCESS_GROUP = ranks


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


def _sentence(error: Exception, folder: Path) -> Exception:
    """What to raise for a failed process: its own sentence where it left one."""
    left = sorted(folder.glob("error*.txt"))
    if left:
        return InputError(left[0].read_text())
    if isinstance(error, ProcessExitedException):
        signal = f" by {error.signal_name}" if error.signal_name else ""
        return InputError(
            f"process {error.error_index} was ended{signal} with exit code {error.exit_code} "
            "(SIGKILL is often a lack of memory); --resume goes on from the last checkpoint"
        )
    return error
