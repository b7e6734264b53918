"""Numbers that all processes of a training agree on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["at_least_one", "mean_over_processes", "means_of_this_process"]

_is_alone = False


@contextmanager
def means_of_this_process() -> Iterator[None]:
    """Inside, a mean over the processes is the value of this one, and nobody is waited for.

    For a forward pass that the other processes do not do at the same time.
    """
    global _is_alone
    before, _is_alone = _is_alone, True
    try:
        yield
    finally:
        _is_alone = before


@torch.no_grad()
def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a number over the processes of a training, by gloo and by NCCL.

    Losses divided by the mean of a count, averaged over processes as DistributedDataParallel
    averages gradients, are the sums of all processes divided by the count of all of them: 2
    processes of 2 images each get the gradients of 1 process of 4.

    All processes must come here, or those that do wait forever; see
    :func:`means_of_this_process`. In one process this only converts; nothing waits for the GPU.

    Args:
        value: One number, (), on the device of the model.

    Returns:
        The same in all processes, (), float64: a count divided by it loses no digit.
    """
    # A copy: the sum is written over it.
    mean = value.detach().to(torch.float64, copy=True)
    processes = _num_processes()
    if processes > 1:
        dist.all_reduce(mean)
        mean /= processes
    return mean


def at_least_one(mean: Tensor) -> Tensor:
    """A mean of counts over the processes to divide by: as if one were counted where none is.

    One in all processes together, so that 2 processes of 2 images still get the gradients of 1
    process of 4 where fewer are counted than there are processes.

    Args:
        mean: Of :func:`mean_over_processes`.
    """
    return mean.clamp(min=1 / _num_processes())


def _num_processes() -> int:
    """Over how many processes the mean is taken."""
    if _is_alone or not (dist.is_available() and dist.is_initialized()):
        return 1
    return int(dist.get_world_size())
