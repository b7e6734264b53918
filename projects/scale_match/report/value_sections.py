"""Average precision, recall and miss rate: tables, intervals, precision-recall curves."""

from collections.abc import Mapping, Sequence

from scale_match.core.precision_curve import RECALL_LEVELS
from scale_match.report.charts import Estimate, curve_chart, interval_chart
from scale_match.report.html_tables import Cell, percent, table
from scale_match.report.markup import Markup, element, text_of
from scale_match.report.page import Section
from scale_match.report.series import legend
from scale_match.scoring.run_figures import RunFigures, limits_text

__all__ = ["ap_section", "curve_section", "figure", "recall_section"]

_Key = tuple[str, str]
"""Size range and 100 times the IoU."""


def ap_section(runs: Sequence[RunFigures]) -> Section:
    """AP by size and IoU with intervals.

    Args:
        runs: The runs.

    Returns:
        The section.
    """
    with_intervals = any(run.intervals for run in runs)
    note = (
        f"The intervals hold {runs[0].level:.0%} of the values of resampled image sets "
        f"(bootstrap over images, {_resamples(runs)} resamples, seeded). "
        if with_intervals
        else "Without intervals: neither did the scores files hold any, nor was --bootstrap given. "
    )
    text = element(
        "p",
        "Mean precision over 101 recall levels, times 100, by size of the objects and by the IoU "
        f"from which on a detection has found one. The charts are of the best {limits_text(runs)} "
        "detections per image and category. ",
        note,
    )
    names = [run.label for run in runs]
    parts = [text]
    if len(runs) > 1:
        parts.append(legend(names))
    parts.append(_ap_charts(runs))
    parts.append(element("div", *_limit_tables(runs, "AP"), _category_table(runs), class_="tables"))
    return Section("ap", "Average precision", text_of(*parts))


def recall_section(runs: Sequence[RunFigures]) -> Section:
    """AR and MR.

    Args:
        runs: The runs.

    Returns:
        The section.
    """
    parts = [
        element(
            "p",
            "Average recall (AR): fraction of the objects that any detection finds, however low "
            "its score. Miss rate (MR): geometric mean of the fraction missed, at nine numbers of "
            "false positives per image from 0.01 to 1; lower is better. It has rules and size "
            "ranges of its own.",
        )
    ]
    tables = _limit_tables(runs, "AR")
    if any(run.values("MR") for run in runs):
        tables.append(_value_table(runs, "MR x100, lower is better", ["MR"] * len(runs)))
    parts.append(element("div", *tables, class_="tables"))
    if not any(run.values("MR") for run in runs):
        parts.append(element("p", "The scores files hold no miss rate.", class_="soft"))
    return Section("recall", "Recall and miss rate", text_of(*parts))


def curve_section(runs: Sequence[RunFigures]) -> Section:
    """Precision-recall curves, a chart for each size range.

    Args:
        runs: The runs; with one of them a line for each IoU, with several a line for each run.

    Returns:
        The section.
    """
    iou = runs[0].metric.iou
    if len(runs) == 1:
        ious = list(runs[0].result.iou_thresholds)
        names = [f"IoU {iou:g}" for iou in ious]
        lines = [(runs[0], iou) for iou in ious]
    else:
        names = [run.label for run in runs]
        lines = [(run, iou / 100) for run in runs]
    what = "a line for each IoU" if len(runs) == 1 else f"IoU {iou / 100:g}, a line for each run"
    charts = []
    for label in _size_ranges(runs):
        curves = [
            run.curve(label, iou)
            for run, iou in lines
            if label in run.result.size_ranges and _has_iou(run, iou)
        ]
        means = ", ".join(f"{100 * max(float(c.mean()), 0):.1f}" for c in curves)
        chart = curve_chart(
            curves,
            RECALL_LEVELS,
            title=f"Precision against recall, objects of the size range {label}",
            description=f"The area below the lines, the AP, is {means} ({', '.join(names)}).",
            identity=f"curve-{label}",
        )
        charts.append(figure(label, chart, _bounds(runs, label)))
    text = element(
        "p",
        "How precision falls as more objects are found, from high scores to low ones, among the "
        f"best {limits_text(runs)} detections per image and category; ",
        what,
        ". Precision is that of the AP: the best at this recall or beyond. A line that ends in a "
        "drop says that the objects to its right are found by no detection.",
    )
    return Section(
        "curves",
        "Precision and recall",
        text_of(text, legend(names, "lines"), element("div", *charts, class_="charts")),
    )


def figure(caption: str, chart: Markup, detail: str = "") -> Markup:
    """A chart with its caption above it.

    Args:
        caption: Its name.
        chart: The drawing.
        detail: What else stands in the caption.

    Returns:
        The element.
    """
    soft = element("span", " " + detail, class_="soft") if detail else ""
    return element("figure", element("figcaption", caption, soft), chart)


