"""The sweep: one pass of a detector over a test set, then every combination of test-time settings.

The table is that of the authors' study: run-time crop or not, candidates per level, detections kept
per image or crop, detections that the evaluation looks at; and type and threshold of the
suppression.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from omegaconf import DictConfig

from scale_match.core.errors import InputError
from scale_match.core.metric_tables import MetricTable
from scale_match.engine.sweep_candidates import StoredCandidates, stored_candidates
from scale_match.engine.sweep_model import DetectorRun, detector_run
from scale_match.engine.sweep_report import SweepRow, metrics_of, sweep_table, to_csv
from scale_match.engine.sweep_rows import RowScorer
from scale_match.engine.sweep_settings import RowSettings, SweepSettings
from scale_match.inference.candidates import candidate_source
from scale_match.scoring.scores import Scores
from scale_match.storage.files import write_json, write_text
from scale_match.storage.fingerprints import content_sha256

__all__ = ["SWEEP_CSV", "SWEEP_FILE", "SweepResult", "run_sweep"]

SWEEP_FILE = "sweep.json"
SWEEP_CSV = "sweep.csv"


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult:
    """What a sweep gave.

    Attributes:
        rows: In the order of the table.
        table: For people.
        note: A sentence on where the candidates come from.
    """

    rows: tuple[SweepRow, ...]
    table: MetricTable
    note: str


def run_sweep(
    cfg: CfgNode | DictConfig, settings: SweepSettings, output: Path, *, scores: bool = False
) -> SweepResult:
    """Tries every combination of test-time settings on one pass of the model.

    Each row equals what a run with its settings gives: with run-time crop an evaluation with the
    tiles merged jointly, without it an evaluation on ``tiles.json`` as images, without tiles of its
    own, whose results are merged afterwards. Two things are left to chance there: the order of
    equal scores, and the last digits of the model, which may depend on how many tiles share a
    batch.

    Args:
        cfg: Of a front end's ``load``, with weights, test set and tiles.
        settings: What to combine.
        output: Folder: ``candidates.npz`` (used again by the next call if weights, settings and
            images are the same), ``tiles.json`` (if there are rows without run-time crop),
            ``sweep.json``, ``sweep.csv``.
        scores: Write a scores file with its protocol for each row in ``rows/``, and the detections
            that they are of in ``detections/``.

    Returns:
        The rows.

    Raises:
        InputError: Anything that the user can put right.
    """
    run = detector_run(cfg)
    if not settings.score_thresholds:
        settings = replace(settings, score_thresholds=(_own_score_threshold(run),))
    _check_candidates(run, settings)
    scorer = RowScorer(run, settings, output, write=scores)
    stored = stored_candidates(
        run,
        output,
        limit=max(settings.candidates),
        score_threshold=min(settings.score_thresholds),
    )
    found = {row: _row(row, each) for row, each in scorer.rows(stored.table)}
    rows = tuple(found[row] for row in settings.rows())
    result = SweepResult(
        rows=rows,
        table=sweep_table(
            rows,
            settings.metrics,
            ground_truth=run.annotations.name,
            most_candidates=stored.most_per_level,
        ),
        note=stored.note,
    )
    write_json(output / SWEEP_FILE, _content(run, stored, result), indent=1)
    write_text(output / SWEEP_CSV, to_csv(rows))
    return result


def _row(settings: RowSettings, scores: Scores) -> SweepRow:
    return SweepRow(
        settings,
        len(scores.inputs.detections),
        metrics_of(scores),
        scores.protocol.to_dict(),
    )


def _content(run: DetectorRun, stored: StoredCandidates, result: SweepResult) -> dict[str, Any]:
    table = stored.table
    return {
        "ground_truth": {
            "path": str(run.annotations),
            "sha256": content_sha256(run.annotations),
        },
        "candidates": {
            "path": str(stored.path.absolute()),
            "fingerprint": stored.fingerprint,
            "number": len(table),
            "per_level": table.limit,
            "score_threshold": table.score_threshold,
            "most_per_level": stored.most_per_level,
        },
        "rows": [row.to_dict() for row in result.rows],
    }


def _check_candidates(run: DetectorRun, settings: SweepSettings) -> None:
    """Refuses numbers of candidates per level that the detector cannot try afterwards."""
    detector = run.model.model
    fixed = getattr(candidate_source(detector), "fixed_limit", None)
    if fixed is not None and settings.candidates != (fixed,):
        raise InputError(
            f"the first stage of {type(detector).__name__} takes {fixed} candidates per level "
            "(MODEL.RPN.PRE_NMS_TOPK_TEST, model.rpn.pre_nms_topk), which one pass cannot vary: "
            f"use --candidates {fixed}, not {' '.join(map(str, settings.candidates))}"
        )


def _own_score_threshold(run: DetectorRun) -> float:
    threshold = getattr(run.model.model, "test_score_thresh", None)
    if threshold is None:
        raise InputError(
            f"{type(run.model.model).__name__} has no test_score_thresh: name --score-threshold"
        )
    return float(threshold)
