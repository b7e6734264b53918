"""Histograms of object sizes: found, found late, missed."""

from collections.abc import Sequence

import numpy as np

from scale_match.core.records import FloatArray
from scale_match.report.charts import size_chart
from scale_match.report.html_tables import Cell, table
from scale_match.report.markup import Markup, element, text_of
from scale_match.report.page import Section
from scale_match.report.value_sections import figure
from scale_match.scoring.run_figures import RunFigures, limits_text
from scale_match.scoring.size_outcomes import SizeOutcomes, size_edges

__all__ = ["sizes_section"]


def sizes_section(runs: Sequence[RunFigures]) -> Section:
    """Histograms of object sizes: found, found with a low score only, missed.

    Args:
        runs: The runs.

    Returns:
        The section.
    """
    edges = size_edges(np.concatenate([run.object_sizes for run in runs]))
    outcomes = [run.sizes(edges) for run in runs]
    highest = max(int(each.objects.max()) for each in outcomes)
    charts = [
        figure(run.label, _size_chart(run, each, highest, place), _size_totals(each))
        for place, (run, each) in enumerate(zip(runs, outcomes, strict=True))
    ]
    iou = runs[0].metric.iou / 100
    largest = max(limit for run in runs for limit in run.result.max_dets)
    is_cut = any(run.max_dets < max(run.result.max_dets) for run in runs)
    late = "one of a lower score does"
    if is_cut:
        late = f"one of a lower score or beyond the limit does, up to the best {largest}"
    text = element(
        "p",
        f"All objects that count, whatever their size, at IoU {iou:g}. An object is found if a "
        "detection with at least the run's score (see Summary) matches it, found late if only "
        f"{late}, else missed. Detections are the best {limits_text(runs)} of their image and "
        "category.",
    )
    key = element(
        "ul",
        *(
            element("li", _swatch(kind), element("span", name))
            for kind, name in (
                ("column-found", "found"),
                (
                    "column-late",
                    "found late: lower score" + (", or beyond the limit" if is_cut else ""),
                ),
                ("column-missed", "missed"),
            )
        ),
        class_="legend",
    )
    rows = [
        [*_size_cells(edges, place), *(cell for each in outcomes for cell in _counts(each, place))]
        for place in range(len(edges) - 1)
        if any(each.objects[place] for each in outcomes)
    ]
    suffixes = ["" if len(runs) == 1 else f" ({run.label})" for run in runs]
    names = ("objects", "found", "late", "missed", "found %")
    header = ["size in px", *(name + suffix for suffix in suffixes for name in names)]
    numbers = element(
        "details",
        element("summary", "Numbers of the histograms"),
        table("Objects by size", header, rows),
    )
    return Section(
        "sizes",
        "Object sizes",
        text_of(text, key, element("div", *charts, class_="charts"), numbers),
    )


def _size_chart(run: RunFigures, outcomes: SizeOutcomes, highest: int, place: int) -> Markup:
    parts = (
        ("column-found", outcomes.found),
        ("column-late", outcomes.found_below),
        ("column-missed", outcomes.missed),
    )
    return size_chart(
        outcomes.edges,
        parts,
        highest=highest,
        title=f"Object sizes, {run.label}",
        description=_size_totals(outcomes),
        identity=f"sizes-{place}",
    )


def _size_totals(outcomes: SizeOutcomes) -> str:
    return (
        f"{outcomes.objects.sum():,} objects: {outcomes.found.sum():,} found, "
        f"{outcomes.found_below.sum():,} late, {outcomes.missed.sum():,} missed"
    )


def _size_cells(edges: FloatArray, place: int) -> list[Cell]:
    low, high = float(edges[place]), float(edges[place + 1])
    return [Cell(f"{low:.3g} to {high:.3g}", low)]


def _counts(outcomes: SizeOutcomes, place: int) -> list[Cell]:
    parts = (outcomes.objects, outcomes.found, outcomes.found_below, outcomes.missed)
    cells = [_count(int(part[place])) for part in parts]
    objects = int(outcomes.objects[place])
    share = int(outcomes.found[place]) / objects if objects else None
    text = "" if share is None else f"{100 * share:.1f}"
    return [*cells, Cell(text, "" if share is None else share, "number")]


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", value, "number")


def _swatch(kind: str) -> Markup:
    bar = element("rect", x="1", y="1", width="34", height="12", class_=kind)
    return element("svg", bar, viewBox="0 0 36 14", aria_hidden="true")
