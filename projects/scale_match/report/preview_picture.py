"""The picture of a preview: size histograms before and after, and some images with their boxes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from scale_match.core.boxes import xywh_to_xyxy
from scale_match.core.records import FloatArray
from scale_match.report.pictures import load_photo
from scale_match.report.plots import check_plot_path, draw_size_histograms
from scale_match.scoring.scale_preview import PreviewedImage
from scale_match.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Sample", "draw_preview", "load_samples"]

_NUM_SAMPLES = 6
_SIZE_LABEL = "object size (pixels, log scale)"
# Okabe and Ito's palette for all kinds of colour vision.
_LEFT, _DROPPED = "#F0E442", "#D55E00"


@dataclass(frozen=True, eq=False)
class Sample:
    """An image to be shown before and after.

    Attributes:
        previewed: What was decided on it.
        before: The image as it is, RGB.
        after: The image as the network gets it, RGB.
    """

    previewed: PreviewedImage
    before: Image.Image
    after: Image.Image


def load_samples(
    previewed: Sequence[PreviewedImage], folder: Path
) -> tuple[list[Sample], list[str]]:
    """Read some images with boxes, from those with small objects to those with large ones.

    Args:
        previewed: All images of the preview.
        folder: Where their file names start.

    Returns:
        At most six images, and for each that could not be read a sentence that names it.
    """
    with_boxes = [each for each in previewed if each.decision.source_size is not None]
    with_boxes.sort(key=lambda each: each.decision.source_size or 0.0)
    ranks = np.linspace(0, len(with_boxes) - 1, _NUM_SAMPLES).round().astype(int)
    chosen = [with_boxes[rank] for rank in np.unique(ranks)] if with_boxes else []
    samples, problems = [], []
    for each in chosen:
        photo = load_photo(folder, each.record)
        if isinstance(photo, str):
            name = folder / each.record.file_name
            problems.append(f"image file {name} (image id {each.record.image_id}) {photo}")
            continue
        height, width = each.decision.size
        after = photo.pixels.resize((width, height), Image.Resampling.BILINEAR)
        samples.append(Sample(each, photo.pixels, after))
    return samples, problems


def draw_preview(
    path: Path,
    source_sizes: FloatArray,
    result_sizes: FloatArray,
    target_sizes: FloatArray,
    *,
    target_label: str,
    samples: Sequence[Sample] = (),
) -> None:
    """Draw and write the picture.

    Args:
        path: ``.png``, ``.svg`` or ``.pdf``; written whole or not at all.
        source_sizes: Sizes in pixels of the source's boxes, (N,), N >= 1.
        result_sizes: Those of the boxes that are left, in the scaled images, (M,).
        target_sizes: The target's, or quantiles of it, (K,), K >= 1.
        target_label: What the legend calls the target.
        samples: Images to show below the histograms.

    Raises:
        InputError: Another kind of file, or it cannot be written.
    """
    check_plot_path(path)

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(samples), 1)
    width = max(11.0, 2.6 * columns)
    figure = Figure(figsize=(width, 4.2 + (5.4 if samples else 0.0)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2 if samples else 1, 1, height_ratios=(4.2, 5.4)[: 1 + bool(samples)]
    )
    before, after = figure.add_subfigure(grid[0]).subplots(1, 2, sharex=True, sharey=True)
    draw_size_histograms(
        before, after, source_sizes, result_sizes, target_sizes, target_label=target_label
    )
    for axes in (before, after):
        axes.set_xlabel(_SIZE_LABEL)
    after.set_ylabel("")
    if samples:
        pairs = figure.add_subfigure(grid[1]).subplots(2, columns, squeeze=False)
        for sample, (above, below) in zip(samples, pairs.T, strict=True):
            _draw_before(above, sample)
            _draw_after(below, sample)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=110)
    write_bytes(path, buffer.getvalue())


def _draw_before(axes: "Axes", sample: Sample) -> None:
    each = sample.previewed
    axes.imshow(np.asarray(sample.before))
    boxes = xywh_to_xyxy(each.boxes)
    _frame(axes, boxes[each.decision.keep], _LEFT)
    _frame(axes, boxes[~each.decision.keep], _DROPPED)
    size = f"{each.record.width} x {each.record.height}"
    axes.set_title(f"{size}\nobjects {each.decision.source_size:.0f} px", fontsize=9)


def _draw_after(axes: "Axes", sample: Sample) -> None:
    each, decision = sample.previewed, sample.previewed.decision
    # Enlarged to the size of the image above, pixel by pixel, so that the loss is seen.
    axes.imshow(np.asarray(sample.after), interpolation="nearest")
    _frame(axes, each.scaled_boxes, _LEFT)
    height, width = decision.size
    sizes = each.scaled_sizes
    mean = f"objects {np.exp(np.log(sizes).mean()):.1f} px, " if len(sizes) else ""
    axes.set_title(
        f"x {decision.scale:.3f}: {width} x {height}\n{mean}{len(sizes)} of {each.num_boxes} left",
        fontsize=9,
    )


def _frame(axes: "Axes", boxes_xyxy: FloatArray, colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    for x1, y1, x2, y2 in boxes_xyxy.tolist():
        # Pixel (0, 0) is drawn around (0, 0), but covers [0, 1] x [0, 1] in our coordinates.
        corner = x1 - 0.5, y1 - 0.5
        axes.add_patch(Rectangle(corner, x2 - x1, y2 - y1, fill=False, color=colour, linewidth=1))
