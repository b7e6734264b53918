"""Joining the processes of a run into one group, and saying in one sentence when it breaks."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from detectron2.utils import comm

from scale_match.core.errors import InputError

__all__ = [
    "LostProcessError",
    "Place",
    "is_lost_process",
    "lost_processes_explained",
    "process_group",
]

# What gloo, NCCL and their meeting point say when another process is gone.
_LOST = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Socket closed",
    "remote process exited",
    "NCCL communicator was aborted",
    "failed to recv, got 0 bytes",
)


class LostProcessError(InputError):
    """Another process of the run has ended; this one is not to blame."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands among those of its run.

    Attributes:
        rank: From 0, over all machines.
        local_rank: From 0, on this machine.
        world_size: Processes of the run.
        per_machine: Processes on each machine.
        url: Where they meet: "tcp://host:port", "file://..." or "env://".
    """

    rank: int
    local_rank: int
    world_size: int
    per_machine: int
    url: str


@contextmanager
def process_group(place: Place, device: str) -> Iterator[None]:
    """Inside, this process belongs to the group of its run, by NCCL on GPUs and gloo else.

    Args:
        place: Of this process.
        device: "cpu" or "cuda..."; with CUDA each process takes the GPU of its local rank.

    Raises:
        InputError: The others could not be met.
        LostProcessError: Another process has ended.
    """
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(place.local_rank)
    try:
        dist.init_process_group(
            backend="nccl" if on_gpu else "gloo",
            init_method=place.url,
            world_size=place.world_size,
            rank=place.rank,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(_not_met(place, error)) from error
    try:
        with lost_processes_explained():
            _create_local_group(place)
            comm.synchronize()
            yield
            comm.synchronize()  # nobody leaves while another still needs it
    finally:
        dist.destroy_process_group()
        # detectron2 keeps the groups; threads of theirs would outlive the interpreter and abort it.
        comm._LOCAL_PROCESS_GROUP = None
        comm._get_global_gloo_group.cache_clear()
        gc.collect()


@contextmanager
def lost_processes_explained() -> Iterator[None]:
    """Around what a process of a group does.

    Raises:
        LostProcessError: Another process has ended, which torch says by a RuntimeError.
    """
    rank, world_size = comm.get_rank(), comm.get_world_size()
    try:
        yield
    except RuntimeError as error:
        if not is_lost_process(error):
            raise
        raise LostProcessError(
            f"process {rank} lost another of the {world_size} processes of this run (killed, out "
            "of memory, or its machine is gone): its own output says why; --resume goes on from "
            "the last checkpoint"
        ) from error


def is_lost_process(error: BaseException) -> bool:
    """Whether an error says that another process of the group is gone."""
    if isinstance(error, LostProcessError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _LOST)


def _create_local_group(place: Place) -> None:
    """Tells detectron2 which processes share this machine."""
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(place.per_machine)
        return
    # detectron2 0.5 has this line inside its own launch only.
    for first in range(0, place.world_size, place.per_machine):
        ranks = dist.new_group(list(range(first, first + place.per_machine)))
        if first <= place.rank < first + place.per_machine:
            comm._LOCAL_PROCESS_GROUP = ranks


def _not_met(place: Place, error: Exception) -> str:
    """A sentence on a meeting that failed."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"process {place.rank} of {place.world_size} could not meet the others at {place.url} "
        f"({reason}): the same command must run on every machine, each with its own rank, and the "
        "port must be free and open"
    )
