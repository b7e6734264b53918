"""What a sweep found, as a table for people and as JSON and CSV for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scale_match.core.metric_tables import MetricTable
from scale_match.engine.sweep_settings import RowSettings
from scale_match.inference.candidate_replay import Suppression
from scale_match.scoring.scores import Scores

__all__ = ["SweepRow", "metrics_of", "sweep_table", "to_csv"]

_COLUMNS = (
    "run_time_crop",
    "candidates_per_level",
    "max_detections",
    "nms",
    "nms_threshold",
    "score_threshold",
    "max_dets",
)


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A row with its values.

    Attributes:
        settings: The row.
        num_detections: Detections of whole images before ``max_dets``.
        metrics: Name -> fraction, -1.0 where there is nothing to measure.
        protocol: Hash and entries, as in a scores file.
    """

    settings: RowSettings
    num_detections: int
    metrics: Mapping[str, float]
    protocol: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The form in which ``sweep.json`` holds it."""
        return {
            "label": self.settings.label,
            **dict(zip(_COLUMNS, _values(self.settings), strict=True)),
            "detections": self.num_detections,
            "metrics": dict(self.metrics),
            "protocol": dict(self.protocol),
        }


def metrics_of(scores: Scores) -> dict[str, float]:
    """AP, AR and, if it was computed, the miss rate, under names as ``AP50_tiny``.

    Args:
        scores: With one limit of detections.
    """
    blocks = {"AP": scores.ap.average_precision(), "AR": scores.ap.average_recall()}
    if scores.mr is not None:
        blocks["MR"] = scores.mr.miss_rates()
    metrics = {}
    for kind, block in blocks.items():
        for key, value in block.items():
            label, iou = key.rsplit("_", maxsplit=1)
            metrics[f"{kind}{iou}_{label}"] = value
    return metrics


def sweep_table(
    rows: Sequence[SweepRow], metrics: Sequence[str], *, ground_truth: str, most_candidates: int
) -> MetricTable:
    """The table of the authors' study of test-time settings.

    Type and threshold of the suppression and the least score have columns where they differ, and
    are said in the caption where they do not.

    Args:
        rows: In the order of the table; at least one.
        metrics: Names of the last columns.
        ground_truth: What it is about, for the caption.
        most_candidates: The largest number of candidates that a level of a tile has.
    """
    suppressions = [row.settings.suppression for row in rows]
    columns = {
        "NMS": [each.nms for each in suppressions],
        "NMS IoU": [f"{each.threshold:g}" for each in suppressions],
        "score >": [f"{each.score_threshold:g}" for each in suppressions],
    }
    varied = {name: values for name, values in columns.items() if len(set(values)) > 1}
    same = [f"{name} {values[0]}" for name, values in columns.items() if name not in varied]
    body = [
        (*_shown(row), *further, str(row.settings.max_dets), *_percentages(row, metrics))
        for row, *further in zip(rows, *varied.values(), strict=True)
    ]
    return MetricTable(
        caption=", ".join([f"test-time settings on {ground_truth}", *same, "values x100"]),
        header=("run-time crop", "candidates", "max per img", *varied, "maxDets", *metrics),
        rows=tuple(body),
        notes=_notes(suppressions, body, most_candidates),
    )


def to_csv(rows: Sequence[SweepRow]) -> str:
    """The rows for programs: settings, number of detections, all metrics as fractions.

    Args:
        rows: At least one.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, "detections", *rows[0].metrics))
    writer.writerows(
        (*_values(row.settings), row.num_detections, *row.metrics.values()) for row in rows
    )
    return text.getvalue()


def _shown(row: SweepRow) -> tuple[str, str, str]:
    settings = row.settings
    mark, each = ("Y", "") if settings.crop == "yes" else ("N", "/crop")
    return mark, f"{settings.suppression.candidates}{each}", f"{settings.max_detections}{each}"


def _percentages(row: SweepRow, metrics: Sequence[str]) -> list[str]:
    values = [row.metrics[name] for name in metrics]
    return ["-" if value < 0 else f"{100 * value:.2f}" for value in values]


def _notes(
    suppressions: Sequence[Suppression], body: Sequence[tuple[str, ...]], most_candidates: int
) -> tuple[str, ...]:
    notes = [
        f"no level of a tile has more than {most_candidates} candidates: further ones change "
        "nothing"
    ] * any(each.candidates > most_candidates for each in suppressions)
    notes += ["- : nothing to measure"] * any("-" in cells for cells in body)
    return tuple(notes)


def _values(row: RowSettings) -> tuple[Any, ...]:
    part = row.suppression
    return (
        row.crop,
        part.candidates,
        row.max_detections,
        part.nms,
        part.threshold,
        part.score_threshold,
        row.max_dets,
    )
