"""Exact-scale tiling as a detectron2 augmentation; ``core.exact_tiling`` decides."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.boxes import xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import ExactTiling, SourceImage
from scale_match.core.records import FloatArray
from scale_match.core.windows import Window
from scale_match.data.augmentation import ReadingTransform
from scale_match.data.image_reading import EncodedImage
from scale_match.data.resizing import resize_antialiased
from scale_match.data.size_target import SizeTarget
from scale_match.storage.annotations import read_annotations
from scale_match.storage.locations import resolve_data_path
from scale_match.storage.source_images import source_images

__all__ = ["ExactTileTransform", "ExactTiles", "build_exact_tiles"]

_KEY = "SCALE_MATCH.AUGMENT.EXACT_TILE (exact_tile)"


class ExactTileTransform(ReadingTransform):
    """A crop and its antialiased resize.

    Attributes:
        window: What is cut out, and its new size.
    """

    def __init__(self, window: Window) -> None:
        """Cut and resize.

        Args:
            window: See above.
        """
        super().__init__()
        self.window = window

    def apply_image(self, img: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Cut (H, W, C) pixels and resize them."""
        x1, y1, x2, y2 = self.window.corner
        return resize_antialiased(img[y1:y2, x1:x2], self.window.size)

    def read(self, image: EncodedImage) -> npt.NDArray[Any]:
        """Decode no more of an image than the tile needs."""
        (pixels,) = image.parts([self.window.corner], [self.window.size])
        return pixels

    def apply_coords(self, coords: FloatArray) -> FloatArray:
        """Move (N, 2) points x, y."""
        x1, y1, x2, y2 = self.window.corner
        height, width = self.window.size
        return (coords - (x1, y1)) * (width / (x2 - x1), height / (y2 - y1))


class ExactTiles(T.Augmentation):
    """Cuts a part out of an image and zooms it, so that its objects get sizes of the target.

    Of the input's boxes those that the tile does not keep lose their area.
    """

    def __init__(self, tiling: ExactTiling) -> None:
        """Cut by a tiling.

        Args:
            tiling: Chooses window and zoom from the boxes.
        """
        super().__init__()
        self.tiling = tiling

    def __call__(self, aug_input: T.AugInput) -> T.Transform:
        """Transform an input in place, and return what was done."""
        transform = super().__call__(aug_input)
        aug_input.boxes = np.where(transform.window.keep[:, None], aug_input.boxes, 0.0)
        return transform

    def get_transform(
        self, boxes: FloatArray, rng: np.random.Generator, image_size: tuple[int, int]
    ) -> ExactTileTransform:
        """Decide for an image.

        Args:
            boxes: (N, 4) XYXY_ABS, the boxes that are neither crowd nor ignored.
            rng: Gives the tiling's uniform numbers.
            image_size: (height, width) in pixels.
        """
        image = SourceImage.of_boxes(0, *image_size, xyxy_to_xywh(boxes))
        return ExactTileTransform(self.tiling.sample(image, rng.random(self.tiling.num_uniforms)))


def build_exact_tiles(tile: Sequence[int], sizes: SizeTarget) -> ExactTiles:
    """Build the augmentation from files; done once, in the main process.

    Args:
        tile: Greatest height and width in pixels.
        sizes: Whose sizes to imitate, and the source.

    Raises:
        InputError: A file or a setting breaks its rule.
    """
    size = tuple(tile)
    if len(size) != 2 or not all(type(side) is int and side >= 1 for side in size):
        raise InputError(f"{_KEY} must be a height and a width in pixels, got {list(tile)}")
    reached = sizes.histogram(_KEY)
    files = [sizes.source] if isinstance(sizes.source, str) else list(sizes.source)
    images = [
        image
        for file in files
        for image in source_images(read_annotations(resolve_data_path(file)))
    ]
    return ExactTiles(ExactTiling.from_images(images, reached, tile=size, limits=sizes.limits()))
