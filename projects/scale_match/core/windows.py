"""A part of an image around one object, as large as the objects beside it allow.

Coordinates as in :mod:`scale_match.core.boxes`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import box_areas, xyxy_to_xywh
from scale_match.core.records import BoolArray, FloatArray

__all__ = ["Window", "boxes_in_window", "window_around"]

# A box that a window cuts is trained on when so much of its size is left: the rule of the authors'
# tiles, see assign_boxes_to_tile. Of its area that is 49 %.
_MIN_SIZE_LEFT = 0.7
# Its sides in the scaled window must be at least 2 in the original's inclusive corners, so one
# less than a side, scaled, at least 1 (README 1.7).
_MIN_SPAN = 1.0


@dataclass(frozen=True, eq=False)
class Window:
    """A part of an image, the size that it is scaled to, and what is to be seen in it.

    Attributes:
        corner: x1, y1, x2, y2 in whole pixels of the image, x2 and y2 exclusive.
        size: Height and width after scaling in pixels, each at least 1.
        boxes: The image's boxes in pixels of the scaled window, cut to it, (N, 4) XYXY; without
            meaning for those that it does not touch.
        keep: Which of them are trained on, (N,): at least 70 % of the size left and large enough.
        ignored: Which are to be seen but not trained on, (N,).
    """

    corner: tuple[int, int, int, int]
    size: tuple[int, int]
    boxes: FloatArray
    keep: BoolArray
    ignored: BoolArray


def window_around(
    boxes_xyxy: FloatArray,
    anchor: int,
    image_size: tuple[int, int],
    *,
    reach: tuple[float, float],
    avoid: BoolArray,
    uniforms: npt.ArrayLike,
) -> tuple[int, int, int, int]:
    """A window that shows a box whole and, where it can, nothing of the boxes to avoid.

    A window of the greatest size is placed at random around the box and cut back, for the nearest
    box to avoid first, on the side where the most of it remains. A box that touches the anchor in
    both axes cannot be cut away and stays.

    Args:
        boxes_xyxy: (N, 4) XYXY inside the image.
        anchor: Which box to show.
        image_size: Height and width in pixels.
        reach: Greatest height and width of the window in pixels; an anchor that is larger counts.
        avoid: Which boxes to cut away, (N,); the anchor itself does not count.
        uniforms: Two numbers in [0, 1): where the window starts in y and x.

    Returns:
        x1, y1, x2, y2 in whole pixels, x2 and y2 exclusive.
    """
    first = np.floor(boxes_xyxy[anchor, :2])
    last = np.ceil(boxes_xyxy[anchor, 2:])
    low, high = _placed(first, last, image_size, reach, uniforms)
    others = avoid.copy()
    others[anchor] = False
    rivals = np.flatnonzero(others)
    ends = np.stack([np.floor(boxes_xyxy[rivals, :2]), np.ceil(boxes_xyxy[rivals, 2:])])
    gaps = np.maximum(ends[0] - last, first - ends[1])  # (R, 2)
    for rival in np.argsort(np.maximum(gaps.max(axis=1), 0.0), kind="stable"):
        begin, end = ends[0, rival], ends[1, rival]
        if (end <= low).any() or (begin >= high).any():
            continue
        cuts = []  # What remains in an axis, and how.
        for axis in range(2):
            rest = high[1 - axis] - low[1 - axis]
            if end[axis] <= first[axis]:
                cuts.append((rest * (high[axis] - end[axis]), axis, low, end))
            if begin[axis] >= last[axis]:
                cuts.append((rest * (begin[axis] - low[axis]), axis, high, begin))
        if cuts:
            _, axis, side, value = max(cuts, key=lambda cut: cut[0])
            side[axis] = value[axis]
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def boxes_in_window(
    boxes_xyxy: FloatArray, corner: tuple[int, int, int, int], zoom: float
) -> Window:
    """What a window shows of the boxes of an image when it is scaled.

    Args:
        boxes_xyxy: (N, 4) XYXY inside the image, with areas.
        corner: x1, y1, x2, y2 in whole pixels.
        zoom: Factor; the new size is rounded, half to even, and at least 1.
    """
    x1, y1, x2, y2 = corner
    size = max(1, round(zoom * (y2 - y1))), max(1, round(zoom * (x2 - x1)))
    # The ratios of the rounded size, which the boxes are really scaled by.
    ratios = np.array([size[1] / (x2 - x1), size[0] / (y2 - y1)])
    limits = np.array([x2 - x1, y2 - y1], dtype=np.float64)
    cut = np.clip(boxes_xyxy.reshape(-1, 2, 2) - (x1, y1), 0.0, limits)  # (N, corner, axis)
    sides = cut[:, 1] - cut[:, 0]
    areas = box_areas(xyxy_to_xywh(boxes_xyxy))
    visible = sides.prod(axis=1)
    large = ((sides - 1.0) * ratios >= _MIN_SPAN).all(axis=1)
    keep: BoolArray = (
        (visible > 0.0) & (np.sqrt(visible) >= _MIN_SIZE_LEFT * np.sqrt(areas)) & large
    )
    return Window(corner, size, (cut * ratios).reshape(-1, 4), keep, (visible > 0.0) & ~keep)


def _placed(
    first: FloatArray,
    last: FloatArray,
    image_size: tuple[int, int],
    reach: tuple[float, float],
    uniforms: npt.ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """The window before it is cut back: low and high corner, each x and y."""
    image = np.array(image_size[::-1], dtype=np.float64)
    sides = np.minimum(np.maximum(np.floor(reach[::-1]), last - first), image)
    earliest, latest = np.maximum(last - sides, 0.0), np.minimum(first, image - sides)
    place = np.asarray(uniforms, dtype=np.float64).reshape(2)[::-1]
    low = np.floor(earliest + place * (latest - earliest + 1.0))
    low = np.minimum(low, latest)
    return low, low + sides
