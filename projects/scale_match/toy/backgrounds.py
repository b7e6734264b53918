"""Grounds on which figures stand: water, sand, grass, stone, snow, haze.

Each is a colour with smooth noise at several scales, as grain, waves or blades; a scene joins two
of them along an uneven border, like a shore.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from scale_match.toy.canvas import Pixels
from scale_match.toy.shapes import Colour

__all__ = ["ROOMS", "TERRAINS", "Ground", "draw_ground", "draw_two_grounds"]

_Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ground:
    """How a ground looks.

    Attributes:
        dark: Colour where the noise is lowest.
        light: Colour where it is highest.
        cells: (width, height) in pixels of the noise's cells, coarse to fine; wide cells make
            waves, high ones blades of grass.
        grain: Standard deviation of the noise of single pixels, in grey levels.
        tilt: Brightening from top to bottom, in grey levels.
    """

    dark: Colour
    light: Colour
    cells: tuple[tuple[float, float], ...]
    grain: float = 3.0
    tilt: float = 0.0


TERRAINS: tuple[Ground, ...] = (
    Ground((18, 62, 92), (94, 156, 176), ((160, 60), (40, 8), (14, 3)), 3.0, 25.0),
    Ground((10, 84, 96), (150, 208, 204), ((220, 90), (26, 6), (9, 3)), 4.0, 10.0),
    Ground((168, 138, 98), (232, 210, 168), ((200, 120), (24, 16), (4, 4)), 7.0, -15.0),
    Ground((34, 70, 22), (124, 160, 74), ((180, 120), (10, 24), (3, 8)), 8.0),
    Ground((72, 74, 80), (140, 140, 144), ((240, 160), (6, 6)), 6.0, 12.0),
    Ground((196, 204, 216), (250, 252, 255), ((200, 120), (30, 14)), 3.0),
    Ground((92, 66, 44), (172, 138, 102), ((90, 60), (12, 8), (5, 4)), 6.0),
    Ground((120, 142, 168), (206, 214, 220), ((320, 160),), 2.0, 30.0),
)
"""Grounds of the target: out of doors, seen from far away."""

ROOMS: tuple[Ground, ...] = (
    Ground((150, 140, 128), (206, 198, 184), ((240, 200),), 3.0, -30.0),
    Ground((60, 84, 60), (150, 180, 130), ((140, 100), (20, 30)), 5.0),
    Ground((84, 88, 98), (168, 172, 178), ((200, 140), (12, 12)), 5.0, 20.0),
    Ground((96, 130, 176), (216, 226, 238), ((320, 120),), 2.0, 40.0),
    Ground((140, 96, 66), (204, 158, 116), ((300, 20), (60, 5)), 3.0),
    Ground((24, 26, 34), (76, 80, 96), ((200, 160),), 4.0, 15.0),
)
"""Grounds of the source: near scenes."""


def draw_ground(rng: np.random.Generator, ground: Ground, width: int, height: int) -> Pixels:
    """One ground all over the image, (H, W, 3); not yet clipped to 0 to 255."""
    waves = np.zeros((height, width), dtype=np.float32)
    for weight, cell in zip(_octave_weights(len(ground.cells)), ground.cells, strict=True):
        waves += weight * _smooth_noise(rng, (width, height), cell)
    dark = np.asarray(ground.dark, dtype=np.float32) + rng.normal(0.0, 8.0, 3).astype(np.float32)
    light = np.asarray(ground.light, dtype=np.float32) + rng.normal(0.0, 8.0, 3).astype(np.float32)
    pixels: Pixels = dark + waves[..., None] * (light - dark)
    slope = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(ground.tilt)
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(ground.grain)
    pixels += (slope[:, None] + grain)[..., None]
    return pixels


def draw_two_grounds(
    rng: np.random.Generator, grounds: tuple[Ground, Ground], width: int, height: int
) -> Pixels:
    """Two grounds, the first above an uneven border and the second below, (H, W, 3)."""
    above = draw_ground(rng, grounds[0], width, height)
    below = draw_ground(rng, grounds[1], width, height)
    outline = _smooth_noise(rng, (width, 1), (width / 5, 1))[0]
    border = ((rng.uniform(0.13, 0.63) + 0.24 * outline) * height).astype(np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    share = np.clip((rows - border) / 3 + 0.5, 0.0, 1.0)[..., None]  # soft over 3 pixels
    below -= above
    below *= share
    below += above
    return below


def _octave_weights(count: int) -> npt.NDArray[np.float32]:
    weights = np.power(np.float32(0.6), np.arange(count, dtype=np.float32))
    normalised: npt.NDArray[np.float32] = weights / weights.sum(dtype=np.float32)
    return normalised


def _smooth_noise(
    rng: np.random.Generator, size: tuple[int, int], cell: tuple[float, float]
) -> _Plane:
    """Noise of about 0 to 1 that varies over cells of the given size, (H, W)."""
    width, height = size
    grid = rng.random((int(height / cell[1]) + 2, int(width / cell[0]) + 2), dtype=np.float32)
    noise: _Plane = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC))
    return noise
