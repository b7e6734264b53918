"""Scores as tables for a terminal: values x100, two decimals, and the counts behind them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scale_match.core.ap_result import block_name
from scale_match.core.metric_tables import MetricTable
from scale_match.scoring.scores import Scores

__all__ = ["interval_tables", "score_tables"]

_UNMEASURED = "- : nothing to measure"
_COUNTS = {"npos": "objects", "tp": "true positives", "fp": "false positives", "ignored": "ignored"}
_SHOWN_IOU = 50  # in counts and per category, if it was evaluated


def score_tables(scores: Scores) -> list[MetricTable]:
    """Everything that was measured.

    Args:
        scores: An evaluation.

    Returns:
        AP and AR at each limit of detections, the largest first, the miss rate, COCO's numbers and
        the values of each category if they were wanted, and the counts at IoU 0.5 (the first IoU
        if that was not evaluated); categories and counts at the largest limit.
    """
    ap = scores.ap
    limits = sorted(ap.max_dets, reverse=True)
    tables = [
        _by_size(
            f"AP and AR at maxDets {limit} by size range",
            {"AP": ap.average_precision(limit), "AR": ap.average_recall(limit)},
        )
        for limit in limits
    ]
    if scores.mr is not None:
        caption = "miss rate (MR, lower is better) by size range"
        tables.append(_by_size(caption, {"MR": scores.mr.miss_rates()}))
    if scores.coco is not None:
        tables.append(_coco(scores.coco))
    iou = _shown_iou(ap.iou_thresholds)
    if scores.options.per_category:
        tables.append(_categories(scores, iou))
    caption = f"counts of AP{iou} at maxDets {limits[0]}"
    tables.append(_counts(caption, ap.counts(limits[0]), iou))
    if scores.mr is not None:
        tables.append(_counts(f"counts of MR{iou}", scores.mr.counts(), iou))
    return tables


def interval_tables(block: Mapping[str, Any], max_dets: Sequence[int]) -> list[MetricTable]:
    """The confidence intervals of AP at each limit of detections.

    Args:
        block: As of ``scale_match.scoring.uncertainty.bootstrap_block``.
        max_dets: The limits that were evaluated, as given.

    Returns:
        A table for each limit, the largest first: a row for each IoU, a column for each size range,
        lower and upper bound x100.
    """
    about = f"{100 * block['level']:g} % intervals from {block['resamples']} resamples of images"
    tables = []
    for limit in sorted(max_dets, reverse=True):
        intervals = block[block_name("AP", limit, max_dets)]
        rows: dict[str, dict[str, str]] = {}
        for key, found in intervals.items():
            label, iou = key.rsplit("_", maxsplit=1)
            rows.setdefault(f"AP{iou}", {})[label] = _interval(found)
        labels = next(iter(rows.values()))
        cells = tuple((title, *values.values()) for title, values in rows.items())
        tables.append(
            MetricTable(f"AP at maxDets {limit}: {about}, values x100", ("", *labels), cells)
        )
    return tables


def _interval(found: Mapping[str, float] | None) -> str:
    return "-" if found is None else f"{100 * found['low']:.1f}..{100 * found['high']:.1f}"


def _by_size(caption: str, kinds: Mapping[str, Mapping[str, float]]) -> MetricTable:
    """A row for each quantity and IoU, a column for each size range."""
    rows: dict[str, dict[str, float]] = {}
    for kind, values in kinds.items():
        for key, value in values.items():
            label, iou = key.rsplit("_", maxsplit=1)
            rows.setdefault(f"{kind}{iou}", {})[label] = value
    return _percentages(caption, rows)


def _coco(values: Mapping[str, float]) -> MetricTable:
    return _percentages("COCO's AP and AR by pycocotools", {"": values})


def _categories(scores: Scores, iou: int) -> MetricTable:
    names = {each.category_id: each.name for each in scores.inputs.annotations.categories}
    rows: dict[str, dict[str, float]] = {}
    limit = max(scores.ap.max_dets)
    for category, values in scores.ap.category_average_precision(limit).items():
        # The id comes first: nothing keeps two categories from having one name.
        rows[f"{category} {names[category]}"] = {
            label: values[f"{label}_{iou}"] for label in scores.ap.size_ranges
        }
    return _percentages(f"AP{iou} at maxDets {limit} of each category by size range", rows)


def _counts(caption: str, counts: Mapping[str, Mapping[str, int]], iou: int) -> MetricTable:
    chosen = {
        label: values
        for key, values in counts.items()
        for label, of_iou in [key.rsplit("_", maxsplit=1)]
        if of_iou == str(iou)
    }
    rows = [
        (title, *(str(values[key]) for values in chosen.values())) for key, title in _COUNTS.items()
    ]
    return MetricTable(f"{caption} by size range", ("", *chosen), tuple(rows))


def _percentages(caption: str, rows: Mapping[str, Mapping[str, float]]) -> MetricTable:
    labels = list(dict.fromkeys(label for values in rows.values() for label in values))
    cells = [
        (title, *_formatted(values[label] for label in labels)) for title, values in rows.items()
    ]
    unmeasured = any("-" in row[1:] for row in cells)
    return MetricTable(
        f"{caption}, values x100",
        ("", *labels),
        tuple(cells),
        (_UNMEASURED,) if unmeasured else (),
    )


def _formatted(values: Iterable[float]) -> list[str]:
    return ["-" if value < 0 else f"{100 * value:.2f}" for value in values]


def _shown_iou(thresholds: Sequence[float]) -> int:
    names = [round(100 * threshold) for threshold in thresholds]
    return _SHOWN_IOU if _SHOWN_IOU in names else names[0]
