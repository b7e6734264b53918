"""A sheet of training samples with their boxes, to see with one look what a model is trained on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.storage.files import write_bytes

__all__ = ["SampleView", "draw_sample_sheet"]

_Colour = tuple[int, int, int]

# Okabe and Ito's palette for all kinds of colour vision.
_OBJECT: _Colour = (240, 228, 66)
_REGION: _Colour = (204, 121, 167)
_DARK: _Colour = (0, 0, 0)
_PAPER: _Colour = (32, 32, 32)
_TEXT: _Colour = (255, 255, 255)
_GAP = 8
_TITLE_HEIGHT = 38
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


@dataclass(frozen=True, eq=False)
class SampleView:
    """A sample as the model gets it.

    Attributes:
        pixels: RGB, (H, W, 3) uint8.
        boxes: To train on, XYXY_ABS pixels, (N, 4).
        regions: Without loss of background, XYXY_ABS pixels, (M, 4).
        title: Two short lines.
    """

    pixels: npt.NDArray[np.uint8]
    boxes: FloatArray
    regions: FloatArray
    title: str


def draw_sample_sheet(
    samples: Sequence[SampleView], path: Path, *, columns: int = 2, cell: int = 640
) -> None:
    """Draw samples side by side, with a legend below.

    Args:
        samples: In the order of the sheet, row by row; at least one.
        path: ``.png`` or ``.jpg``; written whole or not at all.
        columns: Samples in a row.
        cell: Width in pixels that each gets: a narrower one is enlarged by a whole factor, pixel by
            pixel, a wider one reduced.

    Raises:
        InputError: Another kind of file, a number below 1, or the file cannot be written.
    """
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"a sheet is written as one of {', '.join(_SUFFIXES)}, not as {path}")
    for name, value in (("columns", columns), ("the width of a sample", cell)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    pictures = [_picture(sample, cell) for sample in samples]
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    widths = [max(row[k].width for row in rows if k < len(row)) for k in range(len(rows[0]))]
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new(
        "RGB",
        (sum(widths) + _GAP * (len(widths) + 1), sum(heights) + _GAP * len(rows) + 28),
        _PAPER,
    )
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        left = _GAP
        for picture, width in zip(row, widths, strict=False):
            sheet.paste(picture, (left, top))
            left += width + _GAP
        top += height + _GAP
    _legend(ImageDraw.Draw(sheet), top)
    buffer = io.BytesIO()
    sheet.save(buffer, format=kind, **({"quality": 92} if kind == "JPEG" else {}))
    write_bytes(path, buffer.getvalue())


def _picture(sample: SampleView, cell: int) -> Image.Image:
    """A sample in the width of a cell, with its boxes and below its title."""
    height, width = sample.pixels.shape[:2]
    factor = float(max(cell // width, 1)) if width <= cell else cell / width
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    picture = Image.new("RGB", (max(size[0], 200), size[1] + _TITLE_HEIGHT), _PAPER)
    picture.paste(Image.fromarray(sample.pixels).resize(size, how))
    pen = ImageDraw.Draw(picture)
    thick = 2 if factor > 1 else 1
    for x1, y1, x2, y2 in (sample.regions * factor).tolist():
        _frame(pen, (x1, y1, x2, y2), _REGION, thick)
        pen.line((x1, y1, x2, y2), fill=_REGION)
        pen.line((x1, y2, x2, y1), fill=_REGION)
    for x1, y1, x2, y2 in (sample.boxes * factor).tolist():
        _frame(pen, (x1, y1, x2, y2), _OBJECT, thick)
    pen.rectangle((0, size[1], picture.width, picture.height), fill=_PAPER)
    pen.text((2, size[1] + 2), sample.title, fill=_TEXT, font=ImageFont.load_default(size=13))
    return picture


def _frame(
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    colour: _Colour,
    thick: int,
) -> None:
    """A line just outside of a box, with a dark one around it."""
    x1, y1, x2, y2 = box
    for gap, line, width in ((thick + 1, _DARK, 1), (thick, colour, thick)):
        outline = (x1 - gap, y1 - gap, x2 + gap - 1, y2 + gap - 1)
        pen.rectangle(outline, outline=line, width=width)


def _legend(pen: ImageDraw.ImageDraw, top: int) -> None:
    font, left = ImageFont.load_default(size=14), float(_GAP)
    for text, colour in (("trained on", _OBJECT), ("ignored: no background loss", _REGION)):
        pen.rectangle((left, top + 4, left + 12, top + 16), outline=colour, width=2)
        pen.text((left + 18, top), text, fill=_TEXT, font=font)
        left += 42 + pen.textlength(text, font=font)
