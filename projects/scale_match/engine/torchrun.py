"""Processes that torchrun or SLURM has started: their place is in the environment."""

import os
from collections.abc import Mapping

from scale_match.core.errors import InputError
from scale_match.engine.process_group import Place

__all__ = ["local_processes", "refuse_torchrun", "torchrun_place"]

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def torchrun_place(environment: Mapping[str, str] | None = None) -> Place | None:
    """The place of this process, if torchrun has started it.

    ``LOCAL_RANK`` decides: clusters set the other variables for processes of their own, too.

    Args:
        environment: By default that of this process.

    Returns:
        None in a process that a person has started.

    Raises:
        InputError: A variable is missing or no number, or the processes are not numbered machine
            by machine, the same number on each.
    """
    values = os.environ if environment is None else environment
    if "LOCAL_RANK" not in values:
        return None
    missing = [name for name in _NEEDED if not values.get(name)]
    if missing:
        raise InputError(
            f"LOCAL_RANK is set in the environment, but not {', '.join(missing)}: torchrun sets "
            "all of them; unset LOCAL_RANK to start without torchrun"
        )
    numbers = {name: _number(values, name) for name in _NEEDED if name != "MASTER_ADDR"}
    place = Place(
        rank=numbers["RANK"],
        local_rank=numbers["LOCAL_RANK"],
        world_size=numbers["WORLD_SIZE"],
        per_machine=numbers["LOCAL_WORLD_SIZE"],
        url="env://",
    )
    if place.per_machine < 1 or place.world_size % place.per_machine:
        raise InputError(
            f"every machine must run as many processes as the others: LOCAL_WORLD_SIZE is "
            f"{place.per_machine} here, WORLD_SIZE is {place.world_size}"
        )
    if place.rank % place.per_machine != place.local_rank or place.rank >= place.world_size:
        raise InputError(
            f"RANK {place.rank} is not that of LOCAL_RANK {place.local_rank} where each machine "
            f"runs {place.per_machine} of {place.world_size} processes: number them machine by "
            "machine (srun --distribution=block)"
        )
    return place


def local_processes(
    num_gpus: int, *, num_machines: int = 1, machine_rank: int = 0, dist_url: str = "auto"
) -> int:
    """Processes on this machine: those of torchrun, else ``num_gpus``.

    Raises:
        InputError: torchrun has started other processes than the options ask for, or
            :func:`torchrun_place` refuses the environment.
    """
    place = torchrun_place()
    if place is None:
        return num_gpus
    machines = place.world_size // place.per_machine
    own_rank = place.rank // place.per_machine
    for option, value, default, started in (
        ("--num-gpus", num_gpus, 1, place.per_machine),
        ("--num-machines", num_machines, 1, machines),
        ("--machine-rank", machine_rank, 0, own_rank),
    ):
        if value not in (default, started):
            raise InputError(
                f"{option} {value} contradicts torchrun, which says {started}: leave {option} out"
            )
    if dist_url != "auto":
        raise InputError(
            "the processes of torchrun meet where its --master-addr says: leave "
            f"--dist-url {dist_url} out"
        )
    return place.per_machine


def refuse_torchrun(tool: str) -> None:
    """For a tool that starts its processes itself, stage by stage.

    Raises:
        InputError: torchrun has started this process.
    """
    if torchrun_place() is not None:
        raise InputError(
            f"{tool} starts its processes itself: run it once, without torchrun, with --num-gpus"
        )


def _number(values: Mapping[str, str], name: str) -> int:
    if not values[name].isdecimal():
        raise InputError(
            f"{name} in the environment must be a number from 0, received {values[name]!r}"
        )
    return int(values[name])
