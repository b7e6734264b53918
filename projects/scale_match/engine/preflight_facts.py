"""What a preflight has to know about a training, its model and the machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import Backbone, ResNet
from detectron2.utils import comm
from torch import nn

from scale_match.core.data_advice import BACKBONES, training_bytes
from scale_match.core.preflight import Limit
from scale_match.core.preflight_levels import AnchorShapes, Thresholds
from scale_match.inference.tiled_model import TiledModel

__all__ = [
    "DataFacts",
    "Entry",
    "RunFacts",
    "StepFacts",
    "anchors_of",
    "available_memory",
    "limits_of",
    "ranges_of",
    "step_bytes",
]

Entry = Mapping[str, Any]

# Kind of a ResNet's blocks and channels of the pyramid -> what was measured, blocks per stage.
_MEASURED = {
    ("BottleneckBlock", 256): ("r50", (3, 4, 6, 3)),
    ("BasicBlock", 64): ("r18", (2, 2, 2, 2)),
}
# A step takes so much more than what is kept for the backward pass: 1.13 GB of memory above that of
# the imports with the R-50 on a 640x512 tile (CPU, second step), where 0.88 are kept; 0.52 and 0.41
# with the R-18.
_BESIDES = 1.3
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True, eq=False)
class DataFacts:
    """A data set as a loader has it.

    Attributes:
        entries: Data set dictionaries of images or tiles.
        mapper: What makes samples of them; only a ScaleMatchDatasetMapper can be looked through.
        whole: Boxes to train on before the images were cut into tiles, and the tile; None where
            nothing was cut.
        mosaics: Whether samples are mosaics of parts.
    """

    entries: Sequence[Entry]
    mapper: object
    whole: tuple[int, tuple[int, int]] | None = None
    mosaics: bool = False


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One step of a training.

    Attributes:
        rate: Learning rate after the warm-up.
        rate_is_explained: A reference batch says what it is for.
        optimizer: "sgd", "adamw" or another.
        batch: Images over all processes.
        images_at_a_time: That one process takes through the model at a time.
        half: Forward pass in 16 bits.
    """

    rate: float
    rate_is_explained: bool
    optimizer: str
    batch: int
    images_at_a_time: int
    half: bool


@dataclass(frozen=True, slots=True, eq=False)
class RunFacts:
    """A training that is about to begin.

    Attributes:
        model: Not distributed.
        tiled: The same as it is tested.
        step: Numbers of a step.
        training: What it is trained on.
        testing: What it is tested on; None where nothing is.
        max_dets: Limits of the evaluator; None where it has none.
        keys: Names of settings in this front end.
    """

    model: nn.Module
    tiled: nn.Module
    step: StepFacts
    training: DataFacts
    testing: DataFacts | None
    max_dets: Sequence[int] | None
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Cells:
    """A pyramid as :func:`training_bytes` wants it: what counts is how many anchors there are."""

    strides: Sequence[int]
    anchor_sizes: Sequence[Sequence[float]]
    aspect_ratios: Sequence[float] = (1.0,)


def anchors_of(model: nn.Module) -> tuple[AnchorShapes, Thresholds] | None:
    """The anchors of a model's dense stage and when they are positive; None where it has none."""
    holder = getattr(model, "proposal_generator", model)
    generator = getattr(holder, "anchor_generator", None)
    matcher = getattr(holder, "anchor_matcher", None)
    if not isinstance(generator, DefaultAnchorGenerator) or matcher is None:
        return None
    shapes = []
    for cell in generator.cell_anchors:
        corners = cell.detach().cpu().double().numpy()
        shapes.append(np.asarray(corners[:, 2:] - corners[:, :2]))
    positive = matcher.thresholds[matcher.labels.index(1)]
    best = positive
    if matcher.allow_low_quality_matches:
        best = getattr(matcher, "min_low_quality_iou", 0.0)
    anchors = AnchorShapes(tuple(generator.strides), shapes, generator.offset)
    return anchors, Thresholds(positive, best)


def ranges_of(model: nn.Module) -> tuple[list[tuple[float, float]], list[float]] | None:
    """The sizes that each level of our FCOS looks for and its strides, in pixels.

    None for another model.
    """
    ranges: Any = getattr(model, "size_ranges", None)
    levels: Any = getattr(model, "levels", None)
    if ranges is None or levels is None:
        return None
    return [(float(low), float(high)) for low, high in ranges], list(map(float, levels.strides))


def limits_of(
    tiled: nn.Module, max_dets: Sequence[int] | None, keys: Mapping[str, str]
) -> list[Limit]:
    """Every number of detections at which model, tiles or evaluator stop.

    Args:
        tiled: The model as it is tested.
        max_dets: Of the evaluator; None where it has no such limits.
        keys: Names of the settings.
    """
    limits = [Limit(keys["evaluator"], max(max_dets), "category")] if max_dets else []
    model, place = tiled, "image"
    own = True
    if isinstance(tiled, TiledModel):
        model, place = tiled.model, "tile"
        limits.append(Limit(keys["tiles"], tiled.max_detections, "image"))
        if tiled.max_detections_per_tile is not None and tiled.merge == "per_tile":
            limits.append(Limit(keys["per_tile"], tiled.max_detections_per_tile, "tile"))
        # "joint" sets the model's own limit aside.
        own = tiled.merge == "per_tile" and tiled.max_detections_per_tile is None
    if own and _kept_by(model) is not None:
        limits.append(Limit(keys["model"], _kept_by(model) or 0, place))
    generator = getattr(model, "proposal_generator", None)
    candidates = getattr(model, "test_topk_candidates", None)
    if candidates is not None:
        # Of a detector with two stages it is the first one's.
        key = "candidates" if generator is None else "rpn_candidates"
        limits.append(Limit(keys[key], candidates, place))
    proposals = getattr(generator, "post_nms_topk", None)
    if proposals is not None:
        limits.append(Limit(keys["proposals"], proposals[False], place))
    return limits


def step_bytes(model: nn.Module, pixels: float, images: int, *, half: bool) -> float | None:
    """Memory of a training step, from what was measured for two backbones (core.data_advice).

    Coarse: the head is taken for RetinaNet's, and what a GPU's libraries take is not counted.

    Args:
        model: Before it is distributed.
        pixels: Of an image.
        images: That one process takes at a time.
        half: Whether the forward pass is in 16 bits, which halves what it keeps.

    Returns:
        Bytes; None for another backbone.
    """
    backbone: Any = getattr(model, "backbone", None)
    name = _measured_backbone(backbone) if isinstance(backbone, Backbone) else None
    if name is None:
        return None
    anchors = anchors_of(model)
    strides = [shape.stride for shape in backbone.output_shape().values()]
    per_cell = [1] * len(strides)
    if anchors is not None:
        strides, per_cell = list(anchors[0].strides), [len(one) for one in anchors[0].shapes]
    cells = _Cells(strides, [[0.0] * count for count in per_cell])
    # A proposal network tells objects from background only.
    two_stages = hasattr(model, "proposal_generator")
    num_classes = 1 if two_stages else int(getattr(model, "num_classes", 1))
    kept = images * training_bytes(name, cells, pixels, num_classes)
    return _BESIDES * (BACKBONES[name].fixed + kept * (0.5 if half else 1.0))


def available_memory(device: torch.device) -> float | None:
    """Bytes that this process can have on a device; None where nobody says."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    found = [_meminfo(), _limit_of_container()]
    numbers = [number for number in found if number is not None]
    return min(numbers) / comm.get_local_size() if numbers else None


def _measured_backbone(backbone: Backbone) -> str | None:
    """Key of ``BACKBONES`` for a feature pyramid on a ResNet; None for another one."""
    bottom_up = getattr(backbone, "bottom_up", None)
    if not isinstance(bottom_up, ResNet):
        return None
    channels = next(iter(backbone.output_shape().values())).channels
    kind = type(bottom_up.stages[0][0]).__name__
    name, blocks = _MEASURED.get((kind, channels), (None, ()))
    stages = tuple(len(stage) for stage in bottom_up.stages)
    return name if stages == blocks[: len(stages)] else None


def _kept_by(model: nn.Module) -> int | None:
    """Detections that a model keeps of an image; None where it does not say, or keeps all."""
    kept = getattr(model, "max_detections_per_image", None)
    if kept is None:
        predictor = getattr(getattr(model, "roi_heads", None), "box_predictor", None)
        kept = getattr(predictor, "test_topk_per_image", None)
    return None if kept is None or kept < 0 else int(kept)


def _meminfo() -> float | None:
    path = Path("/proc/meminfo")
    if not path.is_file():
        return None
    for line in path.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return None


def _limit_of_container() -> float | None:
    if not _CGROUP_LIMIT.is_file():
        return None
    text = _CGROUP_LIMIT.read_text().strip()
    return float(text) if text.isdigit() else None
