"""JPEGs with the spectrum of photographs, drawn, for measuring how fast images are read."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scale_match.storage.image_files import image_size

__all__ = ["photograph_dicts", "write_drawn_photographs"]

_BOXES = 8
_XYWH_ABS = 1  # detectron2's BoxMode
# With these a file has 1 bit (1920x1080) to 2 bits (640x480) for each pixel.
_QUALITY, _CONTRAST, _FALL = 90, 45.0, 1.6

Progress = Callable[[Iterable[int]], Iterable[int]]


def write_drawn_photographs(
    folder: Path,
    *,
    number: int,
    width: int,
    height: int,
    seed: int = 0,
    progress: Progress = lambda numbers: numbers,
) -> list[Path]:
    """Write JPEGs (quality 90, colours at half resolution), all different.

    Args:
        folder: An existing folder.
        number: How many.
        width: In pixels.
        height: In pixels.
        seed: Equal seeds give equal files.
        progress: Wraps the numbers of the files.

    Returns:
        The files.
    """
    paths = []
    for index in progress(range(number)):
        generator = np.random.default_rng([seed, index, width, height])
        path = folder / f"{width}x{height}_{index}.jpg"
        Image.fromarray(_drawn(generator, width, height)).save(path, quality=_QUALITY)
        paths.append(path)
    return paths


def photograph_dicts(paths: Iterable[Path], *, seed: int = 0) -> list[dict[str, Any]]:
    """Detectron2's dictionaries of image files, each with 8 drawn boxes.

    Args:
        paths: Images of any size.
        seed: Of the boxes.
    """
    generator = np.random.default_rng(seed)
    dicts = []
    for index, path in enumerate(paths):
        width, height = image_size(path)
        sides = generator.uniform(0.1, 0.3, (_BOXES, 2)) * (width, height)
        corners = generator.random((_BOXES, 2)) * ((width, height) - sides)
        boxes = np.hstack([corners, sides]).tolist()
        annotations = [
            {"bbox": box, "bbox_mode": _XYWH_ABS, "category_id": 0, "iscrowd": 0} for box in boxes
        ]
        entry = {"file_name": str(path), "image_id": index, "width": width, "height": height}
        dicts.append({**entry, "annotations": annotations})
    return dicts


def _drawn(generator: np.random.Generator, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Brightness and, weaker, two colour differences, whose waves weaken with frequency."""
    brightness, first, second = (
        _waves(generator, width, height, _CONTRAST * share) for share in (1.0, 0.2, 0.2)
    )
    channels = brightness + first, brightness - first / 2, brightness + second
    return np.clip(np.stack(channels, axis=2) + 120, 0, 255).astype(np.uint8)


def _waves(
    generator: np.random.Generator, width: int, height: int, deviation: float
) -> npt.NDArray[np.float64]:
    spectrum = np.fft.rfft2(generator.standard_normal((height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    values = np.fft.irfft2(spectrum / frequency**_FALL, (height, width))
    return np.asarray((values - values.mean()) * deviation / values.std())
