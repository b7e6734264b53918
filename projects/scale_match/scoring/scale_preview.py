"""What Scale Match does to a data set, before anything is trained: scales, sizes, lost boxes.

The policy is the one that training builds, and each image gets the numbers that the mapper draws
for it from (seed, image id, epoch).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy
from scale_match.core.errors import InputError
from scale_match.core.randomness import sample_randomness
from scale_match.core.records import Annotations, BoolArray, FloatArray, ImageRecord
from scale_match.core.scale_policy import ScaleDecision, ScalePolicy
from scale_match.core.source_size import CountedBoxes

__all__ = ["PreviewedImage", "preview_images"]

Progress = Callable[[Iterable[ImageRecord]], Iterable[ImageRecord]]


@dataclass(frozen=True, eq=False)
class PreviewedImage:
    """One image, or tile, and what the policy decides on.

    Attributes:
        record: The image.
        boxes: Its boxes that are neither crowd nor ignored, XYWH in pixels, (N, 4).
        num_boxes: How many of them count (README 1.4): inside the image and over a pixel wide.
        decision: Scale, new size, boxes that stay.
    """

    record: ImageRecord
    boxes: FloatArray
    num_boxes: int
    decision: ScaleDecision

    @property
    def scaled_boxes(self) -> FloatArray:
        """The boxes that stay, clipped, in pixels of the scaled image, XYXY, (M, 4)."""
        width, height = self.record.width, self.record.height
        kept = clip_boxes_xyxy(xywh_to_xyxy(self.boxes[self.decision.keep]), width, height)
        ratios = np.array([self.decision.size[1] / width, self.decision.size[0] / height])
        scaled: FloatArray = kept * np.tile(ratios, 2)
        return scaled

    @property
    def scaled_sizes(self) -> FloatArray:
        """sqrt(w * h) of :attr:`scaled_boxes` in pixels, (M,)."""
        boxes = self.scaled_boxes
        sizes: FloatArray = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        return sizes

    def row(self) -> dict[str, Any]:
        """The entry of the image in the file that the tool writes."""
        decision = self.decision
        return {
            "image_id": self.record.image_id,
            "num_boxes": self.num_boxes,
            "src_size": decision.source_size,
            "scale": decision.scale,
            "size": list(decision.size),
            "num_left": int(np.count_nonzero(decision.keep)),
            "fallback": decision.fallback,
        }


def preview_images(
    annotations: Annotations,
    policy: ScalePolicy,
    *,
    seed: int = 0,
    epoch: int = 0,
    progress: Progress = iter,
) -> list[PreviewedImage]:
    """Decide for each image as the mapper does in an epoch.

    Args:
        annotations: The source; crowd and ignored boxes have no say.
        policy: As ``storage.policies`` builds it.
        seed: Of the run, not negative.
        epoch: From 0 on.
        progress: Wraps the loop over images.

    Returns:
        One entry for each image, in file order, images without boxes included.

    Raises:
        InputError: Seed or epoch is negative.
    """
    for name, value in (("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise InputError(f"{name} must not be negative, got {value}")
    boxes_of = _BoxesOfImages(annotations, ~_without_say(annotations))
    previewed = []
    for record in progress(annotations.images):
        boxes = boxes_of(record.image_id)
        rng = sample_randomness(seed, record.image_id, epoch).rng
        uniforms = rng.random(policy.num_uniforms)
        decision = policy.decide(boxes, record.width, record.height, uniforms)
        counted = CountedBoxes.of_image(boxes, record.width, record.height).mask
        previewed.append(PreviewedImage(record, boxes, int(counted.sum()), decision))
    return previewed


def _without_say(annotations: Annotations) -> BoolArray:
    return annotations.table.iscrowd | annotations.table.ignore


class _BoxesOfImages:
    """Finds the rows of an image without a search through the table."""

    def __init__(self, annotations: Annotations, counted: BoolArray) -> None:
        rows = np.flatnonzero(counted)
        # Stable, so that the boxes of an image stay in file order.
        rows = rows[np.argsort(annotations.table.image_ids[rows], kind="stable")]
        self._ids = annotations.table.image_ids[rows]
        self._boxes = annotations.table.boxes[rows]

    def __call__(self, image_id: int) -> FloatArray:
        first, end = np.searchsorted(self._ids, [image_id, image_id + 1])
        return self._boxes[first:end]
