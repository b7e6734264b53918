"""Images that know their size before they are decoded, and decode no more than is needed.

A JPEG consists of blocks of 8 x 8 pixels in frequency form; a decoder that leaves out the high
frequencies gives the image at 1/2, 1/4 or 1/8 of its size, in less time and memory. The rest of a
reduction is an antialiased resize.
"""

import io
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data.detection_utils import convert_PIL_to_numpy
from detectron2.utils.file_io import PathManager
from PIL import Image

from scale_match.core.boxes import xywh_to_xyxy, xyxy_to_xywh
from scale_match.core.erasing import erase_regions
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.data.resizing import resize_antialiased, resize_part
from scale_match.data.shared_pixels import shared_pixels
from scale_match.storage.image_files import IMAGE_ERRORS

__all__ = ["EncodedImage"]

# The decoder's reduction stops at this many times the wanted size: closer to it, its own filter,
# which is sharper than the resize's, would be seen (mean difference 1 grey level instead of 0.3).
# A little under 2, because a quarter of 427 rows is rounded up to 107.
_LEAST_REDUCED = 1.95
# Formats that detectron2 makes of RGB; all others are modes of PIL.
_FROM_RGB = ("BGR", "YUV-BT.601")
# Blocks of memory, of at most 16 MB, that PIL keeps for the next image.
_KEPT_BLOCKS = 2
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = 1
# What makes the picture upright, in this order: exchange the axes, turn x round, turn y round.
_TRANSPOSED = (5, 6, 7, 8)
_MIRRORED_X = (2, 3, 6, 7)
_MIRRORED_Y = (3, 4, 7, 8)


