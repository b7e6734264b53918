"""Any detectron2 detector on tiles of large images, behind the detector's own contract."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.inference.suppression import best_unsuppressed

__all__ = ["MERGE_MODES", "TiledModel"]

MERGE_MODES = ("auto", "joint", "per_tile")
_FIELDS = {"pred_boxes", "scores", "pred_classes"}
# What detectron2's dense detectors call their own suppression threshold and limit.
_NMS_ATTRIBUTE = "test_nms_thresh"
_LIMIT_ATTRIBUTE = "max_detections_per_image"
# No IoU is greater: nothing is suppressed.
_NO_SUPPRESSION = 1.0
_NO_LIMIT = 2**31 - 1

Inputs: TypeAlias = dict[str, Any]


class TiledModel(nn.Module):
    """Runs a detector on overlapping tiles of each image and merges what it finds.

    Called as the detector itself is: a list of dicts with ``image`` (C, H, W) and optionally
    ``height`` and ``width`` of the wanted output gives a list of dicts with ``instances``. An
    image of a single tile goes to the detector as it is, so that the result is the detector's own.

    Boxes are XYXY_ABS. The model clips a tile's boxes to the tile; suppression is per class, at
    IoU > `nms_threshold`, in the order of score, then tile, then the model's own order. The
    offline merging of result files (``scale_match.core.merging``) has another rule.

    Args:
        model: A detectron2 detector, or one inside DistributedDataParallel.
        tile: Width and height of a tile in pixels.
        overlap: Overlap of neighbouring tiles in x and y in pixels.
        merge: "joint", one suppression over the candidates of all tiles, for which the model's
            own threshold and limit are set aside; "per_tile", the model's own suppression and
            limit on each tile, then one over what they leave; "auto", joint where the model
            has these attributes. The choice made stands in the attribute `merge`.
        nms_threshold: IoU above which the worse of two boxes of a class goes.
        max_detections: Detections kept per image.
        max_detections_per_tile: "per_tile" only: detections kept per tile; None for the
            model's own limit.
        batch_size: Tiles in one call of the model.

    Raises:
        InputError: A value is out of range, or the model has no attributes to set aside where
            `merge` or `max_detections_per_tile` needs them.
    """

    @configurable
    def __init__(
        self,
        model: nn.Module,
        *,
        tile: Sequence[int] = (640, 512),
        overlap: Sequence[int] = (100, 100),
        merge: Literal["auto", "joint", "per_tile"] = "auto",
        nms_threshold: float = 0.5,
        max_detections: int = 1000,
        max_detections_per_tile: int | None = None,
        batch_size: int = 4,
    ) -> None:
        super().__init__()
        self.model = model
        self.tile = (int(tile[0]), int(tile[1]))
        self.overlap = (int(overlap[0]), int(overlap[1]))
        self.nms_threshold = nms_threshold
        self.max_detections = max_detections
        self.max_detections_per_tile = max_detections_per_tile
        self.batch_size = batch_size
        self._check_numbers()
        self.merge = self._resolve_merge(merge)
        # inference_context of detectron2 puts the mode back that it finds here.
        self.train(model.training)

    @classmethod
    def from_config(cls, cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
        """Translates ``SCALE_MATCH.TILES`` into the constructor's arguments."""
        tiles = cfg.SCALE_MATCH.TILES
        return {
            "model": model,
            "tile": tiles.SIZE,
            "overlap": tiles.OVERLAP,
            "merge": tiles.MERGE,
            "nms_threshold": tiles.NMS_THRESH,
            "max_detections": tiles.MAX_DETECTIONS,
            "max_detections_per_tile": tiles.MAX_DETECTIONS_PER_TILE or None,
            "batch_size": tiles.BATCH_SIZE,
        }

    def forward(self, batched_inputs: list[Inputs]) -> list[dict[str, Instances]]:
        """Detects on each image.

        Args:
            batched_inputs: As for the model: ``image`` (C, H, W), any sizes; ``height`` and
                ``width`` of the output, by default those of the image.

        Returns:
            Per image ``{"instances": Instances}`` with ``pred_boxes``, ``scores`` and
            ``pred_classes``, best first, in pixels of the output.

        Raises:
            RuntimeError: The wrapper or the model is in training mode.
            InputError: The model returns something besides boxes, which cannot be merged.
        """
        if self.training or self.model.training:
            raise RuntimeError("TiledModel is for inference: call eval() first")
        grids = [self._grid(each["image"]) for each in batched_inputs]
        whole = [each for each, grid in zip(batched_inputs, grids, strict=True) if len(grid) == 1]
        tiles = [
            _cut(each["image"], tile)
            for each, grid in zip(batched_inputs, grids, strict=True)
            if len(grid) > 1
            for tile in grid
        ]
        with torch.no_grad():
            on_whole = iter(self._run(whole, self._whole_image_attributes()))
            on_tiles = iter(self._run(tiles, self._tile_attributes()))
            results = [
                next(on_whole)[: self.max_detections]
                if len(grid) == 1
                else self._merge(each, grid, [next(on_tiles) for _ in grid])
                for each, grid in zip(batched_inputs, grids, strict=True)
            ]
        return [{"instances": instances} for instances in results]

    def _grid(self, image: Tensor) -> list[list[int]]:
        height, width = image.shape[-2:]
        grid: list[list[int]] = tile_grid(
            width, height, tile=self.tile, overlap=self.overlap
        ).tolist()
        return grid

    def _run(self, inputs: list[Inputs], attributes: dict[str, float]) -> list[Instances]:
        """Runs the model on batches of inputs with some of its attributes set for the time.

        Only inputs of one size share a batch: nothing is padded, and what is found on an image
        does not depend on the others.
        """
        of_size: dict[torch.Size, list[int]] = {}
        for i, each in enumerate(inputs):
            of_size.setdefault(each["image"].shape, []).append(i)
        found: dict[int, Instances] = {}
        with _attributes_set(_unwrapped(self.model), attributes):
            for indices in of_size.values():
                for start in range(0, len(indices), self.batch_size):
                    batch = indices[start : start + self.batch_size]
                    outputs = self.model([inputs[i] for i in batch])
                    found.update(
                        (i, _checked(output["instances"]))
                        for i, output in zip(batch, outputs, strict=True)
                    )
        return [found[i] for i in range(len(inputs))]

    def _merge(self, inputs: Inputs, grid: list[list[int]], on_tiles: list[Instances]) -> Instances:
        """Joins the detections of one image's tiles; M of them in all."""
        boxes = torch.cat(
            [
                found.pred_boxes.tensor + found.pred_boxes.tensor.new_tensor([x1, y1, x1, y1])
                for found, (x1, y1, _, _) in zip(on_tiles, grid, strict=True)
            ]
        )  # (M, 4)
        scores = torch.cat([found.scores for found in on_tiles])  # (M,)
        classes = torch.cat([found.pred_classes for found in on_tiles])  # (M,)
        kept = best_unsuppressed(
            boxes, scores, classes, threshold=self.nms_threshold, limit=self.max_detections
        )
        height, width = inputs["image"].shape[-2:]
        merged = Instances((height, width))
        merged.pred_boxes = Boxes(boxes[kept])
        merged.scores = scores[kept]
        merged.pred_classes = classes[kept]
        return detector_postprocess(
            merged, inputs.get("height", height), inputs.get("width", width)
        )

    def _whole_image_attributes(self) -> dict[str, float]:
        """The model's attributes for an image of one tile, whose suppression is the only one."""
        if self.merge == "joint":
            return {_NMS_ATTRIBUTE: self.nms_threshold, _LIMIT_ATTRIBUTE: self.max_detections}
        return self._tile_attributes()

    def _tile_attributes(self) -> dict[str, float]:
        if self.merge == "joint":
            return {_NMS_ATTRIBUTE: _NO_SUPPRESSION, _LIMIT_ATTRIBUTE: _NO_LIMIT}
        if self.max_detections_per_tile is not None:
            return {_LIMIT_ATTRIBUTE: self.max_detections_per_tile}
        return {}

    def _resolve_merge(self, merge: str) -> Literal["joint", "per_tile"]:
        if merge not in MERGE_MODES:
            raise InputError(f"`merge` must be one of {', '.join(MERGE_MODES)}, received {merge!r}")
        detector = _unwrapped(self.model)
        missing = [
            name for name in (_NMS_ATTRIBUTE, _LIMIT_ATTRIBUTE) if not hasattr(detector, name)
        ]
        name = type(detector).__name__
        if merge == "joint" and missing:
            raise InputError(
                f"`merge` is 'joint', but {name} has no {' and no '.join(missing)} to set aside: "
                f"use 'per_tile'"
            )
        if self.max_detections_per_tile is not None and _LIMIT_ATTRIBUTE in missing:
            raise InputError(
                f"`max_detections_per_tile` is {self.max_detections_per_tile}, but {name} has no "
                f"{_LIMIT_ATTRIBUTE} to set"
            )
        return "per_tile" if merge == "per_tile" or missing else "joint"

    def _check_numbers(self) -> None:
        if any(not 0 <= lap < side for lap, side in zip(self.overlap, self.tile, strict=True)):
            raise InputError(
                f"`overlap` must be from 0 to less than `tile`, received {self.overlap} for tiles "
                f"of {self.tile}"
            )
        if not 0 <= self.nms_threshold <= 1:
            raise InputError(f"`nms_threshold` must be in [0, 1], received {self.nms_threshold}")
        for name in ("max_detections", "max_detections_per_tile", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"`{name}` must be at least 1, received {value}")


def _cut(image: Tensor, tile: list[int]) -> Inputs:
    x1, y1, x2, y2 = tile
    return {"image": image[:, y1:y2, x1:x2], "height": y2 - y1, "width": x2 - x1}


def _checked(instances: Instances) -> Instances:
    others = sorted(set(instances.get_fields()) - _FIELDS)
    if others:
        raise InputError(f"tiles are merged by boxes only, but the model also returns {others}")
    return instances


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model


@contextmanager
def _attributes_set(module: nn.Module, values: dict[str, float]) -> Iterator[None]:
    """Sets attributes of a module and puts the old values back, whatever happens."""
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
