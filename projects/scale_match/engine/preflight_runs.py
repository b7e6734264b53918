"""What a preflight needs to know of a training, out of a config of either front end."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from detectron2.config import CfgNode, instantiate
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import is_left_out
from scale_match.data.lazy import register_files, training_tiles
from scale_match.data.loader import EpochDataLoader
from scale_match.data.training_tiles import TrainingTiles
from scale_match.engine.data_sets import evaluation_dicts, training_dicts
from scale_match.engine.overrides import is_named, overrides_of
from scale_match.engine.preflight import find_problems, log_findings
from scale_match.engine.preflight_facts import DataFacts, RunFacts, StepFacts

__all__ = ["lazy_facts", "look_at", "yacs_facts"]

YACS_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "levels": "SCALE_MATCH.MODEL.ANCHOR_SCALE",
        "anchors": "MODEL.ANCHOR_GENERATOR.SIZES",
        "ranges": "SCALE_MATCH.FCOS.SIZE_RANGES",
        "strides": "SCALE_MATCH.MODEL.STRIDES",
        "training_tile": "SCALE_MATCH.TRAIN_TILES.SIZE",
        "tile": "SCALE_MATCH.TILES.SIZE",
        "overlap": "SCALE_MATCH.TILES.OVERLAP",
        "tiles": "SCALE_MATCH.TILES.MAX_DETECTIONS",
        "per_tile": "SCALE_MATCH.TILES.MAX_DETECTIONS_PER_TILE",
        "model": "TEST.DETECTIONS_PER_IMAGE",
        "candidates": "TOPK_CANDIDATES_TEST of the model",
        "rpn_candidates": "MODEL.RPN.PRE_NMS_TOPK_TEST",
        "proposals": "MODEL.RPN.POST_NMS_TOPK_TEST",
        "evaluator": "SCALE_MATCH.EVAL.MAX_DETS",
        "resize": "SCALE_MATCH.DATA.RESIZE with INPUT.MIN_SIZE_TRAIN and MIN_SIZE_TEST",
        "rate": "SOLVER.BASE_LR",
        "reference_batch": "SCALE_MATCH.SOLVER.REFERENCE_BATCH",
        "batch": "SOLVER.IMS_PER_BATCH",
        "accumulate": "SCALE_MATCH.SOLVER.ACCUMULATE",
    }
)
LAZY_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "levels": "model.levels.anchor_scale",
        "anchors": "model.anchor_generator.sizes",
        "ranges": "model.size_ranges",
        "strides": "model.levels.strides",
        "training_tile": "dataloader.train.tiles.tile",
        "tile": "tiles.tile",
        "overlap": "tiles.overlap",
        "tiles": "tiles.max_detections",
        "per_tile": "tiles.max_detections_per_tile",
        "model": "model.max_detections_per_image",
        "candidates": "model.test_topk_candidates",
        "rpn_candidates": "model.rpn.pre_nms_topk",
        "proposals": "model.rpn.post_nms_topk",
        "evaluator": "dataloader.evaluator.max_dets",
        "resize": "augmentations of dataloader.train.mapper and dataloader.test.mapper",
        "rate": "optimizer.lr",
        "reference_batch": "train.reference_batch",
        "batch": "dataloader.train.total_batch_size",
        "accumulate": "train.accumulate",
    }
)


def look_at(run: RunFacts) -> None:
    """Looks at a training and logs what it finds; call it in the first process only."""
    log_findings(find_problems(run))


def yacs_facts(cfg: CfgNode, model: nn.Module, tiled: nn.Module) -> RunFacts:
    """A training of a yacs config.

    Args:
        cfg: Prepared.
        model: Not distributed.
        tiled: The same as it is tested.
    """
    tiles = TrainingTiles.from_config(cfg)
    names = cfg.DATASETS.TRAIN
    entries = training_dicts(
        names, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS, tiles=tiles
    )
    training = DataFacts(
        entries,
        ScaleMatchDatasetMapper(cfg, is_train=True),
        _whole(names, tiles),
        mosaics=bool(cfg.SCALE_MATCH.AUGMENT.MOSAIC),
    )
    testing = None
    if cfg.DATASETS.TEST:
        dicts = [entry for name in cfg.DATASETS.TEST for entry in evaluation_dicts(name)]
        testing = DataFacts(dicts, ScaleMatchDatasetMapper(cfg, is_train=False))
    node = cfg.SCALE_MATCH.SOLVER
    explained = node.REFERENCE_BATCH > 0 and not is_named("SOLVER.BASE_LR", overrides_of(cfg))
    step = StepFacts(
        rate=cfg.SOLVER.BASE_LR,
        rate_is_explained=explained,
        optimizer=node.OPTIMIZER,
        batch=cfg.SOLVER.IMS_PER_BATCH,
        images_at_a_time=_at_a_time(cfg.SOLVER.IMS_PER_BATCH, node.ACCUMULATE),
        half=cfg.SOLVER.AMP.ENABLED,
    )
    max_dets = cfg.SCALE_MATCH.EVAL.MAX_DETS
    return RunFacts(model, tiled, step, training, testing, max_dets, YACS_KEYS)


def lazy_facts(
    cfg: DictConfig, loader: EpochDataLoader, model: nn.Module, tiled: nn.Module
) -> RunFacts:
    """A training of a Lazy config.

    Args:
        cfg: With its schedule settled.
        loader: Of the training.
        model: Not distributed.
        tiled: The same as it is tested.
    """
    train, part = cfg.train, cfg.dataloader.train
    whole = None
    if "annotations" in part:
        tiles = training_tiles(part.get("tiles") or {})
        whole = _whole([register_files(part.annotations, part.images)], tiles)
    training = DataFacts(
        _Entries(loader.dataset),
        getattr(loader.dataset, "mapper", None),
        whole,
        mosaics=getattr(loader.dataset, "makes_mosaics", False),
    )
    batch = part.total_batch_size
    explained = train.get("reference_batch", 0) > 0
    step = StepFacts(
        rate=cfg.optimizer.get("lr") or 0.0,
        rate_is_explained=explained and not is_named("optimizer.lr", overrides_of(cfg)),
        optimizer="an optimizer without lr" if cfg.optimizer.get("lr") is None else _kind(cfg),
        batch=batch,
        images_at_a_time=_at_a_time(batch, train.get("accumulate", 1)),
        half=train.amp.enabled,
    )
    max_dets = cfg.dataloader.get("evaluator", {}).get("max_dets")
    return RunFacts(model, tiled, step, training, _lazy_testing(cfg), max_dets, LAZY_KEYS)


class _Entries(Sequence[Mapping[str, Any]]):
    """The dictionaries of a loader's data set, unpacked one by one."""

    def __init__(self, dataset: Any) -> None:  # noqa: ANN401 - a data set of the loaders
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - Sequence overloads it
        return self._dataset.entry(index)


def _lazy_testing(cfg: DictConfig) -> DataFacts | None:
    node = cfg.dataloader.get("test")
    if node is None or not node.get("annotations", "own"):
        return None
    dataset: Any = getattr(instantiate(node), "dataset", None)
    if not hasattr(dataset, "entry"):
        return None  # a loader of the user's own
    return DataFacts(list(_Entries(dataset)), dataset.mapper)


def _whole(names: Sequence[str], tiles: TrainingTiles) -> tuple[int, tuple[int, int]] | None:
    if not tiles.enabled:
        return None
    boxes = (
        box
        for name in names
        for entry in DatasetCatalog.get(name)
        for box in entry.get("annotations", ())
    )
    return sum(not is_left_out(box) for box in boxes), tiles.tile


def _at_a_time(batch: int, parts: int) -> int:
    return max(batch // comm.get_world_size() // parts, 1)


def _kind(cfg: DictConfig) -> str:
    """Name of the optimizer's class in small letters."""
    target = cfg.optimizer._target_
    name = str(getattr(target, "__name__", target)).rpartition(".")[2].lower()
    return {"adam": "adamw", torch.optim.SGD.__name__.lower(): "sgd"}.get(name, name)
