"""Painting drawings into images with exact, antialiased edges.

A drawing is filled at several times the resolution and averaged down, so that a figure of three
pixels covers its pixels by the right share, to a sixteenth, and its box is exact.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from scale_match.toy.shapes import Drawing

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
            colour, cover = _rasterise(drawing, window)
            pixels = self._pixels[rows, columns]
            pixels *= 1.0 - opacity * cover[..., None]
            pixels += opacity * colour
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
            _, cover = _rasterise(drawing, window)
            self._pixels[window] *= 1.0 - strength * cover[..., None]

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


def _rasterise(drawing: Drawing, window: _Window) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """Colour times coverage (h, w, 3), and coverage (h, w) in 0 to 1, of a pixel window."""
    (y1, y2), (x1, x2) = ((side.start, side.stop) for side in window)
    factor = _supersampling(max(x2 - x1, y2 - y1))
    size = ((x2 - x1) * factor, (y2 - y1) * factor)
    colour, cover = Image.new("RGB", size), Image.new("L", size)
    colour_pen, cover_pen = ImageDraw.Draw(colour), ImageDraw.Draw(cover)
    for part in drawing.parts:
        # Pillow's whole numbers are the centres of pixels.
        points = (part.points - (x1, y1)) * factor - 0.5
        corners = [(x, y) for x, y in points.tolist()]
        colour_pen.polygon(corners, fill=part.colour)
        cover_pen.polygon(corners, fill=255)
    # The ground of both is 0, so the mean of the colour is already weighted by the coverage.
    return (
        np.asarray(colour.reduce(factor), dtype=np.float32),
        np.asarray(cover.reduce(factor), dtype=np.float32) / 255.0,
    )


def _supersampling(side: int) -> int:
    """Finer for the tiny ones, where it matters and costs little."""
    return 16 if side <= 16 else 8 if side <= 64 else 4 if side <= 160 else 2
