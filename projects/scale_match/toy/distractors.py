"""Things that catch the eye as a person does, and are none: posts, buoys, birds, rocks, specks.

Sizes, colours and mostly proportions come from the same distributions as those of persons; only
the shape differs. A detector that finds whatever stands out and is higher than wide marks these.
"""

from collections.abc import Callable

import numpy as np

from scale_match.toy.figures import cloth_colour
from scale_match.toy.shapes import Drawing, Part, capsule, disc, ellipse, polygon, rectangle

__all__ = ["draw_distractor"]


_SLIM_SHARE = 0.7
"""Share of the distractors that get a person's proportions."""
_ASPECT = 0.56
"""Median width / height of a person."""


def draw_distractor(rng: np.random.Generator) -> Drawing:
    """One distractor of about unit height."""
    drawing = _KINDS[rng.integers(len(_KINDS))](rng)
    if rng.random() >= _SLIM_SHARE:
        return drawing
    left, top, right, bottom = drawing.extent()
    stretch = _ASPECT * float(np.exp(rng.normal(0.0, 0.2))) * (bottom - top) / (right - left)
    return Drawing(tuple(Part(part.points * (stretch, 1.0), part.colour) for part in drawing.parts))


def _post(rng: np.random.Generator) -> Drawing:
    """A post or a chimney: about as slim as a standing person, of one or two colours."""
    half = float(rng.uniform(0.08, 0.22))
    band = float(rng.uniform(0.2, 0.7))
    return Drawing(
        (
            rectangle(-half, 0.0, half, 1.0, cloth_colour(rng)),
            rectangle(-half, band, half, min(band + 0.3, 1.0), cloth_colour(rng)),
        )
    )


def _buoy(rng: np.random.Generator) -> Drawing:
    """A ball with a cone on top."""
    colour = cloth_colour(rng)
    return Drawing(
        (
            polygon([(-0.16, 0.55), (0.16, 0.55), (0.0, 0.0)], cloth_colour(rng)),
            ellipse(0.0, 0.72, 0.32, 0.28, colour),
            rectangle(-0.3, 0.68, 0.3, 0.78, cloth_colour(rng)),
        )
    )


def _bird(rng: np.random.Generator) -> Drawing:
    """Two wings in a flat V around a body."""
    colour = cloth_colour(rng)
    lift = float(rng.uniform(0.2, 0.6))
    wings = tuple(
        polygon([(0.0, 0.45), (side * 0.9, 0.45 - lift), (side * 0.35, 0.75)], colour)
        for side in (-1, 1)
    )
    return Drawing((*wings, ellipse(0.0, 0.6, 0.14, 0.28, colour)))


def _rock(rng: np.random.Generator) -> Drawing:
    """A rough outline with a lit top."""
    corners = int(rng.integers(6, 10))
    angles = np.sort(rng.uniform(0.0, 2.0 * np.pi, corners))
    radii = rng.uniform(0.3, 0.55, corners)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles) * rng.uniform(0.6, 1.5)], 1)
    colour = cloth_colour(rng)
    lit = (colour[0] // 2 + 90, colour[1] // 2 + 90, colour[2] // 2 + 90)
    return Drawing((Part(points, colour), Part(points * 0.6 - (0.0, 0.12), lit)))


def _boat(rng: np.random.Generator) -> Drawing:
    """A hull and a sail."""
    return Drawing(
        (
            polygon([(0.03, 0.0), (0.03, 0.7), (0.45, 0.7)], cloth_colour(rng)),
            rectangle(-0.03, 0.0, 0.03, 0.8, (90, 70, 50)),
            polygon([(-0.5, 0.75), (0.5, 0.75), (0.3, 1.0), (-0.3, 1.0)], cloth_colour(rng)),
        )
    )


def _umbrella(rng: np.random.Generator) -> Drawing:
    """A half disc on a pole."""
    angles = np.linspace(np.pi, 2.0 * np.pi, 12)
    shade = np.stack([0.5 * np.cos(angles), 0.45 + 0.45 * np.sin(angles)], axis=1)
    return Drawing(
        (capsule((0.0, 0.4), (0.0, 0.96), 0.08, cloth_colour(rng)), Part(shade, cloth_colour(rng)))
    )


def _bush(rng: np.random.Generator) -> Drawing:
    """A few overlapping balls on a stem."""
    colour = cloth_colour(rng)
    balls = tuple(
        disc(float(rng.uniform(-0.2, 0.2)), float(rng.uniform(0.2, 0.55)), 0.2, colour)
        for _ in range(4)
    )
    return Drawing((capsule((0.0, 0.5), (0.0, 0.96), 0.08, cloth_colour(rng)), *balls))


def _sign(rng: np.random.Generator) -> Drawing:
    """A board on a pole."""
    half = float(rng.uniform(0.15, 0.35))
    board = float(rng.uniform(0.3, 0.55))
    return Drawing(
        (
            rectangle(-0.05, 0.2, 0.05, 1.0, cloth_colour(rng)),
            rectangle(-half, 0.0, half, board, cloth_colour(rng)),
        )
    )


def _speck(rng: np.random.Generator) -> Drawing:
    """Litter, foam, a patch of light: a slanted oval or stroke."""
    colour = cloth_colour(rng)
    if rng.random() < 0.5:
        return Drawing((ellipse(0.0, 0.5, float(rng.uniform(0.2, 0.6)), 0.5, colour),))
    end = (float(rng.uniform(-0.5, 0.5)), 0.9)
    return Drawing((capsule((0.0, 0.1), end, float(rng.uniform(0.15, 0.3)), colour),))


_KINDS: tuple[Callable[[np.random.Generator], Drawing], ...] = (
    _post,
    _buoy,
    _bird,
    _rock,
    _boat,
    _umbrella,
    _bush,
    _sign,
    _speck,
)
