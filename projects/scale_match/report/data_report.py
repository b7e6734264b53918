"""What the data doctor found, as text for a terminal: verdict, tables, problems, advice."""

import textwrap
from collections.abc import Mapping

from scale_match.core.anchor_advice import AnchorAdvice
from scale_match.core.data_diagnosis import Advice, Diagnosis, verdict
from scale_match.core.data_problems import PROBLEM_KINDS
from scale_match.core.data_summary import DataSummary, disjoint_size_ranges
from scale_match.core.metric_tables import MetricTable
from scale_match.core.size_summary import PERCENTS, SizeSummary
from scale_match.report.advice_text import advice_text, percent

__all__ = ["data_report"]

_MOST_CATEGORIES = 15
_NOTHING = "-"


def data_report(diagnosis: Diagnosis) -> str:
    """The whole report, with a line break at its end."""
    parts = [f"{diagnosis.annotations}", *(f"  {line}" for line in verdict(diagnosis))]
    blocks = [
        "\n".join(parts),
        _problems(diagnosis),
        *_tables(diagnosis.summary),
    ]
    if diagnosis.advice is not None:
        blocks += [
            _recall_table(diagnosis.advice),
            advice_text(diagnosis.summary, diagnosis.advice),
        ]
    return "\n\n".join(blocks) + "\n"


def _problems(diagnosis: Diagnosis) -> str:
    lines = ["PROBLEMS"]
    for one in diagnosis.problems:
        kind = PROBLEM_KINDS[one.kind]
        stops = "stops training" if kind.blocks else "tolerated"
        text = f"{kind.title}: {one.count} ({stops}). {kind.cure[0].upper()}{kind.cure[1:]}."
        lines.append(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  "))
        if one.examples:
            lines += _examples(kind.examples, one.examples, one.count)
    if len(lines) == 1:
        lines.append("  none found in the annotations")
    if diagnosis.images is None:
        lines.append("  image files were not looked at: name their folder by --images")
    else:
        how = "decoded" if diagnosis.verified else "headers and ends read; --verify decodes"
        lines.append(f"  {diagnosis.num_files} image files looked at in {diagnosis.images} ({how})")
    return "\n".join(lines)


def _examples(what: str, examples: tuple[str, ...], count: int) -> list[str]:
    """Ids on one line; sentences on a line each."""
    more = count - len(examples)
    if all(len(example) < 20 for example in examples):
        return [f"    {what} {', '.join(examples)}" + (f", and {more} more" if more else "")]
    lines = [f"    {example}" for example in examples]
    return [*lines, f"    and {more} more"] if more else lines


def _tables(summary: DataSummary) -> list[str]:
    tables = [_distributions(summary)]
    if summary.num_objects:
        tables.append(_size_shares(summary))
    if len(summary.categories) > 1:
        tables.append(_categories(summary))
    return [table.plain() for table in tables]


def _distributions(summary: DataSummary) -> MetricTable:
    rows = {
        "size sqrt(w*h), px": summary.sizes,
        "size / sqrt(image area), %": _scaled(summary.relative_sizes, 100.0),
        "height / width": summary.aspect_ratios,
        "objects per image": summary.per_image,
    }
    left_out = [f"{count} {flag}" for flag, count in summary.flagged.items() if count]
    sides = ", ".join(f"{w}x{h} ({count})" for w, h, count in summary.image_sides[:4])
    more = len(summary.image_sides) > 4
    notes = [
        f"{summary.num_annotations} boxes in the file, "
        + (f"of which are no objects: {', '.join(left_out)}" if left_out else "none flagged"),
        f"{summary.num_empty_images} of {summary.num_images} images have no object",
        f"image sizes: {sides}{', ...' if more else ''}",
    ]
    header = ("OBJECTS", "mean", *(f"{percent} %" for percent in PERCENTS))
    return MetricTable(
        "Objects are the boxes that training looks for. Columns: mean and percentiles.",
        header,
        tuple(_row(name, values) for name, values in rows.items()),
        tuple(notes),
    )


def _row(name: str, values: SizeSummary) -> tuple[str, ...]:
    if values.percentiles is None or values.mean is None:
        return (name, *(_NOTHING for _ in range(len(PERCENTS) + 1)))
    return (name, *(_number(value) for value in (values.mean, *values.percentiles)))


def _scaled(values: SizeSummary, factor: float) -> SizeSummary:
    if values.percentiles is None or values.mean is None:
        return values
    percentiles = tuple(factor * value for value in values.percentiles)
    return SizeSummary(values.count, factor * values.mean, percentiles=percentiles)


def _number(value: float) -> str:
    """Three significant digits or so."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _size_shares(summary: DataSummary) -> MetricTable:
    limits = disjoint_size_ranges()
    rows = tuple(
        (f"{label} {_limits(limits[label])}" if label in limits else label, percent(share))
        for label, share in summary.size_shares.items()
    )
    return MetricTable("Size ranges of the evaluation, px", ("SIZES", "objects"), rows)


def _limits(limits: tuple[float, float]) -> str:
    return f"{limits[0]:g}-{limits[1]:g}" if limits[1] < 1e4 else f"{limits[0]:g} and more"


def _categories(summary: DataSummary) -> MetricTable:
    ordered = sorted(summary.categories, key=lambda category: -category.objects)
    rows = tuple(
        (
            category.name,
            str(category.objects),
            _NOTHING if category.median_size is None else _number(category.median_size),
        )
        for category in ordered[:_MOST_CATEGORIES]
    )
    rest = len(ordered) - len(rows)
    unused = sum(category.objects == 0 for category in ordered)
    notes = [f"and {rest} more"] if rest else []
    if unused:
        notes.append(f"{unused} categories have no object: the model would learn them for nothing")
    header = ("CATEGORIES", "objects", "median px")
    return MetricTable("Categories, the most frequent first", header, rows, tuple(notes))


def _recall_table(advice: Advice) -> str:
    labels = list(advice.anchors.recall)
    header = ("ANCHORS", *labels, "mean IoU", "per Mpx")
    rows = (
        _recall_row("advised", advice.anchors),
        _recall_row("default", advice.default_anchors),
        _recall_row("advised, images x2", advice.doubled),
    )
    caption = (
        "Objects that an anchor can become positive for (IoU >= 0.5 with the best one where it "
        "lies), %"
    )
    return MetricTable(caption, header, rows).plain()


def _recall_row(name: str, anchors: AnchorAdvice) -> tuple[str, ...]:
    recall: Mapping[str, float | None] = anchors.recall
    cells = [_NOTHING if value is None else f"{100 * value:.1f}" for value in recall.values()]
    per_megapixel = f"{anchors.anchors_per_megapixel / 1e3:.0f}k"
    return (name, *cells, f"{anchors.mean_iou:.2f}", per_megapixel)
