"""A comparison of scores files for people (plain text, Markdown) and for programs (CSV)."""

import csv
import io

from scale_match.core.metric_tables import MetricTable
from scale_match.core.resampling import Interval
from scale_match.report.tables import to_markdown
from scale_match.scoring.agreement import conflict_table
from scale_match.scoring.comparison import Cell, Comparison, Row
from scale_match.scoring.saved_metrics import lower_is_better

__all__ = ["comparison_csv", "comparison_markdown", "comparison_tables"]

_NOTHING = "-"
_CSV_HEADER = (
    *("rank", "run", "path", "metric", "max_dets", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "excludes_zero", "notes"),
)


def comparison_tables(comparison: Comparison) -> list[MetricTable]:
    """What was compared, 100 times the fractions.

    Args:
        comparison: Runs, best first.

    Returns:
        With several metrics an overview of their values; a table for each metric with intervals
        and differences; the entries of the protocols that conflict, if that was allowed. Why
        intervals are missing stands below the last table with values.
    """
    names = comparison.metrics
    tables = [_overview(comparison)] if len(names) > 1 else []
    tables += [_metric_table(comparison, name) for name in names]
    last = tables[-1]
    notes = tuple(f"{row.label}: {note}" for row in comparison.rows for note in row.notes)
    tables[-1] = MetricTable(last.caption, last.header, last.rows, (*last.notes, *notes))
    if comparison.conflicts:
        labels = [row.label for row in comparison.rows]
        tables.append(conflict_table(comparison.conflicts, labels))
    return tables


def comparison_markdown(comparison: Comparison) -> str:
    """The tables in Markdown, with a line break at the end."""
    return "\n".join(to_markdown(table) for table in comparison_tables(comparison))


def comparison_csv(comparison: Comparison) -> str:
    """A line for each run and metric: fractions with all digits, -1.0 and nothing as in JSON."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for rank, row in enumerate(comparison.rows, start=1):
        for name, cell in row.cells.items():
            found = cell.difference_interval
            writer.writerow(
                (
                    *(rank, row.label, row.path.absolute(), name, cell.max_dets, cell.value),
                    *_bounds(cell.interval),
                    cell.difference,
                    *_bounds(found),
                    None if found is None else str(found.excludes_zero).lower(),
                    " ".join(row.notes),
                )
            )
    return text.getvalue()


def _overview(comparison: Comparison) -> MetricTable:
    names = comparison.metrics
    rows = [
        (_ranked(rank, row), *(_percent(row.cells[name].value) for name in names))
        for rank, row in enumerate(comparison.rows, start=1)
    ]
    return MetricTable(f"best {names[0]} first, values x100", ("run", *names), tuple(rows))


def _metric_table(comparison: Comparison, name: str) -> MetricTable:
    cells = [row.cells[name] for row in comparison.rows]
    limits = list(dict.fromkeys(cell.max_dets for cell in cells))
    is_common = len(limits) == 1
    caption = f"{name}{_limit_text(limits[0]) if is_common else ''}, values x100"
    caption += " (lower is better)" if lower_is_better(name) else ""
    columns = ("run", *(() if is_common else ("maxDets",)), name)
    if comparison.resamples:
        level = f"{100 * comparison.level:g}% interval"
        columns += (level, "difference", f"its {level}", "excludes 0")
    else:
        columns += ("difference",)
    rows = [
        (
            _ranked(rank, row),
            *(() if is_common else (str(cell.max_dets),)),
            *_cells(cell, is_best=rank == 1, with_intervals=comparison.resamples > 0),
        )
        for rank, (row, cell) in enumerate(zip(comparison.rows, cells, strict=True), start=1)
    ]
    return MetricTable(caption, columns, tuple(rows), _notes(comparison, name, cells))


def _cells(cell: Cell, *, is_best: bool, with_intervals: bool) -> tuple[str, ...]:
    if is_best:
        difference = "best"
    else:
        difference = _NOTHING if cell.difference is None else f"{100 * cell.difference:+.2f}"
    if not with_intervals:
        return _percent(cell.value), difference
    found = cell.difference_interval
    return (
        _percent(cell.value),
        "" if cell.interval is None else _range(cell.interval),
        difference,
        "" if found is None else _range(found, sign="+"),
        "" if found is None else ("yes" if found.excludes_zero else "no"),
    )


def _notes(comparison: Comparison, name: str, cells: list[Cell]) -> tuple[str, ...]:
    notes = ["- : nothing to measure"] if any(cell.value < 0 for cell in cells) else []
    found = [cell.interval for cell in cells if cell.interval is not None]
    left_out = max((each.num_left_out for each in found), default=0)
    if left_out:
        notes.append(f"{left_out} resamples hold nothing to measure and are left out")
    if comparison.resamples and name in comparison.unsampled:
        notes.append("no intervals: only AP and AR can be resampled without matching again")
    if comparison.resamples and name == comparison.metrics[0]:
        notes.append(
            f"intervals: {comparison.resamples} resamples of the images, seed {comparison.seed}; "
            "for a difference both runs have the same resamples"
        )
    return tuple(notes)


def _ranked(rank: int, row: Row) -> str:
    return f"{rank}  {row.label}"


def _limit_text(limit: int | None) -> str:
    return "" if limit is None else f" at maxDets {limit}"


def _percent(value: float) -> str:
    return _NOTHING if value < 0 else f"{100 * value:.2f}"


def _range(found: Interval, sign: str = "") -> str:
    return f"{100 * found.low:{sign}.2f} to {100 * found.high:{sign}.2f}"


def _bounds(found: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.low, found.high)
