"""Detections and ground truth drawn on an image, so that boxes of a few pixels can be seen.

The image is enlarged, the lines stand outside of the boxes with a dark border, and the two kinds
differ in shape as well as in colour (a palette that colour-blind readers can tell apart):
detections are closed frames, ground truth the four corners of a wider frame.
"""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.storage.files import write_bytes

__all__ = ["draw_detections"]

_Box = tuple[float, float, float, float]
_Colour = tuple[int, int, int]

# Okabe and Ito's palette for all kinds of colour vision.
_DETECTION: _Colour = (240, 228, 66)
_TRUTH: _Colour = (86, 180, 233)
_IGNORED: _Colour = (204, 121, 167)
_BORDER: _Colour = (0, 0, 0)

_DETECTION_GAP = 3
_TRUTH_GAP = 7
"""Distance from a box to its lines, in pixels of the enlarged image."""
_LEGEND_HEIGHT = 24
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def draw_detections(
    image_rgb: npt.NDArray[np.uint8],
    boxes_xyxy: FloatArray,
    scores: FloatArray,
    *,
    ground_truth: FloatArray | None = None,
    ignored: FloatArray | None = None,
    path: Path | None = None,
    min_score: float = 0.3,
    enlarge: int = 2,
) -> npt.NDArray[np.uint8]:
    """Draw boxes and a legend on an enlarged copy of an image.

    Args:
        image_rgb: (H, W, 3) uint8.
        boxes_xyxy: Detections, XYXY_ABS pixels of the image, (M, 4).
        scores: (M,).
        ground_truth: Boxes to be found, XYXY_ABS, (N, 4); not drawn if None.
        ignored: Boxes that are not judged, XYXY_ABS, (K, 4); not drawn if None.
        path: Where to write the picture, ``.png`` or ``.jpg``; nothing is written if None.
        min_score: Detections below it are not drawn.
        enlarge: Whole factor by which the picture is larger than the image.

    Returns:
        The picture, (H * enlarge + height of the legend, W * enlarge, 3) uint8 RGB.

    Raises:
        InputError: An array of another shape, a factor below 1, another kind of file.
    """
    _check(image_rgb, boxes_xyxy, scores, enlarge)
    kind = None if path is None else _file_kind(path)
    height, width = image_rgb.shape[:2]
    shown = boxes_xyxy[scores >= min_score]
    picture = Image.new("RGB", (width * enlarge, height * enlarge + _LEGEND_HEIGHT))
    large = (width * enlarge, height * enlarge)
    picture.paste(Image.fromarray(image_rgb).resize(large, Image.Resampling.NEAREST))
    pen = ImageDraw.Draw(picture)
    for box in _enlarged(ignored, enlarge):
        _frame(pen, _grown(box, _TRUTH_GAP), _IGNORED)
    for box in _enlarged(ground_truth, enlarge):
        _corners(pen, _grown(box, _TRUTH_GAP), _TRUTH)
    for box in _enlarged(shown, enlarge):
        _frame(pen, _grown(box, _DETECTION_GAP), _DETECTION)
    entries = [(f"detections, score at least {min_score:g}: {len(shown)}", _DETECTION)]
    if ground_truth is not None:
        entries.append((f"ground truth: {len(ground_truth)}", _TRUTH))
    if ignored is not None:
        entries.append((f"not judged: {len(ignored)}", _IGNORED))
    _legend(pen, entries, top=height * enlarge)
    if path is not None and kind is not None:
        buffer = io.BytesIO()
        picture.save(buffer, format=kind, **({"quality": 92} if kind == "JPEG" else {}))
        write_bytes(path, buffer.getvalue())
    return np.asarray(picture)


def _check(
    image_rgb: npt.NDArray[np.uint8], boxes_xyxy: FloatArray, scores: FloatArray, enlarge: int
) -> None:
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        raise InputError(
            "`image_rgb` must be an (H, W, 3) array of uint8, but is "
            f"{image_rgb.shape} of {image_rgb.dtype}"
        )
    if boxes_xyxy.shape != (len(scores), 4):
        raise InputError(
            f"`boxes_xyxy` must have one row of 4 for each of the {len(scores)} scores, but has "
            f"the shape {boxes_xyxy.shape}"
        )
    if enlarge < 1:
        raise InputError(f"`enlarge` must be at least 1, but is {enlarge}")


def _file_kind(path: Path) -> str:
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"a picture is written as one of {', '.join(_SUFFIXES)}, but is to go to {path}"
        )
    return kind


def _enlarged(boxes: FloatArray | None, factor: int) -> list[_Box]:
    if boxes is None:
        return []
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in (boxes * factor).tolist()]


def _grown(box: _Box, gap: int) -> _Box:
    return (box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap)


def _frame(pen: ImageDraw.ImageDraw, box: _Box, colour: _Colour) -> None:
    x1, y1, x2, y2 = box
    outline = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    pen.line(outline, fill=_BORDER, width=4)
    pen.line(outline, fill=colour, width=2)


def _corners(pen: ImageDraw.ImageDraw, box: _Box, colour: _Colour) -> None:
    x1, y1, x2, y2 = box
    arm = max(min(x2 - x1, y2 - y1) / 3, 3.0)
    for line, width in ((_BORDER, 5), (colour, 3)):
        for x, inward in ((x1, arm), (x2, -arm)):
            for y, down in ((y1, arm), (y2, -arm)):
                pen.line([(x + inward, y), (x, y), (x, y + down)], fill=line, width=width)


def _legend(pen: ImageDraw.ImageDraw, entries: list[tuple[str, _Colour]], *, top: int) -> None:
    font = ImageFont.load_default(size=14)
    x = 10.0
    for text, colour in entries:
        pen.rectangle((x, top + 7, x + 10, top + 17), fill=colour)
        pen.text((x + 16, top + 3), text, fill=(255, 255, 255), font=font)
        x += 40 + pen.textlength(text, font=font)
