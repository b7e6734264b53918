"""The pixels of a PIL image without a copy.

PIL keeps four bytes for each pixel of an RGB image, and copies them into rows of three for whoever
asks as numpy does. Where the fourth does no harm that copy can be saved: PIL lends its memory
through Arrow's C data interface (https://arrow.apache.org/docs/format/CDataInterface.html).
"""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["shared_pixels"]

_BYTES = 4  # of a pixel in PIL's memory


class _ArrowArray(ctypes.Structure):
    """`struct ArrowArray` of the interface."""


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    ("dictionary", ctypes.POINTER(_ArrowArray)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def shared_pixels(image: Image.Image) -> npt.NDArray[np.uint8] | None:
    """PIL's own memory of an RGB image.

    Args:
        image: Decoded.

    Returns:
        (H, W, 4), read-only, the fourth value of a pixel without meaning; the memory stays as long
        as the array does. None where PIL cannot lend it: an image of another mode, one so large
        that it lies in several pieces, or a PIL from before Arrow's interface (11.2).
    """
    if image.mode != "RGB" or not hasattr(image, "__arrow_c_array__"):
        return None
    try:
        capsules = image.__arrow_c_array__()
    except ValueError:  # in several pieces
        return None
    return np.asarray(_Lent(capsules, image.height, image.width))


class _Lent:
    """What numpy makes an array of; the array keeps it, and it keeps the memory."""

    def __init__(self, capsules: tuple[Any, Any], height: int, width: int) -> None:
        self._capsules = capsules  # with the last reference to them PIL takes its memory back
        pixels = _ArrowArray.from_address(_pointer_of(capsules[1], b"arrow_array"))
        # A list of lists of four bytes, whose second buffer holds them one after another.
        values = pixels.children[0].contents
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (height, width, _BYTES),
            "data": (values.buffers[1], True),
        }
