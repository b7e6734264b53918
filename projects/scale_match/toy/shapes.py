"""Drawings as coloured polygons: the one thing that figures, distractors and the painter share.

A drawing lives in a plane of its own (x to the right, y downwards, any unit); where it stands in an
image and how large is decided when it is placed. As everything is a polygon, the exact box of a
drawing is the span of its points.
"""

from dataclasses import dataclass

import numpy as np

from scale_match.core.records import FloatArray

__all__ = ["Colour", "Drawing", "Part", "capsule", "disc", "ellipse", "polygon", "rectangle"]

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
"""Corners of a drawn circle (20, 2); its outline is within 1.3 % of the radius of a true one."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One filled polygon: corners (P, 2) as x, y, and its colour."""

    points: FloatArray
    colour: Colour


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Parts from back to front."""

    parts: tuple[Part, ...]

    def extent(self) -> tuple[float, float, float, float]:
        """The exact box: left, top, right, bottom in the drawing's own unit."""
        points = np.concatenate([part.points for part in self.parts])
        left, top = points.min(axis=0)
        right, bottom = points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    def placed(self, *, x: float, y: float, size: float, mirrored: bool = False) -> "Drawing":
        """The same drawing with its box somewhere in an image.

        Args:
            x: Left edge of its box, pixels.
            y: Top edge of its box, pixels.
            size: Square root of the area of its box, pixels.
            mirrored: Left and right exchanged.
        """
        left, top, right, bottom = self.extent()
        scale = size / np.sqrt((right - left) * (bottom - top))
        origin = np.array([right if mirrored else left, top])
        factors = np.array([-scale if mirrored else scale, scale])
        return Drawing(
            tuple(
                Part((part.points - origin) * factors + (x, y), part.colour) for part in self.parts
            )
        )


def polygon(points: list[tuple[float, float]], colour: Colour) -> Part:
    """A polygon with these corners."""
    return Part(np.asarray(points, dtype=np.float64), colour)


def rectangle(left: float, top: float, right: float, bottom: float, colour: Colour) -> Part:
    """An upright rectangle."""
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> Part:
    """An upright ellipse around (x, y); its polygon touches all four sides of the true box."""
    return Part(_CIRCLE * (radius_x, radius_y) + (x, y), colour)


def disc(x: float, y: float, radius: float, colour: Colour) -> Part:
    """A circle around (x, y)."""
    return ellipse(x, y, radius, radius, colour)


def capsule(
    start: tuple[float, float], end: tuple[float, float], width: float, colour: Colour
) -> Part:
    """A straight stroke of the given width with round ends: a limb, a pole."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    ahead = _CIRCLE @ (along_x, along_y) > 0.0
    # A circle cut in two across the stroke, its front half moved to the end; the corners stay in
    # the order of their angles, so the outline does not cross itself.
    centres = np.where(ahead[:, None], end, start)
    return Part(centres + 0.5 * width * _CIRCLE, colour)
