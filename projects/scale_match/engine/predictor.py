"""A trained detector for image files, on tiles as in its evaluation, from either front end."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, instantiate
from omegaconf import DictConfig
from torch import nn

from scale_match.core.records import FloatArray, IntArray
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.ema import load_to_evaluate
from scale_match.engine.launch import check_device
from scale_match.engine.lazy import build_tiled_model
from scale_match.engine.model_checks import classes_of
from scale_match.engine.protocol import model_protocol
from scale_match.engine.registration import register_all
from scale_match.engine.trainer import ScaleMatchTrainer
from scale_match.inference.tiled_model import TiledModel

__all__ = ["Prediction", "Predictor", "lazy_predictor", "yacs_predictor"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What was found in one image, best first.

    Attributes:
        width: Of the image in pixels.
        height: Of the image in pixels.
        boxes: XYXY_ABS, (M, 4).
        scores: (M,).
        classes: Class indices from 0, (M,).
    """

    width: int
    height: int
    boxes: FloatArray
    scores: FloatArray
    classes: IntArray


class Predictor:
    """Detects in image files, one at a time.

    Args:
        model: With its weights, and the tiles around it; is put into evaluation mode.
        mapper: Reads an image for testing, from a dict with ``file_name``.
    """

    def __init__(
        self, model: nn.Module, mapper: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self._model = model.eval()
        self._mapper = mapper

    @property
    def protocol(self) -> dict[str, Any]:
        """What a score of its detections depends on and only the model knows."""
        return model_protocol(self._model, self._mapper)

    @property
    def num_classes(self) -> int | None:
        """Classes of the model; None if it does not say."""
        model = self._model
        return classes_of(model.model if isinstance(model, TiledModel) else model)

    @torch.no_grad()
    def __call__(self, path: Path, *, image_id: int = 0, min_score: float = 0.0) -> Prediction:
        """Detects in one image.

        Args:
            path: The file.
            image_id: For messages.
            min_score: Detections below it are left out; the model has a limit of its own.

        Raises:
            InputError: The file is missing or no image.
        """
        sample = self._mapper({"file_name": str(path), "image_id": image_id})
        found = self._model([sample])[0]["instances"].to("cpu")
        found = found[found.scores >= min_score]
        return Prediction(
            width=sample["width"],
            height=sample["height"],
            boxes=found.pred_boxes.tensor.double().numpy(),
            scores=found.scores.double().numpy(),
            classes=found.pred_classes.numpy().astype(np.int64),
        )


def yacs_predictor(cfg: CfgNode) -> Predictor:
    """The predictor of a yacs config and its ``MODEL.WEIGHTS``.

    Raises:
        InputError: There are no weights, or not this model's; or the device is not there.
    """
    check_device(cfg.MODEL.DEVICE, key="MODEL.DEVICE cpu")
    register_all()
    model = ScaleMatchTrainer.build_model(cfg)
    load_to_evaluate(
        AtomicCheckpointer(model),
        cfg.MODEL.WEIGHTS,
        resume=False,
        key="MODEL.WEIGHTS",
        ema_decay=cfg.SCALE_MATCH.SOLVER.EMA_DECAY,
    )
    mapper = ScaleMatchDatasetMapper(cfg, is_train=False)
    return Predictor(ScaleMatchTrainer.with_tiles(cfg, model), mapper)


def lazy_predictor(cfg: DictConfig) -> Predictor:
    """The predictor of a Lazy config and its ``train.init_checkpoint``.

    Raises:
        InputError: As :func:`yacs_predictor`.
    """
    check_device(cfg.train.device, key="train.device=cpu")
    register_all()
    model = instantiate(cfg.model).to(cfg.train.device)
    load_to_evaluate(
        AtomicCheckpointer(model),
        cfg.train.init_checkpoint,
        resume=False,
        key="train.init_checkpoint",
        ema_decay=cfg.train.get("ema_decay", 0.0),
    )
    mapper = instantiate(cfg.dataloader.test.mapper)
    return Predictor(build_tiled_model(cfg, model), mapper)