def _ap_charts(runs: Sequence[RunFigures]) -> Markup:
    labels = _size_ranges(runs)
    ious = list(dict.fromkeys(iou for run in runs for iou in run.result.iou_thresholds))
    estimates = {
        iou: [[_estimate(run, f"{label}_{round(100 * iou)}") for label in labels] for run in runs]
        for iou in ious
    }
    highest = max(
        (
            each.interval[1] if each.interval else each.value
            for series in estimates.values()
            for places in series
            for each in places
        ),
        default=1.0,
    )
    charts = [
        figure(
            f"IoU {iou:g}",
            interval_chart(
                [_short(label) for label in labels],
                estimates[iou],
                quantity="AP x100",
                highest=max(highest, 0.05),
                title=f"AP by size at IoU {iou:g}",
                identity=f"ap-{round(100 * iou)}",
            ),
        )
        for iou in ious
    ]
    return element("div", *charts, class_="charts")


def _estimate(run: RunFigures, key: str) -> Estimate:
    block = run.block("AP")
    return Estimate(run.values(block).get(key, -1.0), run.intervals_of(block).get(key))


def _limit_tables(runs: Sequence[RunFigures], kind: str) -> list[Markup]:
    """AP or AR at every limit of detections that a run has, the largest first."""
    limits = {limit for run in runs for limit in run.scores.options.max_dets}
    return [
        _value_table(
            runs,
            f"{kind} x100, best {limit} detections per image and category",
            [run.block(kind, limit) for run in runs],
        )
        for limit in sorted(limits, reverse=True)
    ]


def _value_table(runs: Sequence[RunFigures], caption: str, blocks: Sequence[str]) -> Markup:
    """A row for each run and IoU, a column for each size range."""
    labels = list(
        dict.fromkeys(
            _parts(key)[0]
            for run, block in zip(runs, blocks, strict=True)
            for key in run.values(block)
        )
    )
    rows: list[list[Cell | str]] = []
    ious = list(
        dict.fromkeys(
            _parts(key)[1]
            for run, block in zip(runs, blocks, strict=True)
            for key in run.values(block)
        )
    )
    for iou in ious:
        for run, block in zip(runs, blocks, strict=True):
            values, intervals = run.values(block), run.intervals_of(block)
            cells = _row(values, intervals, labels, iou)
            if any(cell.content for cell in cells):
                first = [Cell(f"{int(iou) / 100:g}", float(iou))]
                rows.append([*([run.label] if len(runs) > 1 else []), *first, *cells])
    header = [*(["run"] if len(runs) > 1 else []), "IoU", *labels]
    if any(isinstance(cell, Cell) and cell.content == "-" for row in rows for cell in row):
        caption += "; - : nothing to measure"
    return table(caption, header, rows)


def _row(
    values: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    labels: Sequence[str],
    iou: str,
) -> list[Cell]:
    keys = [f"{label}_{iou}" for label in labels]
    return [percent(values.get(key), intervals.get(key)) for key in keys]


def _category_table(runs: Sequence[RunFigures]) -> Markup:
    """AP of each category, where there are several."""
    names: dict[int, str] = {}
    for run in runs:
        for category in run.scores.inputs.annotations.categories:
            names.setdefault(category.category_id, category.name)
    if len(names) < 2:
        return Markup("")
    values = [run.result.category_average_precision(run.max_dets) for run in runs]
    key = runs[0].metric.key
    rows: list[list[Cell | str]] = [
        [name, *(percent(each.get(category, {}).get(key)) for each in values)]
        for category, name in names.items()
    ]
    header = ["category", *(run.label for run in runs)]
    return table(
        f"{runs[0].metric.name} x100 of each category; - : nothing to measure", header, rows
    )


def _size_ranges(runs: Sequence[RunFigures]) -> list[str]:
    return list(dict.fromkeys(label for run in runs for label in run.result.size_ranges))


def _bounds(runs: Sequence[RunFigures], label: str) -> str:
    for run in runs:
        bounds = run.scores.options.standard.size_ranges.get(label)
        if bounds is not None:
            low, high = bounds
            return f"{low:g} to {high:g} px" if high < 1e5 else f"from {low:g} px"
    return ""


def _short(label: str) -> str:
    """A name that fits below an axis beside six others."""
    return label if len(label) <= 6 else label[:5] + "."


def _has_iou(run: RunFigures, iou: float) -> bool:
    return round(100 * iou) in {round(100 * each) for each in run.result.iou_thresholds}


def _parts(key: str) -> _Key:
    label, iou = key.rsplit("_", maxsplit=1)
    return label, iou


def _resamples(runs: Sequence[RunFigures]) -> str:
    return " and ".join(dict.fromkeys(str(run.resamples) for run in runs if run.intervals))
