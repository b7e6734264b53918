"""What a score depends on and only the model and its test loader know; for ``protocol.json``."""

from collections.abc import Callable
from typing import Any

from detectron2.data.transforms import ResizeShortestEdge
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from scale_match.core.protocol import MODEL_ENTRIES, NONE
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.inference.tiled_model import TiledModel

__all__ = ["model_protocol"]

# What detectron2's dense detectors call what an entry is about.
_ATTRIBUTES = {
    "max_per_image": "max_detections_per_image",
    "candidates_per_level": "test_topk_candidates",
    "score_threshold": "test_score_thresh",
    "nms_threshold": "test_nms_thresh",
}
# What two-stage detectors say where they keep all detections.
_ALL_DETECTIONS = -1


def model_protocol(
    model: nn.Module, mapper: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The entries of a protocol that only the model knows.

    Args:
        model: A detectron2 model, with the tiles around it if it is tested on tiles.
        mapper: Reads the test images; None where it is not known.

    Returns:
        Every name of ``MODEL_ENTRIES`` -> JSON value; "none" for what there is not (no tiles, no
        limit), None for what the model does not tell, as one that is no dense detector.
    """
    detector = _unwrapped(model.model if isinstance(model, TiledModel) else model)
    entries: dict[str, Any] = dict.fromkeys(MODEL_ENTRIES)
    entries |= {name: getattr(detector, key, None) for name, key in _ATTRIBUTES.items()}
    if entries["max_per_image"] == _ALL_DETECTIONS:
        entries["max_per_image"] = NONE
    entries |= dict.fromkeys(("tile_size", "tile_overlap", "merge", "merge_threshold"), NONE)
    entries["max_per_tile"] = NONE
    if isinstance(model, TiledModel):
        entries |= _tile_entries(model, entries)
    return entries | {"test_scale": _test_scale(mapper)}


def _tile_entries(model: TiledModel, of_detector: dict[str, Any]) -> dict[str, Any]:
    entries = {
        "tile_size": list(model.tile),
        "tile_overlap": list(model.overlap),
        "merge": model.merge,
        "merge_threshold": model.nms_threshold,
        "max_per_image": model.max_detections,
    }
    if model.merge == "joint":  # sets the detector's own suppression and limit aside
        return entries | {"max_per_tile": NONE, "nms_threshold": NONE}
    limit = model.max_detections_per_tile or of_detector["max_per_image"]
    return entries | {"max_per_tile": limit}


def _test_scale(mapper: object) -> Any:  # noqa: ANN401 - JSON is any value
    """1 where images keep their size, the sides of detectron2's resize, None if unknown."""
    if not isinstance(mapper, ScaleMatchDatasetMapper):
        return None
    steps = mapper.augmentations.augs
    if not steps:
        return 1
    if len(steps) == 1 and type(steps[0]) is ResizeShortestEdge:
        resize = steps[0]
        return {"min_size": list(resize.short_edge_length), "max_size": resize.max_size}
    return None


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model
