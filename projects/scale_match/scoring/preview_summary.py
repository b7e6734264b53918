"""The distributions of source, target and result of a preview, and their distances."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scale_match.core.counted_sizes import standardised_sizes
from scale_match.core.gaussian_target import GaussianTarget
from scale_match.core.histogram_settings import HistogramSettings
from scale_match.core.records import FloatArray
from scale_match.core.size_summary import (
    PERCENTS,
    empirical_cdf,
    ks_distance,
    summarise_sizes,
)
from scale_match.storage.histograms import (
    read_counted_sizes,
    read_target_histogram,
    saved_settings,
)
from scale_match.storage.locations import resolve_data_path

__all__ = ["Distribution", "gaussian_distribution", "named_target", "summary_lines", "summary_of"]

# A distribution without sizes of its own is shown by so many, evenly spread over it.
_NUM_QUANTILES = 20_000
_BINS_PER_OCTAVE = 4


@dataclass(frozen=True, eq=False)
class Distribution:
    """Sizes in pixels, in whatever form they are known.

    Attributes:
        sizes: The sizes themselves, or evenly spread quantiles, (N,).
        num_boxes: Of how many boxes; None for a distribution that is not of boxes.
        cdf: Share of the sizes up to x.
    """

    sizes: FloatArray
    num_boxes: int | None
    cdf: Callable[[FloatArray], FloatArray]

    @classmethod
    def of_sizes(cls, sizes: FloatArray) -> "Distribution":
        """The distribution of (N,) sizes, N >= 1."""
        return cls(sizes, len(sizes), empirical_cdf(sizes))

    @property
    def label(self) -> str:
        """What a legend calls it."""
        boxes = "normal in ln(size)" if self.num_boxes is None else f"{self.num_boxes} boxes"
        return f"target: {boxes}, median {np.median(self.sizes):.1f} px"


def named_target(path: str, settings: HistogramSettings) -> Distribution:
    """The sizes of a target file: of its boxes, or of the saved histogram that it is.

    Args:
        path: Annotation file or saved histogram.
        settings: Those of its histogram; sizes are moved to ``mu_sigma``.

    Raises:
        InputError: The file breaks a rule, or was saved with other settings.
    """
    found = resolve_data_path(path)
    if saved_settings(found) is None:
        sizes = read_counted_sizes(found)
        if settings.mu_sigma is not None:
            sizes = standardised_sizes(sizes, settings.mu_sigma)
        return Distribution.of_sizes(sizes)
    histogram = read_target_histogram(
        found,
        bins=settings.bins,
        log=settings.log,
        except_rate=settings.except_rate,
        mu_sigma=settings.mu_sigma,
    )
    return Distribution(histogram.quantile(_middles()), histogram.num_boxes, histogram.cdf)


def gaussian_distribution(target: GaussianTarget) -> Distribution:
    """What gsm aims at."""
    knots = np.concatenate([[0.0], target.running_sum])
    sizes = np.exp(np.interp(_middles() * knots[-1], knots, np.log(target.edges)))
    return Distribution(sizes, None, target.cdf)


def summary_of(
    source: FloatArray, result: FloatArray, targets: Mapping[str, Distribution]
) -> dict[str, Any]:
    """Distributions and distances as they stand in the summary file.

    Args:
        source: Sizes of the source's boxes that count, (N,).
        result: Sizes of the boxes that are left, in the scaled images, (M,); M may be 0.
        targets: "target", and for gsm with a target "gaussian", what it aims at.

    Returns:
        "ks": "source_target", "result_target", ... -> Kolmogorov-Smirnov distance, None without
        boxes; "edges": borders of size bins in pixels; and for "source", each target, and
        "result" an object with number of boxes, moments, percentiles, and shares in the bins.
    """
    sizes = {"source": source, **{name: each.sizes for name, each in targets.items()}}
    sizes["result"] = result
    numbers = {name: each.num_boxes for name, each in targets.items()}
    numbers |= {"source": len(source), "result": len(result)}
    edges = _edges(np.concatenate(list(sizes.values())))
    return {
        "ks": {
            f"{side}_{name}": ks_distance(sizes[side], each.cdf) if len(sizes[side]) else None
            for name, each in targets.items()
            for side in ("source", "result")
        },
        "edges": edges.tolist(),
        **{name: _described(values, numbers[name], edges) for name, values in sizes.items()},
    }


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary file as text for the terminal."""
    head = ["sizes in pixels", "boxes", "mean", "sd", *(f"{percent} %" for percent in PERCENTS)]
    rows = [head]
    for name in ("source", "target", "gaussian", "result"):
        entry = summary.get(name)
        if entry is not None:
            percentiles = entry["percentiles"] or {}
            values = [entry["mean"], entry["std"], *(percentiles.get(str(p)) for p in PERCENTS)]
            boxes = "-" if entry["num_boxes"] is None else str(entry["num_boxes"])
            rows.append([name, boxes, *("-" if x is None else f"{x:.1f}" for x in values)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    distances = ", ".join(
        f"{' to '.join(pair.split('_'))} {'-' if value is None else f'{value:.4f}'}"
        for pair, value in summary["ks"].items()
    )
    counts = (
        "{num_images} images: {num_without_boxes} without boxes, {num_fallbacks} at the default "
        "scale because no box would be left; {num_left} of {num_boxes} boxes left"
    )
    return [
        *table,
        f"Kolmogorov-Smirnov distance: {distances}",
        counts.format_map(summary),
    ]


def _described(sizes: FloatArray, num_boxes: int | None, edges: FloatArray) -> dict[str, Any]:
    few = summarise_sizes(sizes)
    shares = np.histogram(sizes, edges)[0] / max(len(sizes), 1)
    percentiles = few.percentiles and {
        str(percent): value for percent, value in zip(PERCENTS, few.percentiles, strict=True)
    }
    return {
        "num_boxes": num_boxes,
        "mean": few.mean,
        "std": few.std,
        "min": few.smallest,
        "max": few.largest,
        "percentiles": percentiles,
        "shares": shares.tolist(),
    }


def _edges(sizes: FloatArray) -> FloatArray:
    """Edges of equal width in the logarithm that hold all sizes, at powers of two and between."""
    low, high = np.floor(np.log2(sizes.min())), np.ceil(np.log2(sizes.max()) + 1e-9)
    count = int((high - low) * _BINS_PER_OCTAVE) + 1
    return np.asarray(np.exp2(np.linspace(low, high, count)))


def _middles() -> FloatArray:
    return (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES
