"""Images with the outcome of every box, as SVG over a JPEG that is part of the page.

The four outcomes differ in shape as well as in colour: found boxes are plain frames, missed ones
four corners, false ones frames with a cross, ignored ones dotted frames. The lines are vectors, so
that they stay sharp when the reader enlarges the page.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scale_match.core.records import FloatArray, ImageRecord
from scale_match.report.markup import Markup, element, number
from scale_match.scoring.image_outcomes import BoxesByOutcome

__all__ = ["OUTCOMES", "Photo", "Window", "box_legend", "draw_boxes", "load_photo", "worst_window"]

OUTCOMES = ("found", "missed", "false", "ignored")
"""Classes of the style sheet, in the order in which legends name them."""

_LONGEST_SIDE = 1280  # pixels of a whole picture
_QUALITY = 80
# A close-up is as wide as this many objects of the image's typical size, within bounds.
_OBJECTS_ACROSS = 15
_NARROWEST, _WIDEST = 96, 640


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image, in whole pixels: [x, x + width] x [y, y + height]."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Photo:
    """An image that could be read.

    Attributes:
        pixels: RGB, as large as the annotations say.
    """

    pixels: Image.Image

    def data_uri(self, window: Window | None = None) -> str:
        """The image, or a part of it, as a JPEG in the form of an address.

        Args:
            window: The part, at full resolution; None for the whole, made smaller if it is large.
        """
        if window is None:
            part = self.pixels.copy()
            part.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
        else:
            corners = (window.x, window.y, window.x + window.width, window.y + window.height)
            part = self.pixels.crop(corners)
        buffer = io.BytesIO()
        part.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def load_photo(folder: Path, record: ImageRecord) -> Photo | str:
    """Read the image of a record.

    Args:
        folder: Where the file names start.
        record: An image, or a tile of an image.

    Returns:
        The image; or why there is none, as the end of a sentence that starts with its file name.
    """
    path = folder / record.file_name
    try:
        with Image.open(path) as file:
            pixels = ImageOps.exif_transpose(file).convert("RGB")
    except FileNotFoundError:
        return "is not in the folder"
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        return f"cannot be read ({error})"
    if record.corner is not None:
        pixels = pixels.crop(record.corner)
    if pixels.size != (record.width, record.height):
        return (
            f"has {pixels.width} x {pixels.height} pixels, but the ground truth says "
            f"{record.width} x {record.height}"
        )
    return Photo(pixels)


def worst_window(record: ImageRecord, boxes: BoxesByOutcome) -> Window:
    """The part of an image with most missed and false boxes.

    Args:
        record: The image.
        boxes: Its boxes.

    Returns:
        A window of 4:3 within the image, a few objects wide, with these boxes in its middle.
    """
    errors = np.concatenate([boxes.missed, boxes.false])
    every = np.concatenate([boxes.found, errors])
    typical = float(np.median(np.sqrt(every[:, 2] * every[:, 3]))) if len(every) else 0.0
    width = int(min(np.clip(_OBJECTS_ACROSS * typical, _NARROWEST, _WIDEST), record.width))
    height = min(round(width * 3 / 4), record.height)
    if not len(errors):
        return _around(record.width / 2, record.height / 2, width, height, record)
    # A box may reach out of its image, even with its centre.
    centres = np.clip(errors[:, :2] + errors[:, 2:] / 2, 0, (record.width, record.height))
    windows = [_around(x, y, width, height, record) for x, y in centres.tolist()]
    starts = np.array([(window.x, window.y) for window in windows])
    stops = starts + np.array([width, height])
    inside = [
        ((centres >= start) & (centres <= stop)).all(axis=1)
        for start, stop in zip(starts, stops, strict=True)
    ]
    most = centres[max(inside, key=np.count_nonzero)]
    x, y = ((most.min(axis=0) + most.max(axis=0)) / 2).tolist()
    return _around(x, y, width, height, record)


def draw_boxes(
    boxes: BoxesByOutcome,
    *,
    window: Window,
    background: Markup,
    title: str,
    identity: str,
) -> Markup:
    """A picture: a background and the boxes on it.

    Args:
        boxes: In pixels of the image.
        window: The part of the image that is shown; boxes that lie outside are left out.
        background: ``image`` or ``use`` element that fills the window.
        title: What it shows, for readers who do not see it.
        identity: Unique on the page.

    Returns:
        An ``svg`` element in pixels of the image.
    """
    layers: list[Markup] = []
    by_outcome = zip(OUTCOMES, _in_drawing_order(boxes), strict=True)
    for outcome, chosen in reversed(list(by_outcome)):
        path = _paths(_inside(chosen, window), outcome)
        if path:
            layers += (
                element("path", d=path, class_=f"halo {outcome}"),
                element("path", d=path, class_=f"box {outcome}"),
            )
    return element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        background,
        *layers,
        viewBox=f"{window.x} {window.y} {window.width} {window.height}",
        role="img",
        aria_labelledby=f"{identity}-title",
        class_="picture",
    )


def box_legend(labels: Iterable[str]) -> Markup:
    """What the four kinds of boxes look like.

    Args:
        labels: What each of OUTCOMES means.

    Returns:
        A list.
    """
    items = []
    box = np.array([[3.0, 3.0, 18.0, 14.0]])
    for outcome, label in zip(OUTCOMES, labels, strict=True):
        path = _paths(box, outcome)
        sample = element(
            "svg",
            element("path", d=path, class_=f"halo {outcome}"),
            element("path", d=path, class_=f"box {outcome}"),
            viewBox="0 0 24 20",
            aria_hidden="true",
            class_="sample",
        )
        items.append(element("li", sample, element("span", label)))
    return element("ul", *items, class_="legend")


def _in_drawing_order(boxes: BoxesByOutcome) -> tuple[FloatArray, ...]:
    return (boxes.found, boxes.missed, boxes.false, boxes.ignored)


def _around(x: float, y: float, width: int, height: int, record: ImageRecord) -> Window:
    left = round(min(max(x - width / 2, 0), record.width - width))
    top = round(min(max(y - height / 2, 0), record.height - height))
    return Window(left, top, width, height)


def _inside(boxes: FloatArray, window: Window) -> FloatArray:
    """Boxes that reach into the window."""
    x, y, w, h = boxes.T
    keep = (x < window.x + window.width) & (x + w > window.x)
    keep &= (y < window.y + window.height) & (y + h > window.y)
    inside: FloatArray = boxes[keep]
    return inside


def _paths(boxes: FloatArray, outcome: str) -> str:
    draw = {"missed": _corners, "false": _crossed}.get(outcome, _frame)
    return "".join(draw(*box) for box in boxes.tolist())


def _frame(x: float, y: float, w: float, h: float) -> str:
    return f"M{number(x)} {number(y)}h{number(w)}v{number(h)}h{number(-w)}z"


def _crossed(x: float, y: float, w: float, h: float) -> str:
    wide, high, back = number(w), number(h), number(-w)
    return f"{_frame(x, y, w, h)}l{wide} {high}M{number(x + w)} {number(y)}l{back} {high}"


def _corners(x: float, y: float, w: float, h: float) -> str:
    across, down = 0.3 * w, 0.3 * h
    return "".join(
        f"M{number(x + right * w)} {number(y + low * h + (down if not low else -down))}"
        f"V{number(y + low * h)}H{number(x + right * w + (across if not right else -across))}"
        for right in (0, 1)
        for low in (0, 1)
    )
