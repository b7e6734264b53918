"""How sure an average precision is: its values on resamples of the images.

Nothing is matched again: an image is matched by itself, so a :class:`MatchRecord` and the number of
times that a resample holds each image are all that is needed. Values are exactly those that
``evaluate_average_precision`` gives for a data set in which the images really are repeated (with
the order of copies that ``weighted_curve`` states).

A resample may hold no ground truth that counts in a size range; its value is NaN, and intervals
leave it out and say how many there were. With several categories each resample has its mean over
those that it has ground truth of, as :class:`ApResult` has.

I images, B resamples, K categories.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scale_match.core.ap_outcomes import TRUE_POSITIVE
from scale_match.core.ap_result import ApResult, MatchRecord
from scale_match.core.errors import InputError
from scale_match.core.precision_curve import RECALL_LEVELS
from scale_match.core.records import FloatArray, IntArray
from scale_match.core.resampling import LARGEST_WEIGHT, WeightArray, image_weights
from scale_match.core.weighted_curve import (
    WeightTable,
    find_steps,
    interpolated_precision,
)

__all__ = [
    "bootstrap_average_precision",
    "bootstrap_average_recall",
    "weighted_average_precision",
    "weighted_average_recall",
]

_Progress = Callable[[Sequence[str]], Iterable[str]]


def bootstrap_average_precision(
    result: ApResult,
    *,
    resamples: int,
    seed: int,
    keys: Sequence[str] | None = None,
    max_dets: int | None = None,
    progress: _Progress = iter,
) -> dict[str, FloatArray]:
    """AP on resamples of the images.

    Args:
        result: An evaluation.
        resamples: How many, B.
        seed: Results over equally many images get the same resamples for the same seed.
        keys: Such as ``tiny_50``; all by default.
        max_dets: One of the limits; the first by default.
        progress: Wraps the keys, to show how far it is.

    Returns:
        Key -> AP in each resample, NaN without ground truth that counts, (B,).

    Raises:
        InputError: If a key or the limit was not evaluated, there is no resample, or the seed is
            negative.
    """
    weights = image_weights(len(result.record.image_ids), resamples=resamples, seed=seed)
    return weighted_average_precision(
        result, weights, keys=keys, max_dets=max_dets, progress=progress
    )


def bootstrap_average_recall(
    result: ApResult,
    *,
    resamples: int,
    seed: int,
    keys: Sequence[str] | None = None,
    max_dets: int | None = None,
) -> dict[str, FloatArray]:
    """AR on the resamples of :func:`bootstrap_average_precision`.

    Args:
        result: As there.
        resamples: As there.
        seed: As there.
        keys: As there.
        max_dets: As there.

    Returns:
        Key -> AR in each resample, NaN without ground truth that counts, (B,).

    Raises:
        InputError: As there.
    """
    weights = image_weights(len(result.record.image_ids), resamples=resamples, seed=seed)
    return weighted_average_recall(result, weights, keys=keys, max_dets=max_dets)


def weighted_average_precision(
    result: ApResult,
    weights: npt.NDArray[Any],
    *,
    keys: Sequence[str] | None = None,
    max_dets: int | None = None,
    progress: _Progress = iter,
) -> dict[str, FloatArray]:
    """AP of data sets that hold each image a given number of times.

    Args:
        result: An evaluation.
        weights: Whole numbers, (I, B), images in the order of ``result.record.image_ids``.
        keys: Such as ``tiny_50``; all by default.
        max_dets: One of the limits; the first by default.
        progress: Wraps the keys, to show how far it is.

    Returns:
        Key -> AP in each of the B data sets, NaN without ground truth that counts, (B,).

    Raises:
        InputError: If a key or the limit was not evaluated, or the weights are not whole numbers
            from 0 to 127 for each image.
    """
    weights = _checked(weights, result)
    places = _places(result, keys)
    limit = _limit(result, max_dets)
    table = WeightTable.of(weights, with_copies=_has_ties(result.record))
    return {
        key: _average_precision(result, table, places[key], limit) for key in progress(list(places))
    }


def weighted_average_recall(
    result: ApResult,
    weights: npt.NDArray[Any],
    *,
    keys: Sequence[str] | None = None,
    max_dets: int | None = None,
) -> dict[str, FloatArray]:
    """AR of data sets that hold each image a given number of times.

    Args:
        result: As for :func:`weighted_average_precision`.
        weights: As there.
        keys: As there.
        max_dets: As there.

    Returns:
        Key -> AR in each of the B data sets, NaN without ground truth that counts, (B,).

    Raises:
        InputError: As there.
    """
    weights = _checked(weights, result).astype(np.float64)  # whole numbers stay exact
    record, limit = result.record, _limit(result, max_dets)
    samples = {}
    for key, (r, t) in _places(result, keys).items():
        recall = []
        num_targets = _num_targets(result, weights, r)
        for k, totals in enumerate(num_targets):
            part = slice(record.starts[k], record.starts[k + 1])
            hit = record.outcomes[r, t, part] == TRUE_POSITIVE
            found = record.images[part][hit & (record.ranks[part] < limit)]
            hits = np.bincount(found, minlength=len(weights)) @ weights  # (B,)
            recall.append((hits / np.maximum(totals, 1))[:, np.newaxis])
        samples[key] = _mean(recall, num_targets)
    return samples


def _average_precision(
    result: ApResult, table: WeightTable, place: tuple[int, int], limit: int
) -> FloatArray:
    """AP of one size range and threshold in each resample, (B,)."""
    record, (r, t) = result.record, place
    num_targets = _num_targets(result, table.rows[: table.num_images], r)
    precision = []
    for k, totals in enumerate(num_targets):
        if not totals.any():
            precision.append(np.zeros((len(totals), len(RECALL_LEVELS))))
            continue
        part = slice(record.starts[k], record.starts[k + 1])
        best = record.ranks[part] < limit
        steps = find_steps(
            record.images[part][best],
            record.scores[part][best],
            record.outcomes[r, t, part][best],
            table,
        )
        precision.append(interpolated_precision(steps, table, totals, RECALL_LEVELS))
    return _mean(precision, num_targets)


def _num_targets(result: ApResult, weights: npt.NDArray[Any], r: int) -> IntArray:
    """Ground truth that counts in a size range, in each category and resample, (K, B)."""
    record, num_images = result.record, len(weights)
    counted = record.counted[r]
    groups = record.target_categories[counted] * num_images + record.target_images[counted]
    per_image = np.bincount(groups, minlength=len(result.category_ids) * num_images)
    # In floating point, where a product of matrices is fast; whole numbers stay exact.
    shape = (len(result.category_ids), num_images)
    totals = per_image.reshape(shape).astype(np.float64) @ weights.astype(np.float64)
    return totals.astype(np.int64)


def _mean(values: Sequence[FloatArray], num_targets: IntArray) -> FloatArray:
    """Mean over the categories that have ground truth; NaN without any.

    Args:
        values: Of each category, (B, n).
        num_targets: (K, B).

    Returns:
        (B,).
    """
    means = np.full(num_targets.shape[1], np.nan)
    measured = num_targets.T > 0  # (B, K)
    if not measured.any():
        return means
    table = np.stack(values, axis=1)  # (B, K, n)
    # Rows of numbers, so that they are added in the order in which ApResult adds them.
    whole = measured.all(axis=1)
    means[whole] = table.reshape(len(table), table[0].size)[whole].mean(axis=1)
    for b in np.flatnonzero(~whole & measured.any(axis=1)):
        means[b] = table[b, measured[b]].mean()
    return means


def _has_ties(record: MatchRecord) -> bool:
    """Whether an image has two detections of one category and score."""
    tied = (record.images[1:] == record.images[:-1]) & (record.scores[1:] == record.scores[:-1])
    return bool(tied.any())


def _places(result: ApResult, keys: Sequence[str] | None) -> dict[str, tuple[int, int]]:
    """Key -> size range and threshold."""
    return {key: result.place(key) for key in (result.keys() if keys is None else keys)}


def _limit(result: ApResult, max_dets: int | None) -> int:
    if max_dets is None:
        return result.max_dets[0]
    if max_dets not in result.max_dets:
        raise InputError(f"maxDets {max_dets} was not evaluated, only {list(result.max_dets)}")
    return max_dets


def _checked(weights: npt.NDArray[Any], result: ApResult) -> WeightArray:
    num_images = len(result.record.image_ids)
    legal = (
        weights.ndim == 2
        and len(weights) == num_images
        and weights.dtype.kind in "iu"
        and 0 <= weights.min(initial=0) <= weights.max(initial=0) <= LARGEST_WEIGHT
    )
    if not legal:
        raise InputError(
            f"weights need whole numbers from 0 to {LARGEST_WEIGHT} for each of {num_images} "
            f"images; received {weights.dtype} of shape {weights.shape}"
        )
    return weights.astype(np.int16)
