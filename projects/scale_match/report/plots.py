"""Plots from arrays of numbers; matplotlib is imported when one is drawn."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.storage.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_plot_path", "draw_size_histograms", "plot_size_histograms"]

_SUFFIXES = (".png", ".svg", ".pdf")
_BINS_PER_OCTAVE = 4
# Okabe and Ito's palette for all kinds of colour vision.
_SOURCE, _TARGET = "#E69F00", "#0072B2"
_SIZE_LABEL = "object size, square root of the box's area (pixels, log scale)"


def plot_size_histograms(
    source_sizes: FloatArray, scaled_sizes: FloatArray, target_sizes: FloatArray, path: Path
) -> None:
    """Object sizes of the source before and after Scale Match, each beside those of the target.

    Args:
        source_sizes: sqrt(w * h) in pixels of the source's boxes as they are, (N,).
        scaled_sizes: The same in the images as the network gets them, (M,).
        target_sizes: sqrt(w * h) in pixels of the target's boxes, (K,).
        path: ``.png``, ``.svg`` or ``.pdf``; written whole or not at all.

    Raises:
        InputError: No sizes, a size that is not a positive number, another kind of file.
    """
    named = {
        "source_sizes": source_sizes,
        "scaled_sizes": scaled_sizes,
        "target_sizes": target_sizes,
    }
    for name, sizes in named.items():
        _check_sizes(name, sizes)
    check_plot_path(path)

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own, not pyplot's: no window, no state shared with the caller.
    figure = Figure(figsize=(8.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    before, after = figure.subplots(2, 1, sharex=True, sharey=True)
    draw_size_histograms(before, after, source_sizes, scaled_sizes, target_sizes)
    after.set_xlabel(_SIZE_LABEL)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=130)
    write_bytes(path, buffer.getvalue())


def check_plot_path(path: Path) -> None:
    """Refuse, before the work starts, a plot of a kind that cannot be written.

    Raises:
        InputError: The name ends in something else than ``.png``, ``.svg`` or ``.pdf``.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"a plot is written as one of {', '.join(_SUFFIXES)}, but is to go to {path}"
        )


def draw_size_histograms(
    before: "Axes",
    after: "Axes",
    source_sizes: FloatArray,
    scaled_sizes: FloatArray,
    target_sizes: FloatArray,
    *,
    target_label: str | None = None,
) -> None:
    """Draw both histograms of :func:`plot_size_histograms` on axes of a larger figure.

    Args:
        before: Gets the source as it is beside the target.
        after: Gets the source as it is scaled beside the target.
        source_sizes: In pixels, > 0, (N,).
        scaled_sizes: (M,); M may be 0.
        target_sizes: (K,).
        target_label: What the legend calls the target; by default its boxes are counted.
    """
    target_label = target_label or _label("target", target_sizes)
    edges = _edges(np.concatenate([source_sizes, scaled_sizes, target_sizes]))
    _draw_panel(before, edges, source_sizes, target_sizes, target_label)
    before.set_title("Source as it is")
    _draw_panel(after, edges, scaled_sizes, target_sizes, target_label)
    after.set_title("Source as the network gets it")


def _check_sizes(name: str, sizes: FloatArray) -> None:
    if sizes.size == 0:
        raise InputError(f"`{name}` must hold at least one size to be plotted, but is empty")
    wrong = sizes[~(np.isfinite(sizes) & (sizes > 0.0))]
    if wrong.size:
        raise InputError(f"`{name}` must hold positive sizes in pixels, but has {wrong[0]}")


def _edges(sizes: FloatArray) -> FloatArray:
    """Bins of equal width on the log axis that hold all sizes."""
    low, high = np.floor(np.log2(sizes.min())), np.ceil(np.log2(sizes.max()) + 1e-9)
    edges: FloatArray = np.exp2(np.linspace(low, high, int((high - low) * _BINS_PER_OCTAVE) + 1))
    return edges


def _draw_panel(
    axes: "Axes", edges: FloatArray, source: FloatArray, target: FloatArray, target_label: str
) -> None:
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    shares = np.histogram(target, edges)[0] / target.size
    axes.stairs(shares, edges, label=target_label, fill=True, alpha=0.35, color=_TARGET)
    shares = np.histogram(source, edges)[0] / max(source.size, 1)
    axes.stairs(shares, edges, label=_label("source", source), linewidth=2.0, color=_SOURCE)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("share of boxes (%)")
    axes.grid(alpha=0.3)
    axes.legend()


def _label(name: str, sizes: FloatArray) -> str:
    median = f", median {np.median(sizes):.1f} px" if sizes.size else ""
    return f"{name}: {sizes.size} boxes{median}"
