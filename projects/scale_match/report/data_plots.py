"""One picture of a data set: sizes, shapes, places and crowding, and what anchors reach."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scale_match.core.anchor_recall import POSITIVE_IOU, Pyramid, best_anchor_ious, spread_sample
from scale_match.core.data_diagnosis import Advice
from scale_match.core.data_summary import POSITION_CELLS, DataSummary, Objects, disjoint_size_ranges
from scale_match.core.records import FloatArray, IntArray
from scale_match.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_data_set"]

_BINS = 48
_MOST_BOXES = 50_000
# Okabe and Ito's palette for all kinds of colour vision.
_DATA, _ADVISED, _DEFAULT = "#0072B2", "#D55E00", "#999999"


def plot_data_set(
    objects: Objects, summary: DataSummary, advice: Advice, title: str, path: Path
) -> None:
    """Draw six panels into one picture.

    Args:
        objects: N >= 1.
        summary: Of the same objects.
        advice: For the same objects.
        title: Name of the data set.
        path: ``.png``; written whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: no window, no state shared with the caller.
    figure = Figure(figsize=(15.0, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    _draw_sizes(axes[0, 0], objects.sizes, advice)
    _draw_relative_sizes(axes[0, 1], objects.relative_sizes)
    _draw_ratios(axes[0, 2], objects.aspect_ratios, advice)
    _draw_per_image(axes[1, 0], objects)
    _draw_positions(axes[1, 1], figure, summary)
    _draw_recall(axes[1, 2], objects, advice)
    figure.suptitle(f"{title}: {len(objects)} objects in {summary.num_images} images")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())


def _draw_sizes(axes: "Axes", sizes: FloatArray, advice: Advice) -> None:
    _log_histogram(axes, sizes)
    limits = [low for low, _ in disjoint_size_ranges().values()]
    for low in limits:
        if sizes.min() < low < sizes.max():
            axes.axvline(low, color=_DEFAULT, linewidth=0.8, linestyle=":")
    axes.axvline(
        advice.limit.limit,
        color=_ADVISED,
        linestyle="--",
        label=f"limit {advice.limit.limit:.1f} px",
    )
    axes.set_title("Sizes; dotted: ranges of the evaluation")
    axes.set_xlabel("sqrt(width x height), px")
    axes.legend()


def _draw_relative_sizes(axes: "Axes", relative: FloatArray) -> None:
    _log_histogram(axes, 100.0 * relative)
    axes.set_title("Sizes relative to the image")
    axes.set_xlabel("sqrt(box area / image area), %")


def _draw_ratios(axes: "Axes", ratios: FloatArray, advice: Advice) -> None:
    _log_histogram(axes, ratios)
    for k, ratio in enumerate(advice.anchors.aspect_ratios):
        axes.axvline(ratio, color=_ADVISED, linestyle="--", label=None if k else "advised anchors")
    axes.set_title("Shapes")
    axes.set_xlabel("height / width")
    axes.legend()


def _draw_per_image(axes: "Axes", objects: Objects) -> None:
    per_image = objects.per_image
    axes.hist(per_image, bins=min(40, int(per_image.max()) + 1), color=_DATA, alpha=0.8)
    axes.set_title("Objects per image")
    axes.set_xlabel("objects")
    axes.set_ylabel("images")


def _draw_positions(axes: "Axes", figure: "Figure", summary: DataSummary) -> None:
    shares = 100.0 * np.array(summary.positions)
    image = axes.imshow(shares, cmap="cividis", vmin=0.0, extent=(0.0, 1.0, 1.0, 0.0))
    axes.set_title(f"Where the centres lie ({POSITION_CELLS}x{POSITION_CELLS} cells)")
    axes.set_xlabel("x / width")
    axes.set_ylabel("y / height")
    figure.colorbar(image, ax=axes, label="objects, %")


def _draw_recall(axes: "Axes", objects: Objects, advice: Advice) -> None:
    rows = spread_sample(objects, _MOST_BOXES)
    edges = _log_edges(objects.sizes, 14)
    for pyramid, zoom, colour, name in (
        (advice.default_anchors, 1.0, _DEFAULT, "default"),
        (advice.anchors, 1.0, _ADVISED, "advised"),
        (advice.anchors, 2.0, _DATA, "advised, images x2"),
    ):
        shares = _recall_in_bins(pyramid, objects, rows, edges, zoom)
        width = 5.0 if name == "default" else 1.5  # where both are equal, both are seen
        middles = np.sqrt(edges[1:] * edges[:-1])
        axes.plot(middles, shares, "o-", color=colour, label=name, linewidth=width)
    axes.set_xscale("log", base=2)
    _plain_numbers(axes)
    axes.set_ylim(0.0, 103.0)
    axes.set_title(f"Objects with an anchor of IoU >= {POSITIVE_IOU:g}")
    axes.set_xlabel("sqrt(width x height), px")
    axes.set_ylabel("objects, %")
    axes.grid(alpha=0.3)
    axes.legend()


def _recall_in_bins(
    pyramid: Pyramid, objects: Objects, rows: IntArray, edges: FloatArray, zoom: float
) -> FloatArray:
    """Recall in each bin of sizes in percent on enlarged images, NaN where a bin is empty."""
    sides = objects.image_sides[objects.rows[rows]]
    met = best_anchor_ious(pyramid, zoom * objects.boxes[rows], zoom * sides) >= POSITIVE_IOU
    sizes = objects.sizes[rows]
    found, total = np.histogram(sizes[met], edges)[0], np.histogram(sizes, edges)[0]
    return np.where(total > 0, 100.0 * found / np.maximum(total, 1), np.nan)


def _log_histogram(axes: "Axes", values: FloatArray) -> None:
    axes.hist(values, bins=_log_edges(values, _BINS).tolist(), color=_DATA, alpha=0.8)
    axes.set_xscale("log", base=2)
    _plain_numbers(axes)
    axes.set_ylabel("objects")


def _plain_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _log_edges(values: FloatArray, bins: int) -> FloatArray:
    """Edges of equal width on a log axis that hold all values; a little wider than them."""
    edges: FloatArray = np.geomspace(values.min() / 1.05, values.max() * 1.05, bins + 1)
    return edges
