"""Metrics arranged in rows and columns for people: 100 times the fraction, two decimals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scale_match.core.errors import InputError
from scale_match.core.metric_names import MetricName

__all__ = ["MetricTable", "compare_runs", "sizes_by_iou"]

_CAPTION = "values x100"
_NOTE = "- : nothing to measure"
_ABSENT = ""


@dataclass(frozen=True, slots=True)
class MetricTable:
    """A table of texts.

    Attributes:
        caption: What it shows, and in which unit.
        header: Names of the columns, the first of them that of the row names.
        rows: As long as the header each.
        notes: Explanations to stand below.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def plain(self) -> str:
        """The table for a terminal or a log: aligned columns, no trailing line break."""
        lines = (self.header, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = (
            "  ".join(
                [line[0].ljust(widths[0])]
                + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            ).rstrip()
            for line in lines
        )
        return "\n".join([self.caption, *body, *self.notes])


def sizes_by_iou(metrics: Mapping[str, float], *, max_dets: int | None = None) -> MetricTable:
    """One evaluation: a row for each of AP25, AP50, ... AR75, a column for each size range.

    Args:
        metrics: Name -> fraction, as of ``core.metric_names.tiny_metrics``; other entries are
            left out.
        max_dets: Which limit of detections; None for the largest, whose names do not mention it.

    Returns:
        The table.

    Raises:
        InputError: If there is no metric of that limit.
    """
    found = {
        name: value
        for text, value in metrics.items()
        if (name := MetricName.parse(text)) and name.max_dets == max_dets
    }
    if not found:
        raise InputError(f"no AP or AR at maxDets {max_dets or 'max'} among {sorted(metrics)}")
    labels = list(dict.fromkeys(name.size_range for name in found))
    quantities = list(dict.fromkeys((name.kind, name.iou) for name in found))
    rows = [
        (
            f"{kind}{iou}",
            *(_format(found.get(MetricName(kind, iou, label, max_dets))) for label in labels),
        )
        for kind, iou in quantities
    ]
    limit = "" if max_dets is None else f" at maxDets {max_dets}"
    caption = f"AP and AR{limit} by size range, {_CAPTION}"
    return _with_notes(caption, ("", *labels), rows)


def compare_runs(
    runs: Mapping[str, Mapping[str, float]], names: Sequence[str] | None = None
) -> MetricTable:
    """Several evaluations side by side: a row for each metric, a column for each run.

    Args:
        runs: Title of the column -> its metrics, fractions by name.
        names: Which metrics, in this order; those of the first run by default.

    Returns:
        The table; a metric that a run lacks leaves an empty cell.

    Raises:
        InputError: If there is no run, or a name occurs in no run.
    """
    if not runs:
        raise InputError("a comparison needs at least one run")
    names = list(next(iter(runs.values()))) if names is None else names
    for name in names:
        if not any(name in metrics for metrics in runs.values()):
            raise InputError(f"no run has a metric {name}; the runs are {list(runs)}")
    rows = [(name, *(_format(metrics.get(name)) for metrics in runs.values())) for name in names]
    return _with_notes(f"comparison of runs, {_CAPTION}", ("metric", *runs), rows)


def _format(value: float | None) -> str:
    """100 times a fraction with two decimals; "-" for -1, nothing for an absent value."""
    if value is None:
        return _ABSENT
    return "-" if value < 0 else f"{100 * value:.2f}"


def _with_notes(
    caption: str, header: Sequence[str], rows: Sequence[tuple[str, ...]]
) -> MetricTable:
    unmeasured = any("-" in row[1:] for row in rows)
    return MetricTable(caption, tuple(header), tuple(rows), (_NOTE,) if unmeasured else ())
