"""The antialiased resize of pixels: PIL's bilinear filter in torch's vector code."""

import warnings
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional as F  # noqa: N812 - as everyone names it

__all__ = ["resize_antialiased", "resize_part"]


def resize_antialiased(
    pixels: npt.NDArray[np.uint8],
    size: tuple[int, int],
    extent: tuple[float, float] | None = None,
) -> npt.NDArray[np.uint8]:
    """Resize an image with a bilinear filter that is as wide as a new pixel, at least one old one.

    The same values as ``PIL.Image.resize(size, BILINEAR)`` but for some pixels that are rounded to
    the other side (mean difference under 0.05), in a third of its time.

    Args:
        pixels: (H, W, C), C at least 1.
        size: New (height, width), each at least 1.
        extent: Height and width of the part to take, in pixels from the top left corner and no
            whole numbers where the last row or column belongs to it in part; None takes all.

    Returns:
        (*size, C).
    """
    if extent is None and pixels.shape[:2] == size:
        return pixels
    batch = _as_tensor(pixels).permute(2, 0, 1)[None]  # in memory still H x W x C, which is fast
    if extent is None or extent == pixels.shape[:2]:
        resized = F.interpolate(batch, size, mode="bilinear", antialias=True)
    else:
        # The number of new pixels is rounded down, and no fewer than are asked for.
        factors = tuple(new / old * (1 + 1e-12) for new, old in zip(size, extent, strict=True))
        resized = F.interpolate(batch, scale_factor=factors, mode="bilinear", antialias=True)
    image: npt.NDArray[np.uint8] = resized[0].permute(1, 2, 0).numpy()
    return image[: size[0], : size[1]]


def resize_part(
    pixels: npt.NDArray[np.uint8], box: tuple[float, float, float, float], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Resize a part of an image, whose borders need not lie between pixels, with the same filter.

    Args:
        pixels: (H, W, C), C at least 1.
        box: x1, y1, x2, y2 inside the image, in pixels.
        size: New (height, width), each at least 1.

    Returns:
        (*size, C); in whole pixels :func:`resize_antialiased` of the pixels inside.
    """
    x1, y1, x2, y2 = box
    left, top = int(x1), int(y1)
    right, bottom = -int(-x2 // 1), -int(-y2 // 1)  # rounded up
    part = pixels[top:bottom, left:right]
    if (left, top, right, bottom) == box:
        return resize_antialiased(part, size)
    part = np.ascontiguousarray(part[:, :, 0] if part.shape[2] == 1 else part)
    inside = (x1 - left, y1 - top, x2 - left, y2 - top)
    resized = Image.fromarray(part).resize(size[::-1], Image.Resampling.BILINEAR, box=inside)
    return np.asarray(resized).reshape(*size, -1)


def _as_tensor(pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    if min(pixels.strides) < 0:
        pixels = np.ascontiguousarray(pixels)
    if not pixels.flags.writeable:
        _warn_of_read_only()
    return torch.from_numpy(pixels)


@cache
def _warn_of_read_only() -> None:
    """Have torch warn, unheard, of a read-only array, which it does once in a process.

    Pixels out of PIL are read-only; nothing writes into the tensors that are made of them.
    """
    pixel = np.zeros(1, np.uint8)
    pixel.flags.writeable = False
    with warnings.catch_warnings(action="ignore"):
        torch.from_numpy(pixel)
