"""What the processes of the launch tests run; started afresh, they import it by name."""

import os
import signal
from pathlib import Path

import torch
from detectron2.utils import comm

from scale_match.core.errors import InputError


def gather_ranks(factor: int) -> list[tuple[int, int, int]]:
    """In every process the same list: (rank * factor, local rank, processes per machine)."""
    own = (comm.get_rank() * factor, comm.get_local_rank(), comm.get_local_size())
    return comm.all_gather(own)


def sum_by_gloo() -> float:
    value = torch.tensor([float(comm.get_rank() + 1)])
    torch.distributed.all_reduce(value)
    return float(value)


def fail_with_a_sentence(failing_rank: int) -> None:
    if comm.get_rank() == failing_rank:
        raise InputError(f"rank {failing_rank} does not like its input")
    comm.synchronize()


def fail_otherwise() -> None:
    if comm.get_rank() == 1:
        raise ZeroDivisionError("a fault of the program")
    comm.synchronize()


def die() -> None:
    if comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.synchronize()


def write_rank(folder: Path) -> None:
    (folder / f"rank{comm.get_rank()}").write_text(str(comm.get_world_size()))
