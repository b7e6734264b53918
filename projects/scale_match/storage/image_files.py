"""Image files to arrays of pixels and back, for the tools that write images.

Pixels are (H, W, 3) RGB or (H, W) grey, uint8, upright: an orientation that the file states (EXIF)
is applied on reading. Which format is written follows from the suffix of the name.
"""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from scale_match.core.errors import InputError
from scale_match.storage.files import read_bytes

__all__ = [
    "IMAGE_ERRORS",
    "IMAGE_SUFFIXES",
    "Picture",
    "UnreadableImageError",
    "decode",
    "encode",
    "image_size",
    "jpeg_is_closed",
    "read_image_bytes",
]

# Suffix -> Pillow's format and how it is written. JPEG: 95 is the highest quality that Pillow's
# manual advises, and full colour resolution, because tiny objects are a few pixels wide.
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".png": ("PNG", {}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"lossless": True}),
}
IMAGE_SUFFIXES = tuple(_WRITERS)

# What Pillow raises for files that are no images, damaged, cut off, or absurdly large.
IMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,  # of AVIF
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_AS_IT_IS = ("L", "RGB")
_TO_RGB = ("1", "P", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_TURNED = (5, 6, 7, 8)  # values of the EXIF orientation that swap width and height
_ORIENTATION = 0x0112
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class UnreadableImageError(InputError):
    """An image file that cannot be used; the tools count these and go on, unless told not to."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded image.

    Attributes:
        pixels: (H, W, 3) RGB or (H, W) grey, uint8.
        icc_profile: Its colour profile, to be written again; None if it has none.
    """

    pixels: npt.NDArray[np.uint8]
    icc_profile: bytes | None = None


def decode(data: bytes, path: str | os.PathLike[str], size: tuple[int, int]) -> Picture:
    """Decode an image file as a whole.

    Args:
        data: The content of the file.
        path: Its name, for messages.
        size: (width, height) that the annotations state.

    Raises:
        UnreadableImageError: It is no image, it is damaged or cut short, it has another size, or
            pixels that 8 bits do not hold.
    """
    with _readable(path), Image.open(io.BytesIO(data)) as image:
        found = _upright_size(image)
        if found != size:
            raise UnreadableImageError(
                f"{path} has {found[0]}x{found[1]} pixels, its annotation says {size[0]}x{size[1]}"
            )
        if image.mode not in _AS_IT_IS + _TO_RGB:
            raise UnreadableImageError(
                f"{path} has pixels of the kind {image.mode!r}, which do not fit into 8 bits"
            )
        profile = image.info.get("icc_profile")
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in _AS_IT_IS:
            profile = None  # it describes other channels
            upright = upright.convert("RGB")
        return Picture(np.asarray(upright), profile)


def jpeg_is_closed(path: str | os.PathLike[str]) -> bool:
    """Whether a file ends as a whole JPEG does; True for files of other kinds.

    One that does not may have been cut off, or has something behind its end: decoding it tells.
    """
    with Path(path).open("rb") as file:
        if file.read(2) != _JPEG_START:
            return True
        file.seek(-2, os.SEEK_END)
        return file.read(2) == _JPEG_END


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of an image file, upright; only its header is read.

    Raises:
        UnreadableImageError: There is no such file, or it is no image.
    """
    with _readable(path), Image.open(path) as image:
        return _upright_size(image)


def encode(picture: Picture, path: str | os.PathLike[str]) -> bytes:
    """The content of an image file with these pixels.

    JPEG is written with quality 95 and full colour resolution, everything else without loss.

    Args:
        picture: What to write.
        path: The name that the file will have; its suffix decides about the format.

    Raises:
        UnreadableImageError: The suffix is none of ``IMAGE_SUFFIXES``.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise UnreadableImageError(
            f"{path} cannot be written: its suffix must be one of {', '.join(IMAGE_SUFFIXES)}"
        )
    format_name, options = _WRITERS[suffix]
    if picture.icc_profile is not None and format_name != "BMP":
        options = {**options, "icc_profile": picture.icc_profile}
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, format=format_name, **options)
    return buffer.getvalue()


def read_image_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of an image file.

    Raises:
        UnreadableImageError: There is no such file, or it cannot be read.
    """
    try:
        return read_bytes(path)
    except InputError as error:
        raise UnreadableImageError(str(error)) from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    turned = image.getexif().get(_ORIENTATION) in _TURNED
    return (height, width) if turned else (width, height)


@contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what Pillow raises for damaged files into one error; images may be of any size."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # aerial photographs exceed it, and their size is known here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged EXIF data and the like
            yield
    except UnreadableImageError:
        raise
    except IMAGE_ERRORS as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format"
        raise UnreadableImageError(f"cannot read {path}: {reason}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
