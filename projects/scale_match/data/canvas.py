"""The picture and the boxes of a mosaic: parts of several images on one canvas.

``core.mosaic`` decides which parts and where; :mod:`scale_match.data.mosaics` plans. What is made
here looks to the mapper like any image with its annotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.structures import BoxMode

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy
from scale_match.core.records import FloatArray
from scale_match.core.windows import Window
from scale_match.data.datasets import is_left_out, sizes_of_image, xywh_boxes
from scale_match.data.image_reading import EncodedImage

__all__ = ["Canvas", "CanvasPart"]

_Entry = dict[str, Any]
_GREY = 128  # a canvas without any part


@dataclass(frozen=True, eq=False)
class CanvasPart:
    """A part of an image, scaled, and its place.

    Attributes:
        entry: The image's dictionary, of a whole image.
        window: What is cut out of it, and its scaled size.
        place: x and y of its top left corner on the canvas.
    """

    entry: _Entry
    window: Window
    place: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Canvas:
    """Parts of images side by side; those of one image in a row.

    Attributes:
        size: Height and width in pixels.
        parts: They do not overlap.
    """

    size: tuple[int, int]
    parts: Sequence[CanvasPart]

    def pixels(self, image_format: str, *, erase: bool) -> npt.NDArray[Any]:
        """The picture, (H, W, C); what no part covers has the mean colour of all parts.

        Each image is decoded once, and no further than its least reduced part needs.

        Args:
            image_format: "RGB", "BGR" or another that detectron2 reads.
            erase: Fill regions to ignore with their mean colours.

        Raises:
            InputError: An image is missing, cannot be decoded, or has another size than the
                annotations say.
        """
        shown: list[tuple[tuple[int, int], npt.NDArray[Any]]] = []
        for _, group in groupby(self.parts, key=lambda part: id(part.entry)):
            own = list(group)
            image = _opened(own[0].entry, image_format, erase=erase)
            pixels = image.parts(
                [part.window.corner for part in own], [part.window.size for part in own]
            )
            shown += zip([part.place for part in own], pixels, strict=True)
        if not shown:
            return np.full((*self.size, 1 if image_format == "L" else 3), _GREY, np.uint8)
        first = shown[0][1]
        covered = sum(part[..., 0].size for _, part in shown)
        colour = sum(part.sum(axis=(0, 1), dtype=np.float64) for _, part in shown) / covered
        if np.issubdtype(first.dtype, np.integer):
            colour = np.rint(colour)
        picture = np.empty((*self.size, first.shape[2]), first.dtype)
        picture[:] = colour
        for (x, y), part in shown:
            picture[y : y + part.shape[0], x : x + part.shape[1]] = part
        return picture

    def annotations(self) -> list[_Entry]:
        """The boxes in the picture, in the form of a data set dictionary's.

        Boxes to train on are those that the windows keep; others that are seen in part have ``cut``
        (see :func:`scale_match.data.datasets.is_left_out`), and flagged ones are cut to the window.
        """
        return [box for part in self.parts for box in _boxes_of(part)]


def _opened(entry: _Entry, image_format: str, *, erase: bool) -> EncodedImage:
    image = EncodedImage(entry["file_name"], image_format, entry.get("image_id"))
    image.check_size(entry["width"], entry["height"])
    boxes = entry.get("annotations", [])
    regions = xywh_boxes([box for box in boxes if is_left_out(box)])
    if erase and len(regions):
        image.erase(regions, xywh_boxes([box for box in boxes if not is_left_out(box)]))
    return image


def _boxes_of(part: CanvasPart) -> list[_Entry]:
    boxes, window = part.entry.get("annotations", []), part.window
    counted = [box for box in boxes if sizes_of_image(box)]
    moved = window.boxes + np.tile(np.array(part.place, np.float64), 2)
    placed = [
        _placed(box, moved[i], cut=not window.keep[i])
        for i, box in enumerate(counted)
        if window.keep[i] or window.ignored[i]
    ]
    flagged = [box for box in boxes if not sizes_of_image(box)]
    pieces = _cut(xywh_boxes(flagged), part)
    seen = (pieces[:, 2:] > pieces[:, :2]).all(axis=1)
    return placed + [_placed(flagged[i], pieces[i]) for i in np.flatnonzero(seen).tolist()]


def _cut(boxes_xywh: FloatArray, part: CanvasPart) -> FloatArray:
    """Boxes of the image, (N, 4) XYWH, as far as the part shows them: (N, 4) XYXY on the canvas."""
    x1, y1, x2, y2 = part.window.corner
    height, width = part.window.size
    inside = clip_boxes_xyxy(xywh_to_xyxy(boxes_xywh) - (x1, y1, x1, y1), x2 - x1, y2 - y1)
    ratios = width / (x2 - x1), height / (y2 - y1)
    return inside * (*ratios, *ratios) + (*part.place, *part.place)


def _placed(box: _Entry, corners: FloatArray, *, cut: bool = False) -> _Entry:
    flags = {"cut": True} if cut else {}
    bbox = corners.tolist()
    return {**box, "bbox": bbox, "bbox_mode": BoxMode.XYXY_ABS, **flags}
