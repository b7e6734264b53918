"""Painting drawings into images with exact, antialiased edges.

A drawing is filled at several times the resolution and averaged down, so that a figure of three
pixels covers its pixels by the right share, to a sixteenth, and its box is exact.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scale_match.toy.shapes import Colour, Drawing

__all__ = ["Canvas", "Pixels"]

Pixels = npt.NDArray[np.float32]
"""(H, W, 3) RGB, 0 to 255."""

_Window = tuple[slice, slice]


class Canvas:
    """An image under construction.

    It remembers which drawing is in front at each pixel, so that one can tell how much of a
    drawing is hidden in the end.

    Args:
        background: (H, W, 3); copied.
    """

    def __init__(self, background: Pixels) -> None:
        self._pixels = background.copy()
        self._size = (background.shape[1], background.shape[0])
        self._front = np.full(background.shape[:2], -1, dtype=np.int32)
        self._painted: list[int] = []

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    def pixels(self) -> Pixels:
        """The image so far, (H, W, 3); a copy."""
        return self._pixels.copy()

    def paint(self, drawing: Drawing, *, opacity: float = 1.0) -> int:
        """Paint a drawing in front of what is there; parts outside of the image are cut off.

        Args:
            drawing: In pixels of the image, see :meth:`Drawing.placed`.
            opacity: 1 covers the ground, 0 leaves it.

        Returns:
            Number of the drawing, for :meth:`visible_shares`.
        """
        self._painted.append(0)
        number = len(self._painted) - 1
        window = self._window(drawing)
        if window is not None:
            rows, columns = window
            cover = _coverage(drawing, window)
            pixels = self._pixels[rows, columns]
            pixels *= 1.0 - opacity * cover[..., None]
            pixels += opacity * _colour(drawing, window)
            # Half of the peak, not half a pixel: a thin figure covers no pixel by half.
            solid = cover > 0.5 * cover.max()
            self._front[rows, columns][solid] = number
            self._painted[number] = int(solid.sum())
        return number

    def shade(self, drawing: Drawing, *, strength: float) -> None:
        """Darken the ground under a drawing, whatever its colours; it hides nothing.

        Args:
            drawing: In pixels of the image.
            strength: 1 makes it black, 0 leaves it.
        """
        window = self._window(drawing)
        if window is not None:
            self._pixels[window] *= 1.0 - strength * _coverage(drawing, window)[..., None]

    def _window(self, drawing: Drawing) -> _Window | None:
        """The rows and columns that a drawing can touch, None if it is outside of the image."""
        width, height = self._size
        left, top, right, bottom = drawing.extent()
        x1, y1 = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
        x2, y2 = min(int(np.ceil(right)), width), min(int(np.ceil(bottom)), height)
        if x1 >= x2 or y1 >= y2:
            return None
        return slice(y1, y2), slice(x1, x2)

    def visible_shares(self) -> npt.NDArray[np.float64]:
        """Share of each drawing that no later one hides, (number of drawings,), 0 to 1."""
        painted = np.asarray(self._painted, dtype=np.int64)
        in_front = self._front[self._front >= 0]
        left = np.bincount(in_front, minlength=len(painted))
        shares: npt.NDArray[np.float64] = left / np.maximum(painted, 1)
        return shares


def _colour(drawing: Drawing, window: _Window) -> Pixels:
    """The drawing on black, averaged over each pixel, so colour times coverage, (h, w, 3)."""
    return _filled(drawing, window, "RGB", [part.colour for part in drawing.parts])


def _coverage(drawing: Drawing, window: _Window) -> npt.NDArray[np.float32]:
    """The share of each pixel that the drawing covers, (h, w), 0 to 1."""
    return _filled(drawing, window, "L", [255] * len(drawing.parts)) / np.float32(255)


def _filled(
    drawing: Drawing, window: _Window, mode: str, fills: Sequence[Colour | int]
) -> npt.NDArray[np.float32]:
    """The parts filled at a higher resolution and averaged down to the pixels of a window."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    factor = _supersampling(max(width, height))
    image = Image.new(mode, (width * factor, height * factor))
    pen = ImageDraw.Draw(image)
    for part, fill in zip(drawing.parts, fills, strict=True):
        # Pillow's whole numbers are the centres of pixels.
        corners = (part.points - (columns.start, rows.start)) * factor - 0.5
        pen.polygon(corners.ravel().tolist(), fill=fill)
    return np.asarray(image.reduce(factor), dtype=np.float32)


def _supersampling(side: int) -> int:
    """Finer for the tiny ones, where it matters and costs little."""
    return 16 if side <= 16 else 8 if side <= 64 else 4 if side <= 160 else 2