class EncodedImage:
    """An image file, read but not decoded.

    Attributes:
        size: (height, width) in pixels, as the Exif orientation turns it, like the pixels.
        called: The file and its image id, as messages name it.
    """

    def __init__(self, file_name: str, image_format: str, image_id: object = None) -> None:
        """Read a file and its header.

        Args:
            file_name: Of any kind that PIL reads; only JPEGs are decoded in part.
            image_format: "RGB", "BGR" or another that detectron2 reads.
            image_id: For messages.

        Raises:
            InputError: The file is missing or no image.
        """
        _keep_memory()
        self.called = f"image file {file_name} (image id {image_id})"
        self._format = image_format
        try:
            with PathManager.open(file_name, "rb") as file:
                self._content = file.read()
            image = Image.open(io.BytesIO(self._content))
            self._orientation = _orientation(image)
        except FileNotFoundError as error:
            raise InputError(f"{self.called} does not exist") from error
        except IMAGE_ERRORS as error:
            raise self._unreadable(error) from error
        self._opened: Image.Image | None = image
        width, height = image.size
        self.size = (width, height) if self._orientation in _TRANSPOSED else (height, width)
        self._erased: tuple[FloatArray, FloatArray] | None = None

    def check_size(self, width: int, height: int) -> None:
        """Refuse an image of another size than its annotations say, both in pixels.

        Raises:
            InputError: It has another one.
        """
        if self.size != (height, width):
            raise InputError(
                f"{self.called} is {self.size[1]} x {self.size[0]} pixels, but the annotations say "
                f"{width} x {height}"
            )

    def erase(self, regions_xywh: FloatArray, objects_xywh: FloatArray) -> None:
        """Have regions filled with their mean colours in all pixels that are asked for from now on.

        In an image that is decoded in part they are filled after that, so that their borders are
        right within a pixel of it, half a pixel of what is made of it.

        Args:
            regions_xywh: (R, 4) XYWH in pixels of the image.
            objects_xywh: (M, 4) XYWH; their pixels stay (:func:`erase_regions`).
        """
        self._erased = regions_xywh, objects_xywh

    def pixels(self) -> npt.NDArray[Any]:
        """All pixels, (H, W, C), equal to those of detectron2's ``read_image``.

        Raises:
            InputError: The file cannot be decoded to its end.
        """
        pixels, _ = self._decoded(None)
        return self._finished(pixels)

    def resized(self, size: tuple[int, int]) -> npt.NDArray[Any]:
        """The image in another size, of a JPEG mostly without decoding every pixel.

        Where a side is left clearly over a quarter, this is :func:`resize_antialiased` of all
        pixels. Else a JPEG's differ from that in the mean by 0.3 grey levels (photographs; sharp
        patterns everywhere, 0.7).

        Args:
            size: New (height, width), each at least 1.

        Returns:
            (*size, C).

        Raises:
            InputError: The file cannot be decoded to its end.
        """
        stored_size = self._stored_size(size)
        pixels, extent = self._decoded(stored_size, lent=True)
        return self._finished(resize_antialiased(pixels, stored_size, extent))

    def parts(
        self, corners: Sequence[tuple[int, int, int, int]], sizes: Sequence[tuple[int, int]]
    ) -> list[npt.NDArray[Any]]:
        """Parts of the image, each in a size of its own, decoding the image once.

        Where the least reduced part is left clearly over a quarter of its size they are
        :func:`resize_antialiased` of the pixels inside; else as :meth:`resized` has it.

        Args:
            corners: x1, y1, x2, y2 in whole pixels inside the image, x2 and y2 exclusive.
            sizes: New (height, width) of each.

        Raises:
            InputError: The file cannot be decoded to its end.
        """
        if not corners:
            return []
        boxes = self._as_stored(np.array(corners, np.float64))  # (N, 4)
        new = np.array([self._stored_size(size) for size in sizes])  # (N, 2)
        factors = (new / (boxes[:, [3, 2]] - boxes[:, [1, 0]])).max(axis=0)
        full = self._stored_size(self.size)
        wanted = int(np.ceil(factors[0] * full[0])), int(np.ceil(factors[1] * full[1]))
        pixels, extent = self._decoded(wanted)
        height, width = extent or full
        boxes = boxes * np.tile([width / full[1], height / full[0]], 2)
        return [
            self._finished(resize_part(pixels, (x1, y1, x2, y2), (rows, columns)))
            for (x1, y1, x2, y2), (rows, columns) in zip(boxes.tolist(), new.tolist(), strict=True)
        ]

    def _stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the upright picture in the axes of the stored one."""
        return size[::-1] if self._orientation in _TRANSPOSED else size

    def _as_stored(self, boxes_xyxy: FloatArray) -> FloatArray:
        """Boxes of the upright picture, (N, 4) XYXY, in pixels as stored."""
        height, width = self.size
        x1, y1, x2, y2 = boxes_xyxy.T
        if self._orientation in _MIRRORED_X:
            x1, x2 = width - x2, width - x1
        if self._orientation in _MIRRORED_Y:
            y1, y2 = height - y2, height - y1
        if self._orientation in _TRANSPOSED:
            x1, y1, x2, y2 = y1, x1, y2, x2
        return np.stack([x1, y1, x2, y2], axis=1)

    def _decoded(
        self, wanted: tuple[int, int] | None, *, lent: bool = False
    ) -> tuple[npt.NDArray[np.uint8], tuple[float, float] | None]:
        """Pixels as stored, RGB or of another mode of PIL, and how much of them is image.

        Reduced as far as the wanted (height, width) allows. The last row and column of reduced
        pixels can reach over the edge of the image: 427 rows at 1/2 are 213.5. Lent RGB pixels may
        have a fourth channel without meaning.
        """
        mode = "RGB" if self._format in _FROM_RGB else self._format
        try:
            with self._opened or Image.open(io.BytesIO(self._content)) as image:
                self._opened = None  # decoded once, it knows one size only
                box = None
                if wanted is not None:
                    least = int(wanted[1] * _LEAST_REDUCED), int(wanted[0] * _LEAST_REDUCED)
                    drafted = image.draft(None, least)  # None: the file's own mode
                    box = None if drafted is None else drafted[1]
                image.load()
                # PIL would copy the pixels to convert them to the mode that they have.
                converted = image if image.mode == mode else image.convert(mode)
                shared = shared_pixels(converted) if lent and self._erased is None else None
                pixels = np.asarray(converted) if shared is None else shared
        except IMAGE_ERRORS as error:
            raise self._unreadable(error) from error
        extent = None if box is None else (box[3], box[2])
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        return self._with_erased(pixels, extent), extent

    def _with_erased(
        self, pixels: npt.NDArray[np.uint8], extent: tuple[float, float] | None
    ) -> npt.NDArray[np.uint8]:
        if self._erased is None:
            return pixels
        full = self._stored_size(self.size)
        height, width = extent or full
        factors = np.tile([width / full[1], height / full[0]], 2)
        regions, objects = (
            xyxy_to_xywh(self._as_stored(xywh_to_xyxy(boxes)) * factors) for boxes in self._erased
        )
        return erase_regions(pixels, regions, objects)

    def _finished(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Decoded pixels in the image format and turned as Exif says."""
        if self._format == "RGB":
            pixels = pixels[:, :, :3]
        elif self._format == "BGR":
            pixels = pixels[:, :, 2::-1]
        elif self._format in _FROM_RGB:
            colours = np.ascontiguousarray(pixels[:, :, :3])
            pixels = convert_PIL_to_numpy(Image.fromarray(colours), self._format)
        return _TURNS.get(self._orientation, _unturned)(pixels)

    def _unreadable(self, error: BaseException) -> InputError:
        return InputError(f"{self.called} cannot be read: {error}")


@cache
def _keep_memory() -> None:
    """Have PIL use an image's memory again for the next one, in this process.

    Else the system may take it back and give new pages each time: a fifth of the time that a
    reduced image of 1920x1080 takes. The environment's PILLOW_BLOCKS_MAX comes first.
    """
    memory = Image.core  # type: ignore[attr-defined] # PIL's stubs lack it
    if memory.get_blocks_max() == 0 and "PILLOW_BLOCKS_MAX" not in os.environ:
        memory.set_blocks_max(_KEPT_BLOCKS)


def _orientation(image: Image.Image) -> int:
    """The Exif orientation, 1 to 8; upright where it is absent or cannot be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, _UPRIGHT))
    except Exception:  # noqa: BLE001 - damaged Exif data raise anything, the pixels may be fine
        return _UPRIGHT


def _unturned(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels


# From the pixels as stored to the picture upright, by Exif orientation.
_TURNS: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
