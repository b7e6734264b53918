"""The size of an image's objects before scaling, and the boxes that it is made of.

Rules: sections 1.4 and 1.7 of the oracle README "Scale-match", variant "v1".
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy
from scale_match.core.records import BoolArray, FloatArray

__all__ = ["CountedBoxes", "scaled_size", "source_size"]

# A box stays when both its sides are at least this long after scaling. In the original's inclusive
# corners, x2 = x1 + w - 1, this is x2 - x1 + 1 >= 2 (README 1.7).
_MIN_SPAN = 1.0


@dataclass(frozen=True, eq=False)
class CountedBoxes:
    """The boxes of an image as the original sees them: clipped, in inclusive pixel corners.

    Attributes:
        mask: Which of the given boxes count, (N,): those with x2 > x1 and y2 > y1.
        spans: x2 - x1 and y2 - y1 of all boxes, in pixels, (N, 2): one less than their sides.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """

    mask: BoolArray
    spans: FloatArray
    width: int
    height: int

    @classmethod
    def of_image(cls, boxes_xywh: npt.ArrayLike, width: int, height: int) -> "CountedBoxes":
        """Clip boxes to [0, width - 1] x [0, height - 1] and see which of them count.

        Args:
            boxes_xywh: (N, 4) XYWH, without crowd and ignored boxes.
            width: Width of the image in pixels.
            height: Height of the image in pixels.

        Raises:
            ValueError: The image has no area, or the boxes are not (N, 4).
        """
        if width < 1 or height < 1:
            raise ValueError(f"an image needs at least one pixel, got {width} x {height}")
        corners = xywh_to_xyxy(boxes_xywh)
        corners[:, 2:] -= 1.0
        corners = clip_boxes_xyxy(corners, width - 1.0, height - 1.0)
        spans = corners[:, 2:] - corners[:, :2]
        return cls(np.asarray((spans > 0.0).all(axis=1)), spans, width, height)

    def geometric_mean(self) -> float | None:
        """exp(mean(ln size)) of the boxes that count, in pixels; None where none does."""
        sides = self.spans[self.mask] + 1.0
        if len(sides) == 0:
            return None
        sizes = np.sqrt(sides[:, 0] * sides[:, 1])
        # Relative to the largest, because exp(ln(x)) misses x in the last bits: so the mean of
        # equal sizes is exactly that size, and one on an edge of the source stays on it.
        largest = sizes.max()
        return float(largest * np.exp(np.mean(np.log(sizes / largest))))

    def staying(self, new_size: tuple[int, int]) -> BoolArray:
        """Which boxes count and are large enough in the image scaled to (height, width), (N,)."""
        # The ratios of the rounded size, which the boxes are really scaled by.
        ratios = np.array([new_size[1] / self.width, new_size[0] / self.height])
        large: BoolArray = (self.spans * ratios >= _MIN_SPAN).all(axis=1)
        return self.mask & large


def source_size(boxes_xywh: npt.ArrayLike, width: int, height: int) -> float | None:
    """Geometric mean of the sizes of an image's boxes (README 1.4).

    A box does not count when, cut to the image, it is at most one pixel wide or high; so neither do
    boxes outside of the image or without area. For a box inside the image the size is sqrt(w * h).

    Args:
        boxes_xywh: (N, 4) XYWH, without crowd and ignored boxes.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        The size in pixels; None where no box counts.

    Raises:
        ValueError: The image has no area, or the boxes are not (N, 4).

    >>> source_size([[0, 0, 4, 4], [10, 0, 16, 16]], 100, 100)
    8.0
    """
    return CountedBoxes.of_image(boxes_xywh, width, height).geometric_mean()


def scaled_size(scale: float, width: int, height: int) -> tuple[int, int]:
    """New (height, width) of an image: rounded half to even, at least 1 (README 1.7, quirk 16).

    >>> scaled_size(0.25, 640, 586)  # 146.5 goes to the even number
    (146, 160)
    """
    return max(1, round(scale * height)), max(1, round(scale * width))
