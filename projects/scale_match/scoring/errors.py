"""The blocks ``errors`` and ``ladder`` of a scores file: why AP50 is not 100."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from scale_match.core.ap_result import ApResult
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.error_types import (
    BACKGROUND_IOU,
    ERROR_TYPES,
    FOREGROUND_IOU,
    DetectionLabel,
    ErrorSplit,
    TargetLabel,
    split_errors,
)
from scale_match.core.merging import merge_tile_results
from scale_match.core.oracle_ladder import RUNGS, climb
from scale_match.core.protocol import NONE
from scale_match.core.records import DetectionTable, FloatArray, IntArray
from scale_match.core.removed_detections import removed_by_merging
from scale_match.core.seams import (
    SEAM_BANDS,
    band_indices,
    grid_seams,
    seam_distances,
    seams_of_tile_file,
)
from scale_match.scoring.error_tables import explanation_text
from scale_match.scoring.inputs import ScoringInputs
from scale_match.scoring.scores import Scores

__all__ = ["error_block", "error_split", "explanation_text", "ladder_block"]

_NO_SUPPRESSION = 1.0  # a threshold of merging at which all detections stay
_LADDER_RANGE = "tiny"


def error_split(scores: Scores) -> ErrorSplit:
    """The type of error of every box, at the largest limit of detections.

    Args:
        scores: An evaluation; where it was not at IoU 0.5, that is made up for.

    Returns:
        Labels of detections and ground truth, and what each type costs.
    """
    return split_errors(_at_half(scores), scores.inputs.annotations, scores.inputs.detections)


def error_block(scores: Scores, split: ErrorSplit | None = None) -> dict[str, Any]:
    """What the gap between AP50 and 1 is made of.

    Args:
        scores: An evaluation.
        split: Its errors, as of :func:`error_split`, if they are known already.

    Returns:
        JSON: ``max_dets``, ``foreground_iou``, ``background_iou``; ``size_ranges``: label ->
        ``AP``, ``gap``, numbers of boxes, and ``types``: type -> ``count``, ``AP_if_fixed``,
        ``delta`` (the gain by fixing it alone) and ``share`` (parts that sum to the gap);
        ``seams``: the numbers by distance to the nearest tile seam; ``left_out``: what could not
        be told, with the reason. Fractions; -1.0 where there is nothing to measure.
    """
    split = error_split(scores) if split is None else split
    block: dict[str, Any] = {
        "max_dets": split.max_dets,
        "foreground_iou": FOREGROUND_IOU,
        "background_iou": BACKGROUND_IOU,
        "size_ranges": {label: _range_entry(split, r) for r, label in enumerate(split.size_ranges)},
        "left_out": [],
    }
    seams = _seams(scores)
    if isinstance(seams, str):
        block["left_out"].append({"row": "seams", "reason": seams})
    else:
        block["seams"] = _seam_entry(scores.inputs, split, *seams)
    return block


def ladder_block(scores: Scores) -> dict[str, Any]:
    """AP50 of tiny objects if merging, limit, localisation, classification were perfect.

    Args:
        scores: An evaluation.

    Returns:
        JSON: ``size_range`` ("tiny", or the first of a standard that has none), ``max_dets``,
        ``AP``; ``rungs``: a list of ``rung``, ``alone`` and ``cumulative`` AP; ``notes``:
        sentences; ``left_out``: rungs that could not be told, with the reason. Fractions; -1.0
        where there is nothing to measure.
    """
    result, inputs, ranges = _at_half(scores), scores.inputs, scores.options.standard.size_ranges
    label = _LADDER_RANGE if _LADDER_RANGE in ranges else next(iter(ranges))
    ladder = climb(
        result,
        inputs.annotations,
        inputs.detections,
        size_range=label,
        bounds=ranges[label],
        removed=_removed(inputs),
    )
    reasons = {
        "merging": "needs the detections on tiles and their tile file (--tiles); "
        "the detections given are those of whole images"
    }
    return {
        "size_range": label,
        "max_dets": ladder.max_dets,
        "AP": ladder.average_precision,
        "rungs": [
            {"rung": rung, "alone": ladder.alone[rung], "cumulative": ladder.cumulative[rung]}
            for rung in ladder.alone
        ],
        "notes": _limit_notes(scores),
        "left_out": [
            {"row": rung, "reason": reasons[rung]} for rung in RUNGS if rung not in ladder.alone
        ],
    }


def _at_half(scores: Scores) -> ApResult:
    """The evaluation, or the same at IoU 0.5 where that was not asked for."""
    if FOREGROUND_IOU in scores.ap.iou_thresholds:
        return scores.ap
    return evaluate_average_precision(
        scores.inputs.annotations,
        scores.inputs.detections,
        max_dets=scores.options.max_dets,
        iou_thresholds=(FOREGROUND_IOU,),
        size_ranges=scores.options.standard.size_ranges,
        reference_bugs=scores.options.reference_bugs,
    )


def _range_entry(split: ErrorSplit, r: int) -> dict[str, Any]:
    """The errors of one size range."""
    actual = float(split.average_precision[r])
    measured = actual >= 0
    numbers = split.counts(r)
    states = np.bincount(split.target_labels[r], minlength=len(TargetLabel))
    fixed = split.fixed[r]
    counts = numbers | {"missed": int(states[TargetLabel.MISSED])}
    return {
        "AP": actual,
        "gap": 1 - actual if measured else actual,
        **_target_counts(states),
        "fp": sum(numbers.values()),
        "ignored": int((split.detection_labels[r] == DetectionLabel.IGNORED).sum()),
        "types": {
            name: {
                "count": counts[name],
                "AP_if_fixed": float(fixed[k]),
                "delta": float(fixed[k]) - actual if measured else actual,
                "share": float(split.shares[r, k]) if measured else actual,
            }
            for k, name in enumerate(ERROR_TYPES)
        },
    }


def _target_counts(states: IntArray) -> dict[str, int]:
    """Numbers of ground truth that counts, from those of each TargetLabel."""
    found, explained, missed = (
        int(states[label])
        for label in (TargetLabel.FOUND, TargetLabel.EXPLAINED, TargetLabel.MISSED)
    )
    return {
        "npos": found + explained + missed,
        "found": found,
        "explained": explained,
        "missed": missed,
    }


def _seams(scores: Scores) -> tuple[str, Mapping[int, FloatArray]] | str:
    """Where the seams come from and those of each image id, or why nobody knows."""
    inputs, entries = scores.inputs, scores.protocol.entries
    if inputs.tiles is not None:
        return "tiles", seams_of_tile_file(inputs.tiles)
    values = entries.get("tile_size"), entries.get("tile_overlap")
    if NONE in values:
        return "the protocol says that the test was not on tiles"
    size, overlap = map(_pair, values)
    if size is None or overlap is None:
        return (
            "needs the tile file (--tiles), or a protocol (--protocol) with tile_size and "
            "tile_overlap"
        )
    scale = entries.get("test_scale")
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not scale > 0:
        return (
            "needs a protocol that says test_scale as a number, since tiles are cut from the "
            f"scaled image; received {scale!r}"
        )
    return "protocol", grid_seams(inputs.annotations, size, overlap, scale=float(scale))


def _pair(value: Any) -> tuple[int, int] | None:  # noqa: ANN401 - JSON is any value
    """Two whole numbers from a protocol; None if the value is something else."""
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value):
        return value[0], value[1]
    return None


def _seam_entry(
    inputs: ScoringInputs, split: ErrorSplit, source: str, seams: Mapping[int, FloatArray]
) -> dict[str, Any]:
    """The numbers of each size range and band of distances."""
    record = split.record
    of_image = [seams.get(image_id, np.empty((0, 4))) for image_id in record.image_ids.tolist()]
    detection_bands = _bands(inputs.detections.boxes[record.rows], record.images, of_image)
    target_bands = _bands(
        inputs.annotations.table.boxes[record.target_rows], record.target_images, of_image
    )
    entry: dict[str, Any] = {}
    for r, label in enumerate(split.size_ranges):
        entry[label] = []
        for b, band in enumerate(SEAM_BANDS):
            states = np.bincount(
                split.target_labels[r, target_bands == b], minlength=len(TargetLabel)
            )
            entry[label].append(
                {
                    "band": band,
                    **_target_counts(states),
                    "types": split.counts(r, detection_bands == b),
                }
            )
    return {"source": source, "size_ranges": entry}


def _bands(boxes: FloatArray, images: IntArray, seams: list[FloatArray]) -> IntArray:
    return band_indices(seam_distances(boxes, images, seams))


def _removed(inputs: ScoringInputs) -> DetectionTable | None:
    """What the merging of tiles removed."""
    if inputs.tiles is None or inputs.tile_detections is None:
        return None
    shifted = merge_tile_results(inputs.tile_detections, inputs.tiles, threshold=_NO_SUPPRESSION)
    return removed_by_merging(inputs.detections, shifted)


def _limit_notes(scores: Scores) -> list[str]:
    """What the rung of the limit cannot see: detections that the model itself has cut."""
    own = scores.protocol.entries.get("max_per_image")
    if own is None:
        return [
            "limit: is that of the evaluation; how many detections the model itself keeps per "
            "image is not known (--protocol)"
        ]
    if isinstance(own, bool) or not isinstance(own, int):
        return []
    _, counts = np.unique(scores.inputs.detections.image_ids, return_counts=True)
    full = int((counts >= own).sum())
    if not full:
        return []
    return [
        f"limit: is that of the evaluation; {full} of {len(scores.inputs.annotations.images)} "
        f"images have the {own} detections that the model itself keeps, and what it cut is not in "
        "the file"
    ]
