"""The block ``bootstrap`` of a scores file: how sure each AP and AR is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scale_match.core.ap_result import block_name
from scale_match.core.bootstrap import bootstrap_average_precision, bootstrap_average_recall
from scale_match.core.records import FloatArray
from scale_match.core.resampling import LEVEL, intervals
from scale_match.scoring.scores import Scores

__all__ = ["bootstrap_block"]

_Progress = Callable[[Sequence[str]], Iterable[str]]


def bootstrap_block(
    scores: Scores, resamples: int, seed: int, *, progress: _Progress = iter
) -> dict[str, Any]:
    """Percentile intervals of every AP and AR, by resampling the images.

    The miss rate has none: its matches are not kept.

    Args:
        scores: An evaluation.
        resamples: How often as many images as there are are drawn.
        seed: Of the drawing.
        progress: Wraps the keys of each limit, to show how far it is.

    Returns:
        JSON: ``resamples``, ``seed``, ``level``, ``unit``, ``method``, and under the names and keys
        of the values themselves (``AP``, ``AR``, ``AP_maxDets<N>``, ``AR_maxDets<N>``; for example
        ``tiny_50``) ``low``, ``high``, ``standard_error``, fractions, and ``resamples_used``:
        those with ground truth to measure. None where the value is -1.

    Raises:
        InputError: There is no resample, or the seed is negative.
    """
    block: dict[str, Any] = {
        "resamples": resamples,
        "seed": seed,
        "level": LEVEL,
        "unit": "images",
        "method": "percentile",
    }
    limits = scores.ap.max_dets
    for limit in limits:
        precision = bootstrap_average_precision(
            scores.ap, resamples=resamples, seed=seed, max_dets=limit, progress=progress
        )
        recall = bootstrap_average_recall(scores.ap, resamples=resamples, seed=seed, max_dets=limit)
        block[block_name("AP", limit, limits)] = _entries(precision)
        block[block_name("AR", limit, limits)] = _entries(recall)
    return block


def _entries(samples: Mapping[str, FloatArray]) -> dict[str, dict[str, float] | None]:
    return {
        key: None
        if found is None
        else {
            "low": found.low,
            "high": found.high,
            "standard_error": found.standard_error,
            "resamples_used": found.num_used,
        }
        for key, found in intervals(samples).items()
    }
