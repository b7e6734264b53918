"""What Lazy configs call to get data: loaders of a data set that is named by its files.

The yacs front end goes the same way through ``DATASETS`` (``scale_match.engine.session``).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from hashlib import sha1
from typing import Any

from detectron2.data import DatasetCatalog
from torch.utils.data import DataLoader

from scale_match.core.errors import InputError
from scale_match.data.datasets import check_image_files, register_coco_file
from scale_match.data.loader import EpochDataLoader, build_test_loader, build_train_loader
from scale_match.data.mosaics import MosaicSettings
from scale_match.data.training_tiles import TrainingTiles
from scale_match.storage.locations import resolve_data_path

__all__ = ["build_lazy_test_loader", "build_lazy_train_loader", "register_files", "training_tiles"]

_Sample = dict[str, Any]
_Mapper = Callable[[_Sample], _Sample]


def register_files(annotations: str, images: str) -> str:
    """Makes a data set that is named by its files known to detectron2.

    Args:
        annotations: COCO-format file, whole images or tiles; looked up below the data root too.
        images: The folder of its images, likewise.

    Returns:
        The name that it is registered under: the file's stem and a digest of both paths.

    Raises:
        InputError: One of the two is missing, or the annotation file breaks a rule.
    """
    if not annotations or not images:
        raise InputError(
            "a data set needs an annotation file and an image folder, received "
            f"annotations={annotations!r} and images={images!r}"
        )
    path, folder = resolve_data_path(annotations), resolve_data_path(images)
    digest = sha1(f"{path.resolve()}|{folder.resolve()}".encode()).hexdigest()[:8]
    name = f"{path.stem}_{digest}"
    register_coco_file(name, path, folder)
    return name


def build_lazy_train_loader(
    *,
    annotations: str,
    images: str,
    mapper: _Mapper,
    total_batch_size: int,
    seed: int,
    start_iteration: int = 0,
    num_workers: int = 0,
    filter_empty: bool = True,
    tiles: Mapping[str, Any] | None = None,
    mosaic: MosaicSettings | None = None,
) -> EpochDataLoader:
    """A training loader of a data set that is named by its files.

    Args:
        annotations: See `register_files`.
        images: See `register_files`.
        mapper: A `ScaleMatchDatasetMapper` made with ``is_train=True``.
        total_batch_size: Images per iteration over all processes.
        seed: Seed of the order, not negative.
        start_iteration: First iteration; that of the checkpoint in a resumed run.
        num_workers: Loading processes; 0 loads in this one.
        filter_empty: Leave out images or tiles without a box to train on.
        tiles: Arguments of :class:`~scale_match.data.training_tiles.TrainingTiles`.
        mosaic: Of :func:`~scale_match.data.mosaics.build_mosaic_settings`; None is off.

    Raises:
        InputError: A file is missing or breaks a rule, or there is nothing to train on.
    """
    chosen = training_tiles(tiles or {})
    dicts = chosen.select(_dicts(annotations, images), filter_empty=filter_empty)
    return build_train_loader(
        dicts,
        mapper,
        total_batch_size=total_batch_size,
        seed=seed,
        start_iteration=start_iteration,
        num_workers=num_workers,
        together=chosen.together,
        empty_share=chosen.empty_share,
        mosaic=mosaic,
    )


def build_lazy_test_loader(
    *, annotations: str, images: str, mapper: _Mapper, num_workers: int = 0
) -> DataLoader[list[_Sample]]:
    """Every image of a data set that is named by its files, once and in order.

    Args:
        annotations: See `register_files`.
        images: See `register_files`.
        mapper: A `ScaleMatchDatasetMapper` made with ``is_train=False``.
        num_workers: Loading processes; 0 loads in this one.

    Raises:
        InputError: A file is missing or breaks a rule.
    """
    return build_test_loader(_dicts(annotations, images), mapper, num_workers=num_workers)


def training_tiles(node: Mapping[str, Any]) -> TrainingTiles:
    """The settings of ``dataloader.train.tiles``; the lists of a config become tuples.

    Raises:
        InputError: There is no such setting.
    """
    known = [field.name for field in fields(TrainingTiles)]
    unknown = [key for key in node if key not in known]
    if unknown:
        raise InputError(
            f"dataloader.train.tiles has no setting {unknown[0]}: it has {', '.join(known)}"
        )
    pairs = {key: tuple(node[key]) for key in ("tile", "overlap") if key in node}
    return TrainingTiles(**{**node, **pairs})


def _dicts(annotations: str, images: str) -> list[_Sample]:
    dicts: list[_Sample] = DatasetCatalog.get(register_files(annotations, images))
    check_image_files(dicts)
    return dicts
