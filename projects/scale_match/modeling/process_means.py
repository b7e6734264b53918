"""Numbers that all processes of a training agree on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["mean_over_processes", "means_of_this_process"]

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
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if several and not _is_alone:
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean
