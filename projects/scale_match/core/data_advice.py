"""What can be found at all, what Scale Match should do, and what memory a training takes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from scale_match.core.anchor_recall import Pyramid
from scale_match.core.data_summary import Objects
from scale_match.core.overlaps import overlapping_pairs
from scale_match.core.records import FloatArray
from scale_match.core.scale_limits import ScaleLimits

__all__ = [
    "BACKBONES",
    "CrowdingAdvice",
    "LimitAdvice",
    "MemoryAdvice",
    "ScaleMatchAdvice",
    "advise_limit",
    "advise_memory",
    "advise_scale_match",
    "count_crowding",
    "pixel_error_limit",
    "training_bytes",
]

_HALF_IOU = 0.5
# TinyPerson's paper, table 1: mean absolute object size of COCO.
_COCO_MEAN_SIZE = 99.5
_PROBABILITIES = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True, slots=True)
class _Backbone:
    """Bytes that one float32 training image keeps for the backward pass.

    Measured as the storages that autograd saved in one step, at 320x256 and 640x512, with strides
    from 4 and from 8 on: the formula of :func:`training_bytes` is within 4 % of them.

    Attributes:
        per_pixel: Backbone, of each pixel of the image.
        per_cell: Pyramid and head, of each cell of a level, without what the anchors take.
        fixed: Weights, gradients and the optimizer's state.
    """

    per_pixel: float
    per_cell: float
    fixed: float


BACKBONES: Mapping[str, _Backbone] = MappingProxyType(
    {"r50": _Backbone(478.0, 10262.0, 436e6), "r18": _Backbone(442.0, 2576.0, 190e6)}
)
"""Name -> memory of Base-AdapRetinaNet.yaml, and of it with Base-R18.yaml."""

# The focal loss keeps eight floats of each anchor and class.
_BYTES_PER_LOGIT = 32.0


@dataclass(frozen=True, slots=True)
class LimitAdvice:
    """Which objects are at the limit of what can be found.

    Attributes:
        limit: Size in pixels below which an error of one pixel in x and in y is a miss at IoU 0.5.
        below_limit: Share of the objects below it.
        below_cell: Share of the objects smaller than a cell of the finest level.
        zoom: Factor by which to enlarge the images so that nine of ten objects reach the limit;
            1 where they do.
    """

    limit: float
    below_limit: float
    below_cell: float
    zoom: float


@dataclass(frozen=True, slots=True)
class CrowdingAdvice:
    """What stands in the way of finding all objects of a crowd.

    Attributes:
        most_per_image: Objects in the fullest image.
        overlapping: Objects that overlap another one of their category by more IoU than
            suppression lets stand.
        overlapping_share: The same as a share of the objects.
        threshold: That IoU.
    """

    most_per_image: int
    overlapping: int
    overlapping_share: float
    threshold: float


@dataclass(frozen=True, slots=True)
class ScaleMatchAdvice:
    """How Scale Match would imitate the sizes of this file.

    Attributes:
        scale_range: Least and greatest factor; nine of ten draws lie between.
        source_size: Geometric mean of the source's image sizes, in pixels.
        mu_sigma: Mean and deviation of ln(size in pixels) of this file's boxes that count.
        source: What the source is.
        clipped_by_default: Share of the draws that a default range would clip.
    """

    scale_range: tuple[float, float]
    source_size: float
    mu_sigma: tuple[float, float]
    source: str
    clipped_by_default: float


@dataclass(frozen=True, slots=True)
class MemoryAdvice:
    """Memory of a training step in float32, without what the GPU's libraries take.

    Attributes:
        backbone: Key of :data:`BACKBONES`.
        per_tile: Bytes of one tile; None without tiles.
        per_image: Bytes of one image of the 90th percentile of areas.
        image_pixels: Its pixels.
        fixed: Bytes of weights, gradients and the optimizer's state.
    """

    backbone: str
    per_tile: float | None
    per_image: float
    image_pixels: float
    fixed: float


def pixel_error_limit(iou: float = _HALF_IOU) -> float:
    """Side of a square box that keeps an IoU if it is found one pixel off in x and in y.

    With side d the boxes share (d - 1)^2, so that (d - 1)^2 / (2 d^2 - (d - 1)^2) = iou.

    >>> round(pixel_error_limit(), 2)
    5.45
    """
    kept = float(np.sqrt(2 * iou / (1 + iou)))
    return 1.0 / (1.0 - kept)


def advise_limit(finest_stride: int, objects: Objects) -> LimitAdvice:
    """The detection limit of N >= 1 objects on a pyramid whose finest stride is given."""
    sizes, limit = objects.sizes, pixel_error_limit()
    tenth = float(np.quantile(sizes, 0.1))
    zoom = max(1.0, float(np.ceil(2 * limit / tenth) / 2))
    return LimitAdvice(
        limit, float((sizes < limit).mean()), float((sizes < finest_stride).mean()), zoom
    )


def count_crowding(objects: Objects, threshold: float = _HALF_IOU) -> CrowdingAdvice:
    """Objects that suppression at an IoU would take for one; also of a perfect detector."""
    distinct, categories = np.unique(objects.category_ids, return_inverse=True)
    groups = objects.rows * max(len(distinct), 1) + categories.reshape(-1)
    areas = objects.boxes[:, 2] * objects.boxes[:, 3]
    touched = np.zeros(len(objects), np.bool_)
    for one, other, shared in overlapping_pairs(groups, objects.boxes, groups, objects.boxes):
        close = (one != other) & (shared > threshold * (areas[one] + areas[other] - shared))
        touched[one[close]] = True
    count = int(touched.sum())
    return CrowdingAdvice(
        int(objects.per_image.max(initial=0)), count, count / max(len(objects), 1), threshold
    )


def advise_scale_match(
    target_sizes: FloatArray,
    source_sizes: FloatArray | None = None,
    source: str = "COCO",
) -> ScaleMatchAdvice:
    """The range of factors with which Scale Match reaches the sizes of this file.

    An image of size s gets the factor t / s for a drawn size t. Over all s and t nine of ten
    factors lie in the range; it never enlarges.

    Args:
        target_sizes: In pixels, > 0, (N,), N >= 1.
        source_sizes: Sizes of the source's images (``counted_sizes.image_sizes``), (M,); by
            default COCO's mean object size stands for all.
        source: What to call the source.
    """
    limits = ScaleLimits()
    sources = np.array([_COCO_MEAN_SIZE]) if source_sizes is None else source_sizes
    wanted = np.quantile(target_sizes, _PROBABILITIES)
    factors = (wanted[:, None] / np.quantile(sources, _PROBABILITIES)[None]).reshape(-1)
    low, high = np.quantile(factors, (0.05, 0.95)).tolist()
    clipped = float((~limits.contains(factors)).mean())
    # Hundredths strictly outside, because the ends of a range do not belong to it.
    scale_range = (
        max((math.ceil(100 * low) - 1) / 100, 0.0),
        min((math.floor(100 * high) + 1) / 100, 1.0),
    )
    if scale_range[0] >= scale_range[1]:  # a target as large as the source: nothing to shrink
        scale_range = limits.scale_range
    return ScaleMatchAdvice(
        scale_range,
        float(np.exp(np.log(sources).mean())),
        (float(np.log(target_sizes).mean()), float(np.log(target_sizes).std())),
        source,
        clipped,
    )


def training_bytes(backbone: str, pyramid: Pyramid, pixels: float, num_classes: int) -> float:
    """Bytes that one image or tile keeps for the backward pass, in float32.

    Args:
        backbone: Key of :data:`BACKBONES`.
        pyramid: Strides and anchors.
        pixels: Of the image.
        num_classes: Categories.
    """
    costs = BACKBONES[backbone]
    cells = sum(
        (costs.per_cell + _BYTES_PER_LOGIT * len(sizes) * len(pyramid.aspect_ratios) * num_classes)
        / stride**2
        for stride, sizes in zip(pyramid.strides, pyramid.anchor_sizes, strict=True)
    )
    return pixels * (costs.per_pixel + cells)


def advise_memory(
    backbone: str,
    pyramid: Pyramid,
    objects: Objects,
    num_classes: int,
    tile: tuple[int, int] | None,
) -> MemoryAdvice:
    """Memory of an image of this data set, and of a tile; M >= 1 images."""
    pixels = float(np.quantile(objects.image_sides.prod(axis=1), 0.9))
    of_tile = tile and training_bytes(backbone, pyramid, tile[0] * tile[1], num_classes)
    return MemoryAdvice(
        backbone,
        of_tile,
        training_bytes(backbone, pyramid, pixels, num_classes),
        pixels,
        BACKBONES[backbone].fixed,
    )
