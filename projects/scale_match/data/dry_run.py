"""What augmentations do to sizes, without a pixel: what a model will be trained or tested on."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy
from scale_match.core.randomness import sample_randomness
from scale_match.core.records import FloatArray
from scale_match.data.augmentation import ScaleMatch, ScaleMatchAugInput, ScaleMatchTransform
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import is_left_out, sizes_of_image, xywh_boxes
from scale_match.data.exact_tiles import ExactTiles

__all__ = ["DrySample", "chooses_sizes", "dry_run"]

_Size = tuple[int, int]
_SAME_SIZE = (T.NoOpTransform, T.HFlipTransform, T.VFlipTransform, T.BlendTransform)


@dataclass(frozen=True, slots=True, eq=False)
class DrySample:
    """A sample without its pixels.

    Attributes:
        boxes: Of the objects to train on or to find, XYXY_ABS, cut to the image, (N, 4).
        size: (height, width) in pixels.
        zoom: Factor on the lengths in the image.
    """

    boxes: FloatArray
    size: _Size
    zoom: float


def dry_run(mapper: ScaleMatchDatasetMapper, entries: Iterable[dict[str, Any]]) -> list[DrySample]:
    """What a mapper makes of images in their first epoch.

    Args:
        mapper: Of training or testing.
        entries: Data set dictionaries with ``width`` and ``height``.

    Returns:
        One for each, with the draws that training makes. numpy's random state stays as it was.
    """
    with _numpy_state_kept():
        return [_dry_sample(mapper, entry) for entry in entries]


def chooses_sizes(mapper: ScaleMatchDatasetMapper) -> bool:
    """Whether a mapper scales images by their objects, so that no two are resized alike."""
    steps = list(mapper.augmentations.augs)
    for step in steps:
        steps += getattr(step, "augs", ())
    return any(isinstance(step, ScaleMatch | ExactTiles) for step in steps)


def _dry_sample(mapper: ScaleMatchDatasetMapper, entry: dict[str, Any]) -> DrySample:
    counted = [box for box in entry.get("annotations", ()) if sizes_of_image(box)]
    randomness = sample_randomness(mapper.seed, entry.get("image_id", 0), 0)
    height, width = entry["height"], entry["width"]
    boxes = xywh_to_xyxy(xywh_boxes(counted))
    blank = _Blank((height, width), boxes=boxes, rng=randomness.rng)
    np.random.seed(randomness.stock_seed)  # noqa: NPY002 - stock augmentations draw from it
    transforms = mapper.augmentations(blank)
    corners = transforms.apply_coords(np.array([[0.0, 0.0], [width, 0.0], [0.0, height]]))
    (a, b), (c, d) = corners[1:] - corners[0]
    boxes = clip_boxes_xyxy(blank.boxes, blank.image_size[1], blank.image_size[0])
    wanted = np.array([not is_left_out(box) for box in counted], np.bool_)
    wanted &= (boxes[:, 2:] - boxes[:, :2] >= mapper.min_box_side).all(axis=1)
    for transform in transforms.transforms:
        if isinstance(transform, ScaleMatchTransform):
            wanted &= transform.decision.keep
    zoom = float(np.sqrt(abs(a * d - b * c) / (width * height)))
    return DrySample(boxes[wanted], blank.image_size, zoom)


class _Blank(ScaleMatchAugInput):
    """An input that is black all over and takes no memory."""

    def __init__(self, size: _Size, *, boxes: FloatArray, rng: np.random.Generator) -> None:
        super().__init__(_black(size), boxes=boxes, rng=rng)

    def transform(self, tfm: T.Transform) -> None:
        """Move the boxes, and take the size that the pixels would get."""
        self.boxes = tfm.apply_box(self.boxes)
        self.image = _black(_size_after(self.image_size, tfm))


def _black(size: _Size) -> npt.NDArray[np.uint8]:
    return np.broadcast_to(np.zeros((), np.uint8), (*size, 3))


def _size_after(size: _Size, tfm: T.Transform) -> _Size:
    """(height, width) after a transform; one that is not known is tried."""
    if isinstance(tfm, T.TransformList):
        return reduce(_size_after, tfm.transforms, size)
    if isinstance(tfm, _SAME_SIZE):
        return size
    if isinstance(tfm, T.ResizeTransform):
        return int(tfm.new_h), int(tfm.new_w)
    height, width = tfm.apply_image(np.zeros((*size, 3), np.uint8)).shape[:2]
    return height, width


@contextmanager
def _numpy_state_kept() -> Iterator[None]:
    state = np.random.get_state()  # noqa: NPY002 - it is the legacy generator that they use
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
