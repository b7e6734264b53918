"""The dictionaries of registered data sets, checked before hours of training meet them."""

from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.utils import comm

from scale_match.core.errors import InputError
from scale_match.data.datasets import check_image_files
from scale_match.data.training_tiles import TrainingTiles

__all__ = ["evaluation_dicts", "training_dicts"]


def training_dicts(
    names: Sequence[str], *, filter_empty: bool = True, tiles: TrainingTiles | None = None
) -> list[dict[str, Any]]:
    """The images or tiles of data sets to train on.

    Args:
        names: Registered names.
        filter_empty: Leave out images without a box to train on, as detectron2 does.
        tiles: How tiles are used; by default images stay whole.

    Raises:
        InputError: No name is given, one is unknown, or an image file is missing.
    """
    if not names:
        raise InputError(
            "there is nothing to train on: set SCALE_MATCH.DATA.TRAIN_ANNOTATIONS and "
            "SCALE_MATCH.DATA.TRAIN_IMAGES, or DATASETS.TRAIN"
        )
    dicts = [entry for name in names for entry in _dicts(name)]
    return (tiles or TrainingTiles()).select(dicts, filter_empty=filter_empty)


def evaluation_dicts(name: str) -> list[dict[str, Any]]:
    """The images of a data set to evaluate on.

    Raises:
        InputError: The name is unknown, there is no image, or an image file is missing.
    """
    dicts = _dicts(name)
    if not dicts:
        raise InputError(f"the data set {name} to evaluate on has no image at all")
    return dicts


def _dicts(name: str) -> list[dict[str, Any]]:
    try:
        dicts: list[dict[str, Any]] = DatasetCatalog.get(name)
    except KeyError as error:
        raise InputError(
            f"the data set {name!r} is not registered: name its files in SCALE_MATCH.DATA instead"
        ) from error
    except OSError as error:
        raise InputError(f"the data set {name!r} cannot be read: {error}") from error
    if comm.is_main_process():
        check_image_files(dicts)
    return dicts
