"""Loaders that give every process and every worker its share of one fixed sequence of batches.

Detectron2's own train loader is not used: its sampler does not know the epoch, which the draw of
Scale Match needs, and its arguments differ between versions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from detectron2.data import DatasetFromList
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from scale_match.core.errors import InputError
from scale_match.data.datasets import check_trainable
from scale_match.data.epochs import EpochBatchSampler, EpochPlan
from scale_match.data.mosaics import CanvasPlan, MosaicSettings

__all__ = ["EpochDataLoader", "build_test_loader", "build_train_loader", "epoch_plan"]

_Sample = dict[str, Any]
_Mapper = Callable[[_Sample], _Sample]


def epoch_plan(
    dicts: Sequence[_Sample],
    *,
    total_batch: int,
    seed: int,
    together: int = 1,
    empty_share: float | None = None,
    num_canvases: int | None = None,
) -> EpochPlan:
    """The batches of every epoch, of images and tiles or of mosaics.

    Args:
        dicts: See :func:`build_train_loader`.
        total_batch: Images per iteration over all processes.
        seed: Seed of the order.
        together: See :func:`build_train_loader`.
        empty_share: See there.
        num_canvases: Of an epoch, where there are mosaics; they have one orientation.

    Raises:
        InputError: There is no image, or a number is out of range.
    """
    if num_canvases is not None:
        return EpochPlan([True] * num_canvases, total_batch, seed)
    return EpochPlan.from_dicts(
        dicts, total_batch=total_batch, seed=seed, together=together, empty_share=empty_share
    )


class _MappedDicts(Dataset[_Sample | InputError]):
    """Data set dictionaries, mapped; bad input comes back as a value.

    An exception would reach the main process as the text of a traceback; a value reaches it whole.
    """

    def __init__(self, dicts: Sequence[_Sample], mapper: _Mapper) -> None:
        # Serialised once, into one array: forked workers share it instead of copying the list.
        self._dicts = DatasetFromList(list(dicts), copy=False, serialize=True)
        self.mapper = mapper

    def __len__(self) -> int:
        return len(self._dicts)

    def entry(self, index: int) -> _Sample:
        """A data set dictionary as it is before the mapper."""
        entry: _Sample = self._dicts[index]
        return entry

    def __getitem__(self, index: int) -> _Sample | InputError:
        return self._map(self._dicts[index])

    def _map(self, entry: _Sample) -> _Sample | InputError:
        try:
            return self.mapper(entry)
        except InputError as error:
            return error


class _MappedDictsOfEpochs(_MappedDicts):
    """The same for the numbers of :class:`EpochBatchSampler`; the mapper sees ``epoch``.

    With ``canvases`` the index is that of a mosaic, which the mapper sees in place of an image.
    """

    def __init__(
        self, dicts: Sequence[_Sample], mapper: _Mapper, canvases: CanvasPlan | None = None
    ) -> None:
        super().__init__(dicts, mapper)
        self._canvases = canvases

    @property
    def makes_mosaics(self) -> bool:
        """Whether a mosaic stands for each image."""
        return self._canvases is not None

    def __getitem__(self, index: int) -> _Sample | InputError:
        if self._canvases is not None:
            epoch, canvas = divmod(index, self._canvases.mosaics.num_canvases)
            return self._map(self._canvases.entry(canvas, epoch, self._dicts.__getitem__))
        epoch, index = divmod(index, len(self))
        return self._map({**self._dicts[index], "epoch": epoch})


class _ListLoader(DataLoader[Any]):
    """A loader of batches that are lists of mapped dictionaries, nothing stacked."""

    def __init__(self, dataset: _MappedDicts, *, seed: int = 0, **arguments: Any) -> None:  # noqa: ANN401
        # Without its own generator a loader draws a base seed from torch's global one.
        generator = torch.Generator().manual_seed(seed)
        super().__init__(dataset, collate_fn=list, generator=generator, **arguments)

    def __iter__(self) -> Iterator[list[_Sample]]:  # type: ignore[override] # an iterator, too
        for loaded in super().__iter__():
            for batch in self._batches(loaded):
                for sample in batch:
                    if isinstance(sample, InputError):
                        raise sample
                yield batch

    def _batches(self, loaded: list[Any]) -> list[list[Any]]:
        """The batches in what a worker has loaded at a time."""
        return [loaded]


class EpochDataLoader(_ListLoader):
    """An endless loader that knows how long an epoch is.

    Attributes:
        iterations_per_epoch: Batches that make an epoch.
        images_per_epoch: Images or tiles of an epoch, without those that fill up a batch.
    """

    def __init__(
        self, dataset: _MappedDictsOfEpochs, sampler: EpochBatchSampler, num_workers: int
    ) -> None:
        self.iterations_per_epoch = sampler.plan.batches_per_epoch
        self.images_per_epoch = sampler.plan.images_per_epoch
        self._in_batches = sampler.in_batches
        super().__init__(
            dataset, seed=sampler.plan.seed, batch_sampler=sampler, num_workers=num_workers
        )

    def _batches(self, loaded: list[Any]) -> list[list[Any]]:
        return self._in_batches(loaded)


def build_train_loader(
    dicts: Sequence[_Sample],
    mapper: _Mapper,
    *,
    total_batch_size: int,
    seed: int,
    start_iteration: int = 0,
    num_workers: int = 0,
    together: int = 1,
    empty_share: float | None = None,
    mosaic: MosaicSettings | None = None,
    rank: int | None = None,
    world_size: int | None = None,
) -> EpochDataLoader:
    """A loader whose batches are a function of (seed, iteration), and of nothing else.

    Neither the number of workers nor that of processes nor a resume changes what an iteration
    trains on. An iterator starts at ``start_iteration``; make one, and keep it.

    Args:
        dicts: Data set dictionaries with ``width`` and ``height``.
        mapper: Called with a dictionary that also has ``epoch``.
        total_batch_size: Images per iteration over all processes.
        seed: Seed of the order; not negative, the same in all processes.
        start_iteration: First iteration; that of the checkpoint in a resumed run.
        num_workers: Loading processes; 0 loads in this one.
        together: Tiles of an image that one worker loads for successive batches; see
            :mod:`scale_match.data.epochs`. Images of which there is one entry each are not changed.
        empty_share: Share of images without a box in an epoch; None takes all in ``dicts``.
        mosaic: Train on canvases of parts of several images in place of images.
        rank: This process; by default detectron2's.
        world_size: Number of processes; by default detectron2's.

    Raises:
        InputError: There is no image, no box to train on, the batch cannot be shared equally, or
            something else decides on the content of samples beside mosaics.
    """
    check_trainable(dicts)
    canvases = None
    if mosaic is not None:
        mosaic.check_alone(dicts, mapper, empty_share=empty_share)
        canvases = mosaic.planned(dicts, seed)
    plan = epoch_plan(
        dicts,
        total_batch=total_batch_size,
        seed=seed,
        together=together,
        empty_share=empty_share,
        num_canvases=None if canvases is None else canvases.mosaics.num_canvases,
    )
    sampler = EpochBatchSampler(
        plan,
        rank=comm.get_rank() if rank is None else rank,
        world_size=comm.get_world_size() if world_size is None else world_size,
        start_iteration=start_iteration,
    )
    return EpochDataLoader(_MappedDictsOfEpochs(dicts, mapper, canvases), sampler, num_workers)


def build_test_loader(
    dicts: Sequence[_Sample], mapper: _Mapper, *, num_workers: int = 0
) -> DataLoader[Any]:
    """Every image once, in order, one per batch; each process takes its part.

    Args:
        dicts: Data set dictionaries.
        mapper: A mapper made with ``is_train=False``.
        num_workers: Loading processes; 0 loads in this one.

    Raises:
        InputError: There is no image.
    """
    if not dicts:
        raise InputError("the data set to test on has no image at all")
    sampler = InferenceSampler(len(dicts))
    return _ListLoader(_MappedDicts(dicts, mapper), sampler=sampler, num_workers=num_workers)
