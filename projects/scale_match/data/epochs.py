"""Which images make the batch of an iteration: arithmetic on (seed, iteration), no state.

A resumed run starts at its iteration and meets the batches that it would have met. Processes share
a batch by taking slices of it, so their number changes nothing either. No torch here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.core.records import BoolArray, IntArray

__all__ = ["EpochBatchSampler", "EpochPlan", "seed_words"]


class EpochPlan:
    """The batches of every epoch.

    In an epoch each image comes once, in an order drawn from (seed, epoch). A batch holds images of
    one orientation, so that little of it is padding: wide (width >= height) and tall images form
    batches of their own, in mixed order. The last batch of a group is filled up with the group's
    first images of the epoch; a group smaller than a batch repeats.

    Attributes:
        size: Number of images.
        total_batch: Images per iteration over all processes.
        seed: Not negative.
        batches_per_epoch: Iterations that make an epoch.
    """

    def __init__(self, wide: npt.ArrayLike, total_batch: int, seed: int) -> None:
        """Plan for images given by their orientation.

        Args:
            wide: Whether an image is at least as wide as high, (size,) booleans.
            total_batch: Images per iteration over all processes, at least 1.
            seed: Not negative; the same in all processes.

        Raises:
            InputError: There is no image, or a number is out of range.
        """
        self._wide: BoolArray = np.asarray(wide, np.bool_)
        if self._wide.size == 0:
            raise InputError("the data set to train on has no image at all")
        if total_batch < 1:
            raise InputError(f"the total batch must be at least 1 image, not {total_batch}")
        if seed < 0:
            raise InputError(f"the seed of the data order must not be negative, but is {seed}")
        self.size = int(self._wide.size)
        self.total_batch = total_batch
        self.seed = seed
        groups = np.bincount(self._wide, minlength=2)
        self.batches_per_epoch = int(np.sum(-(-groups // total_batch)))  # each rounded up
        self._cached: tuple[int, IntArray] | None = None

    @classmethod
    def from_dicts(
        cls, dicts: Sequence[dict[str, Any]], *, total_batch: int, seed: int
    ) -> "EpochPlan":
        """Plan for data set dictionaries; their ``width`` and ``height`` count.

        Raises:
            InputError: As the constructor.
        """
        wide = [entry["width"] >= entry["height"] for entry in dicts]
        return cls(wide, total_batch, seed)

    def epoch(self, iteration: int) -> int:
        """The epoch, from 0, that an iteration, from 0, belongs to."""
        return iteration // self.batches_per_epoch

    def batch(self, iteration: int) -> IntArray:
        """Indices of the images of an iteration's batch, (total_batch,), for all processes."""
        epoch, position = divmod(iteration, self.batches_per_epoch)
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, self._batches(epoch)
        return self._cached[1][position].copy()

    def _batches(self, epoch: int) -> IntArray:
        """All batches of an epoch, (batches_per_epoch, total_batch)."""
        generator = np.random.default_rng([*seed_words(self.seed), *seed_words(epoch)])
        order = generator.permutation(self.size)
        groups = [order[self._wide[order]], order[~self._wide[order]]]
        batches = np.concatenate([self._in_batches(group) for group in groups])
        return generator.permutation(batches)  # of the rows

    def _in_batches(self, group: IntArray) -> IntArray:
        rows = -(-group.size // self.total_batch)
        # np.resize fills up by starting again with the group's first images.
        return np.resize(group, (rows, self.total_batch))


class EpochBatchSampler:
    """Endless batches for one process, as numbers that hold image index and epoch.

    The number is ``epoch * plan.size + index``. Each ``iter`` starts at ``start_iteration``.
    """

    def __init__(
        self, plan: EpochPlan, *, rank: int = 0, world_size: int = 1, start_iteration: int = 0
    ) -> None:
        """Slices of a plan's batches.

        Args:
            plan: The same in all processes.
            rank: This process, from 0.
            world_size: Number of processes; it divides the total batch.
            start_iteration: The first iteration to yield a batch for.

        Raises:
            InputError: The total batch cannot be shared equally.
        """
        if plan.total_batch % world_size:
            raise InputError(
                f"the total batch of {plan.total_batch} images (SOLVER.IMS_PER_BATCH, or "
                f"dataloader.train.total_batch_size) must be a multiple of the {world_size} "
                "processes"
            )
        self.plan = plan
        self.start_iteration = start_iteration
        share = plan.total_batch // world_size
        self._slice = slice(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start_iteration
        while True:
            first = self.plan.epoch(iteration) * self.plan.size
            yield [first + int(index) for index in self.plan.batch(iteration)[self._slice]]
            iteration += 1


def seed_words(value: int) -> tuple[int, int]:
    """The low and the high 32 bits of a whole number modulo 2**64.

    ``numpy.random.SeedSequence`` joins the 32-bit words of its numbers, however many each has; a
    fixed two words keep different pairs of numbers different.
    """
    return value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
