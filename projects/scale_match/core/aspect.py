"""ReAspect: an image stretched so that its objects get a wanted height over width."""

import math

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import as_boxes

__all__ = ["mean_aspect", "stretched_size"]


def mean_aspect(boxes_xywh: npt.ArrayLike) -> float | None:
    """Geometric mean of height over width of the boxes with an area.

    Args:
        boxes_xywh: (N, 4) XYWH.

    Returns:
        The mean; None where no box has an area.

    >>> round(mean_aspect([[0, 0, 2, 8], [5, 5, 3, 3], [1, 1, 0, 4]]), 9)
    2.0
    """
    sides = as_boxes(boxes_xywh)[:, 2:]
    sides = sides[(sides > 0.0).all(axis=1)]
    if len(sides) == 0:
        return None
    return float(np.exp(np.mean(np.log(sides[:, 1]) - np.log(sides[:, 0]))))


def stretched_size(height: int, width: int, factor: float) -> tuple[int, int]:
    """Height and width of an image whose height over width is multiplied; the area stays.

    Args:
        height: In pixels.
        width: In pixels.
        factor: > 0.

    Returns:
        Whole pixels, rounded half to even, at least 1.

    >>> stretched_size(100, 200, 4.0)
    (200, 100)
    """
    root = math.sqrt(factor)
    return max(1, round(height * root)), max(1, round(width / root))
