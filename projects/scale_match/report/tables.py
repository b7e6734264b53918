"""Metrics as Markdown for documents and as CSV for other programs.

The tables themselves (``sizes_by_iou``, ``compare_runs``) are made in ``core.metric_tables`` and
show 100 times the fractions; their ``plain`` form is for terminals and logs. CSV is a file for
programs and so keeps fractions, all digits, and -1.0 where there is nothing to measure.
"""

import csv
import io
from collections.abc import Mapping

from scale_match.core.metric_tables import MetricTable, compare_runs, sizes_by_iou

__all__ = ["MetricTable", "compare_runs", "sizes_by_iou", "to_csv", "to_markdown"]


def to_markdown(table: MetricTable) -> str:
    """A table in Markdown: caption, rows, notes.

    Args:
        table: As of ``sizes_by_iou`` or ``compare_runs``.

    Returns:
        The text, with a line break at its end.

    Example:
        >>> print(to_markdown(compare_runs({"ours": {"AP50_tiny": 0.5}})), end="")
        comparison of runs, values x100
        <BLANKLINE>
        | metric | ours |
        |---|---:|
        | AP50_tiny | 50.00 |
    """
    rule = "|---" + "|---:" * (len(table.header) - 1) + "|"
    rows = [_markdown_row(table.header), rule, *map(_markdown_row, table.rows)]
    parts = ["\n".join(part) for part in ([table.caption], rows, table.notes) if part]
    return "\n\n".join(parts) + "\n"


def to_csv(runs: Mapping[str, Mapping[str, float]]) -> str:
    """Several runs as CSV: a line for each run and metric, full precision.

    Args:
        runs: Title -> metrics, fractions by name.

    Returns:
        The text with the columns run, metric, value.

    Example:
        >>> print(to_csv({"ours": {"AP50_tiny": 0.5, "AP50_small": -1.0}}), end="")
        run,metric,value
        ours,AP50_tiny,0.5
        ours,AP50_small,-1.0
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", "metric", "value"))
    writer.writerows(
        (title, name, value) for title, metrics in runs.items() for name, value in metrics.items()
    )
    return text.getvalue()


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
