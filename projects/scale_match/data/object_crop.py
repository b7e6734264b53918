"""A random resize and a crop of one size around an object, as SimpleDet trains."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.boxes import xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.core.tiles import assign_boxes_to_tile

__all__ = ["ObjectCrop", "ObjectCropTransform"]

_GREY = 128  # detectron2's FixedSizeCrop fills with it


class ObjectCropTransform(T.Transform):
    """A crop that may reach over the right and lower border of the image, where it is grey.

    Attributes:
        chosen: The place among the boxes of the one that it is centred on; None for no box.
    """

    def __init__(
        self, x: int, y: int, height: int, width: int, *, chosen: int | None = None
    ) -> None:
        """Crop.

        Args:
            x: Left side in pixels, >= 0.
            y: Upper side in pixels, >= 0.
            height: Of the crop, in pixels.
            width: Of the crop, in pixels.
            chosen: See above.
        """
        super().__init__()
        self.x, self.y, self.height, self.width = x, y, height, width
        self.chosen = chosen

    def apply_image(self, img: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut (H, W, C) or (H, W) pixels."""
        part = img[self.y : self.y + self.height, self.x : self.x + self.width]
        crop = np.full((self.height, self.width, *img.shape[2:]), _GREY, dtype=img.dtype)
        crop[: part.shape[0], : part.shape[1]] = part
        return crop

    def apply_coords(self, coords: FloatArray) -> FloatArray:
        """Move (N, 2) points x, y."""
        return coords - np.array([self.x, self.y], dtype=np.float64)


class ObjectCrop(T.Augmentation):
    """Resizes an image by a drawn factor and cuts out a part around one of its objects.

    The crop is centred on the object where the image allows, else moved to lie inside. In an image
    without boxes it lies anywhere; SimpleDet's stops with an error. A smaller image is padded.

    Of the input's boxes those of which the crop leaves less than the tile rule asks for (70 % of
    the size) lose their area, so that nobody trains on slivers; not so the one that it is centred
    on, of which a smaller crop shows the middle.
    """

    def __init__(self, crop_size: Sequence[int], scales: Sequence[float]) -> None:
        """Crop to one size.

        Args:
            crop_size: Height and width in pixels.
            scales: Least and greatest factor; drawn evenly in the logarithm.

        Raises:
            InputError: A value breaks its rule.
        """
        super().__init__()
        crop, limits = tuple(crop_size), tuple(float(scale) for scale in scales)
        if len(crop) != 2 or not all(type(side) is int and side >= 1 for side in crop):
            raise InputError(
                f"crop_size must be a height and a width in whole pixels, got {list(crop_size)}"
            )
        if len(limits) != 2 or not 0.0 < limits[0] <= limits[1] < math.inf:
            raise InputError(f"scales must be two numbers 0 < low <= high, got {list(scales)}")
        self.crop_size = crop
        self.scales = limits

    def __call__(self, aug_input: T.AugInput) -> T.Transform:
        """Transform an input in place, and return what was done."""
        transform = super().__call__(aug_input)
        tile = 0, 0, self.crop_size[1], self.crop_size[0]
        kept, _ = assign_boxes_to_tile(xyxy_to_xywh(aug_input.boxes), tile)
        boxes = np.zeros_like(aug_input.boxes)
        boxes[kept] = aug_input.boxes[kept]
        chosen = transform.transforms[-1].chosen
        if chosen is not None:
            boxes[chosen] = aug_input.boxes[chosen]
        aug_input.boxes = boxes
        return transform

    def get_transform(
        self, boxes: FloatArray, rng: np.random.Generator, image_size: tuple[int, int]
    ) -> T.TransformList:
        """Decide for an image.

        Args:
            boxes: (N, 4) XYXY_ABS.
            rng: Chooses factor, object and, without one, the place.
            image_size: (height, width) in pixels.
        """
        draws = rng.random(4)
        low, high = np.log(self.scales)
        factor = math.exp(low + draws[0] * (high - low))
        new = tuple(max(1, round(factor * side)) for side in image_size)
        corner = [self._start(axis, new[axis], draws[2 + axis]) for axis in range(2)]
        usable = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        chosen = int(usable[int(draws[1] * len(usable))]) if len(usable) else None
        if chosen is not None:
            box = boxes[chosen]
            for axis in range(2):
                centre = (box[1 - axis] + box[3 - axis]) / 2 * new[axis] / image_size[axis]
                start = round(centre - self.crop_size[axis] / 2)
                corner[axis] = min(max(start, 0), max(new[axis] - self.crop_size[axis], 0))
        return T.TransformList(
            [
                T.ResizeTransform(*image_size, *new),
                ObjectCropTransform(corner[1], corner[0], *self.crop_size, chosen=chosen),
            ]
        )

    def _start(self, axis: int, side: int, draw: float) -> int:
        return int(draw * (max(side - self.crop_size[axis], 0) + 1))
