"""The test set as training sees images: on tiles of the same size, with boxes, nothing random."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from detectron2.config import CfgNode, instantiate
from detectron2.data import DatasetCatalog
from omegaconf import DictConfig

from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.lazy import register_files, training_tiles
from scale_match.data.loader import build_test_loader
from scale_match.data.training_tiles import TrainingTiles
from scale_match.engine.data_sets import evaluation_dicts

__all__ = ["lazy_validation_loader", "validation_dicts", "yacs_validation_loader"]

_Entry = dict[str, Any]


def validation_dicts(
    dicts: Sequence[_Entry],
    tiles: TrainingTiles,
    *,
    test_tile: tuple[tuple[int, int], tuple[int, int]] | None,
    filter_empty: bool,
) -> list[_Entry]:
    """The images or tiles to compute a loss on.

    Args:
        dicts: Of the test set.
        tiles: How training uses tiles. Where it does not cut images, but ``test_tile`` is given,
            images are cut into such tiles; tiles of a tile file stay as they are.
        test_tile: Size and overlap of the tiles of inference, each (x, y) in pixels; None where it
            sees whole images.
        filter_empty: Leave out those without a box to train on, as training does; where none has
            one, all stay.

    Raises:
        InputError: A setting of the tiles is out of range.
    """
    if any(entry.get("corner") is not None for entry in dicts):
        tiles = replace(tiles, enabled=False)
    elif not tiles.enabled and test_tile is not None:
        tiles = replace(tiles, enabled=True, tile=test_tile[0], overlap=test_tile[1])
    return tiles.select(dicts, filter_empty=filter_empty)


def yacs_validation_loader(cfg: CfgNode) -> Iterable[list[_Entry]]:
    """The images of ``DATASETS.TEST``, this process' share.

    Raises:
        InputError: There is no test set, or it cannot be used.
    """
    if not cfg.DATASETS.TEST:
        raise _no_test_set()
    node = cfg.SCALE_MATCH.TILES
    dicts = validation_dicts(
        [entry for name in cfg.DATASETS.TEST for entry in evaluation_dicts(name)],
        TrainingTiles.from_config(cfg),
        test_tile=(tuple(node.SIZE), tuple(node.OVERLAP)) if node.ENABLED else None,
        filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
    )
    arguments = ScaleMatchDatasetMapper.from_config(cfg, is_train=False)
    mapper = ScaleMatchDatasetMapper(**{**arguments, "is_train": True})
    return build_test_loader(dicts, mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)


def lazy_validation_loader(cfg: DictConfig) -> Iterable[list[_Entry]]:
    """The images of ``dataloader.test``, this process' share.

    Raises:
        InputError: There is no test set that is named by its files, or it cannot be used.
    """
    test, train = cfg.dataloader.get("test"), cfg.dataloader.train
    if test is None or not test.get("annotations") or "mapper" not in test:
        raise _no_test_set()
    tiles: dict[str, Any] = dict(cfg.get("tiles", {"enabled": False}))
    is_tiled = tiles.get("enabled", True)
    dicts = validation_dicts(
        DatasetCatalog.get(register_files(test.annotations, test.images)),
        training_tiles(dict(train.get("tiles", {}))),
        test_tile=(tuple(tiles["tile"]), tuple(tiles["overlap"])) if is_tiled else None,
        filter_empty=train.get("filter_empty", True),
    )
    node = copy.deepcopy(test.mapper)
    node.is_train = True
    node.ignore_regions = train.mapper.get("ignore_regions", "background")
    return build_test_loader(dicts, instantiate(node), num_workers=test.get("num_workers", 0))


def _no_test_set() -> InputError:
    return InputError(
        "the validation loss (SCALE_MATCH.SOLVER.VALIDATION_LOSS_PERIOD, "
        "train.validation_loss_period) needs a test set that is named by its files"
    )
