"""Which images make the batch of an iteration: arithmetic on (seed, iteration), no state.

A resumed run starts at its iteration and meets the batches that it would have met. Processes share
a batch by taking slices of it, so their number changes nothing either.

Tiles of one image are put where one worker meets them one after the other, so that it decodes the
image once for all of them. Successive batches form a block, which one worker loads; at its place in
the batch each of them has another tile of the same image. So no batch sees an image twice for that,
and the tiles of an image that are not in the block come at random elsewhere in the epoch.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.core.randomness import seed_words
from scale_match.core.records import BoolArray, IntArray
from scale_match.data.datasets import has_box

__all__ = ["EpochBatchSampler", "EpochPlan"]

_Item = TypeVar("_Item")


class EpochPlan:
    """The batches of every epoch.

    In an epoch each image comes once, in an order drawn from (seed, epoch). A batch holds images of
    one orientation, so that little of it is padding: wide (width >= height) and tall images form
    batches of their own, in mixed order. The last batch of a group is filled up with the group's
    first images of the epoch; a group smaller than a batch repeats. Under a share of empty images
    each epoch draws that many of them; all others come once.

    "Image" stands for what an index names: a whole image or a tile.

    Attributes:
        size: Number of images.
        total_batch: Images per iteration over all processes.
        seed: Not negative.
        images_per_epoch: Images that an epoch takes.
        batches_per_epoch: Iterations that make an epoch.
    """

    def __init__(
        self,
        wide: npt.ArrayLike,
        total_batch: int,
        seed: int,
        *,
        sources: npt.ArrayLike | None = None,
        together: int = 1,
        empty: npt.ArrayLike | None = None,
        empty_share: float | None = None,
    ) -> None:
        """Plan for images given by their orientation.

        Args:
            wide: Whether an image is at least as wide as high, (size,) booleans.
            total_batch: Images per iteration over all processes, at least 1.
            seed: Not negative; the same in all processes.
            sources: Number of the file that an image or tile comes from, (size,); None: each its
                own.
            together: Tiles of one file that successive batches take, at least 1.
            empty: Whether an image has no box to train on, (size,) booleans; None: none.
            empty_share: Share of empty images in an epoch, in [0, 1); fewer where there are not so
                many of that orientation. None takes all that there are.

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
        if together < 1:
            raise InputError(f"the tiles of an image taken together must be 1 or more: {together}")
        if empty_share is not None and not 0 <= empty_share < 1:
            raise InputError(f"the share of empty images must be in [0, 1), not {empty_share}")
        self.size = int(self._wide.size)
        self.total_batch = total_batch
        self.seed = seed
        self._sources: IntArray = np.arange(self.size)
        if sources is not None:
            self._sources = np.unique(np.asarray(sources), return_inverse=True)[1].reshape(-1)
        # Files of one image each need no blocks, and then get the order that they always had.
        self._together = together if len(np.unique(self._sources)) < self.size else 1
        self._empty: BoolArray = np.zeros(self.size, np.bool_)
        if empty is not None and empty_share is not None:
            self._empty = np.asarray(empty, np.bool_)
        # Per orientation: tall, wide.
        full = np.bincount(self._wide[~self._empty], minlength=2)
        available = np.bincount(self._wide[self._empty], minlength=2)
        share = empty_share or 0.0
        self._num_empty = np.minimum(available, np.rint(full * share / (1 - share)).astype(int))
        groups = full + self._num_empty
        if not groups.any():
            raise InputError("the data set to train on has no image with a box to train on")
        self.images_per_epoch = int(groups.sum())
        self.batches_per_epoch = int(np.sum(-(-groups // total_batch)))  # each rounded up
        self._cached: tuple[int, IntArray, IntArray] | None = None

    @classmethod
    def from_dicts(
        cls,
        dicts: Sequence[dict[str, Any]],
        *,
        total_batch: int,
        seed: int,
        together: int = 1,
        empty_share: float | None = None,
    ) -> "EpochPlan":
        """Plan for data set dictionaries: ``width``, ``height``, ``file_name``, ``annotations``.

        Raises:
            InputError: As the constructor.
        """
        numbers: dict[str, int] = {}
        sources = [numbers.setdefault(d.get("file_name", ""), len(numbers)) for d in dicts]
        return cls(
            [entry["width"] >= entry["height"] for entry in dicts],
            total_batch,
            seed,
            sources=sources,
            together=together,
            empty=None if empty_share is None else [not has_box(entry) for entry in dicts],
            empty_share=empty_share,
        )

    def epoch(self, iteration: int) -> int:
        """The epoch, from 0, that an iteration, from 0, belongs to."""
        return iteration // self.batches_per_epoch

    def batch(self, iteration: int) -> IntArray:
        """Indices of the images of an iteration's batch, (total_batch,), for all processes."""
        return self.rest_of_block(iteration)[0]

    def rest_of_block(self, iteration: int) -> IntArray:
        """The batches of an iteration and of those after it that a worker loads with it.

        Returns:
            (B, total_batch), B from 1 to ``together``; a column holds images of few files, and
            a file that goes on comes next in the following column.
        """
        epoch, position = divmod(iteration, self.batches_per_epoch)
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, *self._batches(epoch)
        _, batches, stops = self._cached
        return batches[position : stops[position]].copy()

    def _batches(self, epoch: int) -> tuple[IntArray, IntArray]:
        """All batches of an epoch, and of each the end of its block.

        Returns:
            (batches_per_epoch, total_batch) and (batches_per_epoch,).
        """
        generator = np.random.default_rng([*seed_words(self.seed), *seed_words(epoch)])
        order = generator.permutation(self.size)
        blocks = []
        for is_wide in (True, False):
            group = order[self._wide[order] == is_wide]
            # The first empty ones of a random order are a random choice.
            is_empty = self._empty[group]
            group = group[~is_empty | (np.cumsum(is_empty) <= self._num_empty[int(is_wide)])]
            if self._together > 1:
                group = self._by_source(group, generator)
            blocks += self._in_blocks(group)
        shuffled = [blocks[index] for index in generator.permutation(len(blocks))]
        lengths = np.array([len(block) for block in shuffled])
        return np.concatenate(shuffled), np.repeat(np.cumsum(lengths), lengths)

    def _by_source(self, group: IntArray, generator: np.random.Generator) -> IntArray:
        """The images of a group with up to ``together`` of a file in a row, rows shuffled."""
        if not group.size:
            return group
        by_file = group[np.argsort(self._sources[group], kind="stable")]  # random in each file
        files = self._sources[by_file]
        starts = np.flatnonzero(np.r_[True, files[1:] != files[:-1]])
        lengths = np.diff(np.r_[starts, len(files)])
        within = np.arange(len(files)) - np.repeat(starts, lengths)
        bundle = np.cumsum(within % self._together == 0) - 1  # (size of the group,)
        place = generator.permutation(int(bundle[-1]) + 1)
        return by_file[np.argsort(place[bundle], kind="stable")]

    def _in_blocks(self, group: IntArray) -> list[IntArray]:
        """Blocks of up to ``together`` batches, each (B, total_batch), filled column by column."""
        rows = -(-group.size // self.total_batch)
        # np.resize fills up by starting again with the group's first images.
        filled = np.resize(group, rows * self.total_batch)
        size = self._together * self.total_batch
        parts = [filled[start : start + size] for start in range(0, filled.size, size)]
        return [part.reshape(self.total_batch, -1).T for part in parts]


class EpochBatchSampler:
    """Endless blocks of batches for one process, as numbers that hold image index and epoch.

    The number is ``epoch * plan.size + index``. Each ``iter`` starts at ``start_iteration``. A
    block is one list: first what its B batches have at the process' first place, then at its second
    place, and so on; :meth:`in_batches` undoes that. Without tiles taken together B is 1.
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
        self._share = plan.total_batch // world_size
        self._slice = slice(rank * self._share, (rank + 1) * self._share)

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start_iteration
        while True:
            first = self.plan.epoch(iteration) * self.plan.size
            block = self.plan.rest_of_block(iteration)
            yield (first + block[:, self._slice].T.reshape(-1)).tolist()
            iteration += len(block)

    def in_batches(self, block: Sequence[_Item]) -> list[list[_Item]]:
        """What was loaded for a block, as its batches."""
        size = len(block) // self._share
        return [list(block[row::size]) for row in range(size)]
