"""A loader's worker process that dies, said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from scale_match.core.errors import InputError

__all__ = ["dead_workers_explained"]


@contextmanager
def dead_workers_explained() -> Iterator[None]:
    """Around whatever takes batches from a loader.

    Raises:
        InputError: A worker process ended, which torch says by a RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "DataLoader worker" not in text:
            raise
        raise InputError(
            f"{text.splitlines()[0]} A process that loads images ended, often for lack of memory: "
            "fewer of them (DATALOADER.NUM_WORKERS, dataloader.train.num_workers) need less"
        ) from error
