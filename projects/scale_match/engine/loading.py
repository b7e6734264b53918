"""A loader's worker process that dies, said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from scale_match.core.errors import InputError

__all__ = ["dead_workers_explained", "is_dead_worker"]


@contextmanager
def dead_workers_explained() -> Iterator[None]:
    """Around whatever takes batches from a loader, and what is done with them.

    torch says that a worker was killed as soon as it hears of it, wherever the program is then:
    mostly not in the loader but in a model's forward pass.

    Raises:
        InputError: A worker process ended, which torch says by a RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_dead_worker(error):
            raise
        raise InputError(
            f"{str(error).splitlines()[0].rstrip()} A process that loads images ended, often for "
            "lack of memory: fewer of them (DATALOADER.NUM_WORKERS, dataloader.train.num_workers) "
            "need less"
        ) from error


def is_dead_worker(error: BaseException) -> bool:
    """Whether this is torch's way to say that a worker process ended.

    An error that was raised in a worker, which torch raises here once more, is not.
    """
    message = str(error)
    raised_there = message.startswith("Caught ")
    return isinstance(error, RuntimeError) and "DataLoader worker" in message and not raised_there
