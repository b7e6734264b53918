"""A trained detector and its test set, from either front end, for tools that look inside it."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, instantiate
from detectron2.data import MetadataCatalog
from omegaconf import DictConfig, OmegaConf
from torch import nn
from tqdm import tqdm

from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.lazy import register_files
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.data_sets import evaluation_dicts
from scale_match.engine.ema import load_to_evaluate
from scale_match.engine.launch import check_device
from scale_match.engine.lazy import build_tiled_model
from scale_match.engine.model_checks import check_classes
from scale_match.engine.registration import register_all
from scale_match.engine.trainer import ScaleMatchTrainer
from scale_match.inference.tiled_model import TiledModel
from scale_match.storage.files import file_sha256

__all__ = ["DetectorRun", "detector_run"]

# Keys of both kinds of configs that a sweep sets itself, or that change no candidate.
_NOT_LOOKED_AT = frozenset(
    (
        *("WEIGHTS", "SCORE_THRESH_TEST", "TOPK_CANDIDATES_TEST", "NMS_THRESH_TEST"),
        *("test_score_thresh", "test_topk_candidates", "test_nms_thresh"),
        "max_detections_per_image",
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class DetectorRun:
    """All that an evaluation of a detector on tiles needs.

    Attributes:
        model: The detector with its weights, in its tiles, in evaluation mode.
        batches: The test loader.
        mapper: Reads an image for the test.
        images: The data set dictionaries.
        annotations: The annotation file.
        category_ids: Category id of each class index.
        settings: What the config says that decides about the candidates, as JSON values.
    """

    model: TiledModel
    batches: Iterable[list[dict[str, Any]]]
    mapper: Callable[[dict[str, Any]], dict[str, Any]]
    images: list[dict[str, Any]]
    annotations: Path
    category_ids: list[int]
    settings: dict[str, Any]

    def fingerprint(self) -> str:
        """SHA-256 of weights, settings and image files: what the candidates follow from.

        Returns:
            In hexadecimal.

        Raises:
            InputError: An image file cannot be read.
        """
        model = self.model
        images = [
            [entry["image_id"], entry["file_name"], file_sha256(entry["file_name"])]
            for entry in tqdm(self.images, desc="fingerprint", unit="image", leave=False)
        ]
        facts = {
            "settings": self.settings,
            "tiles": [model.tile, model.overlap, model.batch_size],
            "weights": _weights_sha256(model.model),
            "images": images,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def detector_run(cfg: CfgNode | DictConfig) -> DetectorRun:
    """The detector and the test set that a config names.

    Args:
        cfg: Of a front end's ``load``; stays as it is.

    Raises:
        InputError: There are no weights, or not this model's; there is not exactly one test set,
            or its files are missing or broken; the config uses no tiles; or the device is not
            there.
    """
    register_all()
    return _yacs_run(cfg) if isinstance(cfg, CfgNode) else _lazy_run(cfg)


def _yacs_run(cfg: CfgNode) -> DetectorRun:
    check_device(cfg.MODEL.DEVICE, key="MODEL.DEVICE cpu")
    data = cfg.SCALE_MATCH.DATA
    names = list(cfg.DATASETS.TEST)
    if data.TEST_ANNOTATIONS or data.TEST_IMAGES:
        names = [register_files(data.TEST_ANNOTATIONS, data.TEST_IMAGES)]
    if len(names) != 1:
        raise InputError(
            f"a sweep needs exactly one test set, received {names}: set "
            "SCALE_MATCH.DATA.TEST_ANNOTATIONS and SCALE_MATCH.DATA.TEST_IMAGES"
        )
    batches = ScaleMatchTrainer.build_test_loader(cfg, names[0])
    model = ScaleMatchTrainer.build_model(cfg)
    check_classes(model, names)
    load_to_evaluate(
        AtomicCheckpointer(model),
        cfg.MODEL.WEIGHTS,
        resume=False,
        key="MODEL.WEIGHTS",
        ema_decay=cfg.SCALE_MATCH.SOLVER.EMA_DECAY,
    )
    return _run(
        ScaleMatchTrainer.with_tiles(cfg, model.eval()),
        batches,
        ScaleMatchDatasetMapper(cfg, is_train=False),
        name=names[0],
        settings={"model": cfg.MODEL, "input": cfg.INPUT, "resize": data.RESIZE},
    )


def _lazy_run(cfg: DictConfig) -> DetectorRun:
    check_device(cfg.train.device, key="train.device=cpu")
    test = cfg.dataloader.get("test")
    if test is None or not (test.get("annotations") and test.get("images")):
        raise InputError(
            "a sweep needs a test set: set dataloader.test.annotations and dataloader.test.images"
        )
    name = register_files(test.annotations, test.images)
    batches = instantiate(test)
    model = instantiate(cfg.model).to(cfg.train.device)
    check_classes(model, [name])
    load_to_evaluate(
        AtomicCheckpointer(model),
        cfg.train.init_checkpoint,
        resume=False,
        key="train.init_checkpoint",
        ema_decay=cfg.train.get("ema_decay", 0.0),
    )
    nodes = {"model": cfg.model, "mapper": test.mapper}
    settings = {key: OmegaConf.to_container(node, resolve=True) for key, node in nodes.items()}
    return _run(
        build_tiled_model(cfg, model.eval()),
        batches,
        instantiate(test.mapper),
        name=name,
        settings=settings | {"device": cfg.train.device},
    )


def _run(
    model: nn.Module,
    batches: Iterable[list[dict[str, Any]]],
    mapper: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    name: str,
    settings: dict[str, Any],
) -> DetectorRun:
    if not isinstance(model, TiledModel):
        raise InputError(
            "a sweep compares ways of using tiles, but the config has them off: set "
            "SCALE_MATCH.TILES.ENABLED True (tiles.enabled=True in a Lazy config)"
        )
    metadata = MetadataCatalog.get(name)
    class_by_id = metadata.thing_dataset_id_to_contiguous_id
    return DetectorRun(
        model=model,
        batches=batches,
        mapper=mapper,
        images=evaluation_dicts(name),
        annotations=Path(metadata.json_file),
        category_ids=sorted(class_by_id, key=class_by_id.__getitem__),
        settings=_plain(settings),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - configs hold anything
    """A config's value in JSON, the same for a Lazy file and for the yaml that it was saved as."""
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items() if key not in _NOT_LOOKED_AT}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value)


def _weights_sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
