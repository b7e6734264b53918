"""The pixels of tiles, without decoding an image again for the next one of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.data.image_reading import EncodedImage

__all__ = ["TileReader"]


class TileReader:
    """Reads tiles, and keeps the last image whole.

    One is enough: a worker meets the tiles that :class:`scale_match.data.epochs.EpochPlan` puts
    together one after the other.

    Attributes:
        num_decoded: Images decoded so far, in this process.
    """

    def __init__(self, image_format: str) -> None:
        """Read tiles in a format.

        Args:
            image_format: "RGB", "BGR" or another that detectron2 reads.
        """
        self.num_decoded = 0
        self._format = image_format
        self._key: tuple[object, ...] | None = None
        self._pixels: npt.NDArray[Any] = np.empty((0, 0, 3), np.uint8)

    def pixels(
        self, file_name: str, corner: Sequence[int], image_id: object = None
    ) -> npt.NDArray[Any]:
        """The pixels of a tile, (H, W, C), an array of its own.

        Args:
            file_name: The whole image.
            corner: (x1, y1, x2, y2) of the tile, x2 and y2 exclusive.
            image_id: For messages.

        Raises:
            InputError: The image is missing or cannot be decoded, or the tile sticks out of it.
        """
        key = _state(file_name)
        if key is None or key != self._key:
            encoded = EncodedImage(file_name, self._format, image_id)
            _check_inside(corner, encoded.size, encoded.called)
            self._key = None  # what is kept goes if the next line fails
            self._pixels = encoded.pixels()
            self._key = key
            self.num_decoded += 1
        called = f"image file {file_name} (image id {image_id})"
        height, width = self._pixels.shape[:2]
        _check_inside(corner, (height, width), called)
        x1, y1, x2, y2 = corner
        return np.array(self._pixels[y1:y2, x1:x2])  # a copy: an augmentation may write into it


def _check_inside(corner: Sequence[int], size: tuple[int, int], called: str) -> None:
    height, width = size
    if corner[2] > width or corner[3] > height:
        raise InputError(
            f"{called} is {width} x {height} pixels, but its tile has corner "
            f"{list(corner)}, which must lie inside"
        )


def _state(file_name: str) -> tuple[object, ...] | None:
    """Changes when the file does; None where there is none on this machine."""
    try:
        status = Path(file_name).stat()
    except OSError:
        return None
    return file_name, status.st_mtime_ns, status.st_size, status.st_ino
