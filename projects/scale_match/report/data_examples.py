"""Windows of some images with their boxes, to see with one look whether boxes and images agree."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scale_match.core.data_summary import Objects
from scale_match.core.records import FloatArray, ImageRecord
from scale_match.storage.files import write_bytes
from scale_match.storage.image_files import (
    UnreadableImageError,
    decode,
    image_size,
    read_image_bytes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["example_rows", "plot_examples"]

_COLUMNS, _ROWS = 3, 2
# Side of a window in sizes of the data's median object, and the least in pixels.
_WINDOW, _LEAST = 24.0, 96.0
_COLOUR = "#D55E00"


def example_rows(objects: Objects, most: int = _COLUMNS * _ROWS) -> list[int]:
    """Places of images to show: from the fullest to the emptiest with an object, evenly.

    Args:
        objects: N >= 1.
        most: So many at most.
    """
    counts = objects.per_image
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    picked = np.linspace(0, len(order) - 1, min(most, len(order))).astype(int)
    return [int(row) for row in order[picked]]


def plot_examples(
    objects: Objects, images: Sequence[ImageRecord], folder: Path, path: Path
) -> None:
    """Draw the windows into one picture; an image that cannot be read is named in its place.

    Args:
        objects: N >= 1.
        images: Those of the annotation file, M.
        folder: What their file names are relative to.
        path: ``.png``; written whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: no window, no state shared with the caller.
    figure = Figure(figsize=(15.0, 10.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(_ROWS, _COLUMNS).reshape(-1)
    side = max(_LEAST, _WINDOW * float(np.median(objects.sizes)))
    for panel in axes:
        panel.set_axis_off()
    for panel, row in zip(axes, example_rows(objects), strict=False):
        _draw_window(panel, images[row], objects.boxes[objects.rows == row], folder, side)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())


def _draw_window(
    axes: "Axes", image: ImageRecord, boxes: FloatArray, folder: Path, side: float
) -> None:
    """The surroundings of the object in the middle of the image's objects."""
    from matplotlib.patches import Rectangle

    axes.set_title(f"{image.file_name} (id {image.image_id}): {len(boxes)} objects", fontsize=9)
    path = Path(folder, image.file_name)
    try:
        pixels = decode(read_image_bytes(path), path, image_size(path)).pixels
    except UnreadableImageError as error:
        axes.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True, fontsize=8)
        return
    if image.corner is not None:
        x1, y1, x2, y2 = image.corner
        pixels = pixels[y1:y2, x1:x2]
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    middle = centres[np.abs(centres - np.median(centres, axis=0)).sum(axis=1).argmin()]
    height, width = pixels.shape[:2]
    left, top = (
        float(np.clip(at - side / 2, 0, max(limit - side, 0)))
        for at, limit in zip(middle, (width, height), strict=True)
    )
    axes.imshow(pixels, cmap="gray", extent=(0, width, height, 0))
    for x, y, w, h in boxes.tolist():
        axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=_COLOUR, linewidth=1.2))
    axes.set_xlim(left, min(left + side, width))
    axes.set_ylim(min(top + side, height), top)
