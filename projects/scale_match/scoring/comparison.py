"""Scores files side by side: best first, with differences and how sure they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.resampling import LEVEL, Interval, interval
from scale_match.scoring.agreement import Conflict, check_agreement, find_conflicts
from scale_match.scoring.files import SavedScores
from scale_match.scoring.image_samples import ImageSamples, draw_samples
from scale_match.scoring.saved_metrics import (
    SavedMetric,
    default_metric_name,
    find_metric,
    lower_is_better,
)

__all__ = ["Cell", "Comparison", "Row", "compare_scores", "run_labels"]

_Progress = Callable[[Sequence[SavedScores]], Iterable[SavedScores]]


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of one run.

    Attributes:
        value: Fraction; -1.0 if there is nothing to measure.
        max_dets: Limit of detections per image and category; None where a metric has its own.
        interval: Of the value; None if there is none.
        difference: To the value of the best run; None for that run itself, and where one of the
            two has nothing to measure.
        difference_interval: Of the difference, over the same resamples of the images in both runs.
    """

    value: float
    max_dets: int | None
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Attributes:
        label: A short name, unique in the comparison.
        path: Of its scores file.
        cells: Name of a metric -> its cell.
        notes: Why intervals are missing, a sentence each.
    """

    label: str
    path: Path
    cells: Mapping[str, Cell]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs, the best in the first metric first.

    Attributes:
        metrics: Names.
        rows: The runs.
        conflicts: Entries because of which the runs are not really comparable, with values in the
            order of the rows; empty unless that was allowed.
        resamples: Number of resamples; 0 for no intervals.
        seed: Of the resamples.
        level: Share of the resampled values within an interval.
        unsampled: Metrics without intervals, because their matches are not kept.
    """

    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    conflicts: tuple[Conflict, ...]
    resamples: int
    seed: int
    level: float
    unsampled: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON: fractions, None where there is nothing; the rows in order."""
        return {
            "metrics": list(self.metrics),
            "bootstrap": {
                "resamples": self.resamples,
                "seed": self.seed,
                "level": self.level,
                "unit": "images",
                "not_resampled": list(self.unsampled),
            }
            if self.resamples
            else None,
            "protocols_agree": not self.conflicts,
            "protocol_differences": [
                {
                    "entry": each.entry,
                    "values": {
                        row.label: value for row, value in zip(self.rows, each.values, strict=True)
                    },
                }
                for each in self.conflicts
            ],
            "rows": [
                {
                    "rank": rank,
                    "label": row.label,
                    "path": str(row.path.absolute()),
                    "metrics": {name: _cell_dict(cell) for name, cell in row.cells.items()},
                    "notes": list(row.notes),
                }
                for rank, row in enumerate(self.rows, start=1)
            ],
        }


@dataclass(frozen=True, slots=True)
class _Run:
    """A scores file with what was found in it."""

    label: str
    saved: SavedScores
    metrics: Mapping[str, SavedMetric]
    images: ImageSamples | None
    problem: str | None  # why there is no ``images``


def compare_scores(
    saved: Sequence[SavedScores],
    names: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    allow_different_protocols: bool = False,
    progress: _Progress = iter,
) -> Comparison:
    """Rank scores files, and tell how sure the differences to the best one are.

    For the intervals the scored files are read and scored again. Where that is not possible the
    values stay, and the row says why it has no interval.

    Args:
        saved: Two files at least.
        names: Metrics, each once; the first decides the order. AP50_tiny by default.
        resamples: Of the images, for intervals; 0 for none.
        seed: Of the resamples.
        allow_different_protocols: Rank also what is not really comparable.
        progress: Wraps the files, to show how far it is.

    Returns:
        The comparison.

    Raises:
        InputError: There are less than two files, a file lacks a metric, a metric is named twice,
            the number of resamples or the seed is negative, or protocols differ and that was not
            allowed.
    """
    if len(saved) < 2:
        raise InputError(f"a comparison needs at least two scores files; received {len(saved)}")
    for name, value in (("--bootstrap", resamples), ("--seed", seed)):
        if value < 0:
            raise InputError(f"{name} must not be negative; received {value}")
    conflicts = find_conflicts(saved)
    if not allow_different_protocols:
        check_agreement(saved, conflicts)
    names = [default_metric_name(saved)] if names is None else names
    if not names or len(set(names)) < len(names):
        raise InputError(f"--metric needs names, each once; received {', '.join(names) or 'none'}")
    metrics = [{name: find_metric(each, name) for name in names} for each in saved]
    labels = run_labels(saved)
    runs = []
    for each, found, label in zip(progress(saved), metrics, labels, strict=True):
        images, problem = _images(each, found, resamples, seed)
        runs.append(_Run(label, each, found, images, problem))
    order = _ranking([run.metrics[names[0]].value for run in runs], names[0])
    return Comparison(
        metrics=tuple(names),
        rows=tuple(_row(runs[place], runs[order[0]]) for place in order),
        conflicts=tuple(
            Conflict(each.entry, tuple(each.values[place] for place in order)) for each in conflicts
        ),
        resamples=resamples,
        seed=seed,
        level=LEVEL,
        unsampled=tuple(
            name for name in names if any(not each[name].is_resampled for each in metrics)
        ),
    )


def run_labels(saved: Sequence[SavedScores]) -> list[str]:
    """Names of scores files by which they can be told apart.

    Args:
        saved: Scores files.

    Returns:
        Their labels; equal ones get a number.
    """
    labels = [each.label for each in saved]
    return [
        f"{label} ({labels[: place + 1].count(label)})" if labels.count(label) > 1 else label
        for place, label in enumerate(labels)
    ]


def _images(
    saved: SavedScores, metrics: Mapping[str, SavedMetric], resamples: int, seed: int
) -> tuple[ImageSamples | None, str | None]:
    """Samples, or why there are none; neither if none are wanted."""
    if not resamples:
        return None, None
    try:
        found = draw_samples(saved, list(metrics.values()), resamples=resamples, seed=seed)
    except InputError as error:
        return None, str(error)
    return found, None


def _ranking(values: Sequence[float], name: str) -> list[int]:
    """Places, best value first, equal ones in order, what could not be measured last."""
    sign = 1 if lower_is_better(name) else -1
    return sorted(range(len(values)), key=lambda place: (values[place] < 0, sign * values[place]))


def _row(run: _Run, best: _Run) -> Row:
    notes = []
    if run.problem is not None:
        notes.append(f"no interval: {run.problem}")
    unpaired = None if run is best else _unpaired(run, best)
    if unpaired is not None:
        notes.append(f"no interval of the difference: {unpaired}")
    paired = run is not best and unpaired is None
    cells = {name: _cell(name, run, best, paired=paired) for name in run.metrics}
    return Row(run.label, run.saved.path, cells, tuple(notes))


def _unpaired(run: _Run, best: _Run) -> str | None:
    """Why two runs cannot be resampled alike; None if they can, or if it is said already."""
    if run.images is None:
        return None
    if best.images is None:
        return f"there are no resamples of {best.label}"
    if not np.array_equal(run.images.image_ids, best.images.image_ids):
        return f"its image ids are not those of {best.label}"
    if run.images.gt_sha256 != best.images.gt_sha256:
        return f"its ground truth is not that of {best.label}"
    return None


def _cell(name: str, run: _Run, best: _Run, *, paired: bool) -> Cell:
    metric, reference = run.metrics[name], best.metrics[name]
    measured = run is not best and metric.value >= 0 and reference.value >= 0
    samples = None if run.images is None else run.images.samples.get(name)
    others = None if best.images is None else best.images.samples.get(name)
    between = None
    if paired and measured and samples is not None and others is not None:
        between = interval(samples - others)
    return Cell(
        value=metric.value,
        max_dets=metric.max_dets,
        interval=None if samples is None else interval(samples),
        difference=metric.value - reference.value if measured else None,
        difference_interval=between,
    )


def _cell_dict(cell: Cell) -> dict[str, Any]:
    difference = cell.difference_interval
    return {
        "value": cell.value,
        "max_dets": cell.max_dets,
        "interval": _interval_dict(cell.interval),
        "difference": cell.difference,
        "difference_interval": _interval_dict(difference),
        "excludes_zero": None if difference is None else difference.excludes_zero,
    }


def _interval_dict(found: Interval | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {
        "low": found.low,
        "high": found.high,
        "standard_error": found.standard_error,
        "resamples_used": found.num_used,
    }
