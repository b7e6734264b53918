"""The samples that a training of a config would see, without a model and without a run."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode, instantiate
from detectron2.data.detection_utils import convert_image_to_rgb
from omegaconf import DictConfig

from scale_match.core.boxes import box_sizes, xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.engine.session import with_data_sets
from scale_match.engine.trainer import ScaleMatchTrainer
from scale_match.report.sample_sheet import SampleView

__all__ = ["SampleSeries", "preview_samples"]

_Batches = Iterable[list[dict[str, Any]]]


@dataclass(frozen=True, eq=False)
class SampleSeries:
    """Samples in the order of a training.

    Attributes:
        views: The samples.
        seed: Of the training.
    """

    views: list[SampleView]
    seed: int

    @property
    def sizes(self) -> FloatArray:
        """Sizes of all boxes that are trained on, (N,), in pixels."""
        boxes = [np.empty((0, 4)), *(view.boxes for view in self.views)]
        return box_sizes(xyxy_to_xywh(np.concatenate(boxes)))


def preview_samples(
    cfg: CfgNode | DictConfig,
    count: int,
    *,
    iteration: int = 0,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> SampleSeries:
    """The first samples of a training from an iteration on, loaded in this process.

    Args:
        cfg: Of either front end; stays as it is. Without a seed in it the seed is 0.
        count: How many.
        iteration: First iteration, from 0.
        progress: Wraps an iterable of the samples.

    Raises:
        InputError: A number is out of range, or the training could not be started either.
    """
    if count < 1:
        raise InputError(f"the number of samples must be at least 1, got {count}")
    if iteration < 0:
        raise InputError(f"the iteration must not be negative, got {iteration}")
    of_front_end = _yacs if isinstance(cfg, CfgNode) else _lazy
    batches, image_format, seed = of_front_end(cfg, iteration)
    samples = (sample for batch in batches for sample in batch)
    views = [_view(sample, image_format) for sample in progress(islice(samples, count))]
    return SampleSeries(views, seed)


def _yacs(cfg: CfgNode, iteration: int) -> tuple[_Batches, str, int]:
    cfg = cfg.clone()
    cfg.SEED = max(cfg.SEED, 0)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg = with_data_sets(cfg)
    batches = ScaleMatchTrainer.build_train_loader(cfg, start_iteration=iteration)
    return batches, cfg.INPUT.FORMAT, cfg.SEED


def _lazy(cfg: DictConfig, iteration: int) -> tuple[_Batches, str, int]:
    cfg = copy.deepcopy(cfg)
    cfg.train.seed = max(cfg.train.get("seed", -1), 0)
    cfg.dataloader.train.num_workers = 0
    cfg.dataloader.train.start_iteration = iteration
    return instantiate(cfg.dataloader.train), cfg.model.input_format, cfg.train.seed


def _view(sample: dict[str, Any], image_format: str) -> SampleView:
    pixels = convert_image_to_rgb(sample["image"].permute(1, 2, 0), image_format)
    found = sample["instances"]
    boxes = found.gt_boxes.tensor.double().numpy()  # (N, 4)
    is_region = found.gt_classes.numpy() < 0
    objects, regions = boxes[~is_region], boxes[is_region]
    return SampleView(
        np.ascontiguousarray(pixels, dtype=np.uint8), objects, regions, _title(sample, objects)
    )


def _title(sample: dict[str, Any], objects: FloatArray) -> str:
    height, width = sample["image"].shape[1:]
    sizes: Sequence[float] = box_sizes(xyxy_to_xywh(objects)).tolist()
    median = f", median {np.median(sizes):.1f} px" if sizes else ""
    scale = f", scale {sample['scale']:.3f}" if "scale" in sample else ""
    name = Path(sample["file_name"]).name
    return f"{name}, {width}x{height}{scale}\n{len(sizes)} boxes{median}"
