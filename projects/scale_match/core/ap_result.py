"""The result of an evaluation, and the numbers that are read off it.

D limits (maxDets), R size ranges, T IoU thresholds, K categories, M detections, G ground truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.ap_outcomes import OutcomeArray
from scale_match.core.errors import InputError
from scale_match.core.records import BoolArray, FloatArray, IntArray

__all__ = ["ApResult", "MatchRecord", "block_name", "scores_dict"]

_NOTHING = -1.0  # nothing to measure


@dataclass(frozen=True, slots=True, eq=False)
class MatchRecord:
    """What happened to every detection and every ground truth; enough to resample images.

    Detections stand in curve order: by category, then descending score, equal scores by image id
    and then in file order.

    Attributes:
        image_ids: All images, ascending, (I,).
        rows: Row of each detection in the table that was evaluated, (M,).
        images: Index into ``image_ids``, (M,).
        ranks: Place in its image and category, from 0; a limit n keeps ranks below n, (M,).
        scores: (M,).
        starts: First detection of each category, and M at the end, (K + 1,).
        outcomes: FALSE_POSITIVE, TRUE_POSITIVE or IGNORED, (R, T, M).
        target_rows: Row of each ground truth in the annotation table, (G,).
        target_images: Index into ``image_ids``, (G,).
        target_categories: Index into the result's category ids, (G,).
        counted: Ground truth that counts in a size range, (R, G).
        found_by: Index into M of the true positive of a ground truth, -1 if there is none,
            (R, T, G).
    """

    image_ids: IntArray
    rows: IntArray
    images: IntArray
    ranks: IntArray
    scores: FloatArray
    starts: IntArray
    outcomes: OutcomeArray
    target_rows: IntArray
    target_images: IntArray
    target_categories: IntArray
    counted: BoolArray
    found_by: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class ApResult:
    """Average precision and recall by size range and IoU threshold.

    Values are fractions; -1.0 means that there is nothing to measure. The dictionaries that the
    methods return have keys ``<size range>_<100 IoU>``, for example ``tiny_50``, thresholds outer
    and size ranges inner.

    Attributes:
        max_dets: Limits of detections per image and category, as given, D of them.
        size_ranges: Labels of the size ranges, R of them.
        iou_thresholds: T of them.
        category_ids: Ascending, (K,).
        precision: Interpolated precision at recall 0, 0.01, ..., 1, (D, R, T, K, 101); -1 for a
            category without ground truth.
        recall: Recall of all detections, (D, R, T, K); -1 likewise.
        num_targets: Ground truth that counts, (R, K).
        num_outcomes: Number of false positives, true positives and ignored detections, in the
            order of their codes, (D, R, T, K, 3).
        record: The outcomes one by one.
    """

    max_dets: tuple[int, ...]
    size_ranges: tuple[str, ...]
    iou_thresholds: tuple[float, ...]
    category_ids: IntArray
    precision: FloatArray
    recall: FloatArray
    num_targets: IntArray
    num_outcomes: IntArray
    record: MatchRecord

    def keys(self) -> list[str]:
        """All keys, thresholds outer and size ranges inner."""
        return list(self._places())

    def place(self, key: str) -> tuple[int, int]:
        """The size range and the IoU threshold that a key stands for.

        Args:
            key: For example ``tiny_50``.

        Returns:
            Index into ``size_ranges``, index into ``iou_thresholds``.

        Raises:
            InputError: If it was not evaluated.
        """
        places = self._places()
        if key not in places:
            raise InputError(f"{key} was not evaluated, only {list(places)}")
        return places[key]

    def average_precision(self, max_dets: int | None = None) -> dict[str, float]:
        """AP: mean over 101 recall levels and the categories that have ground truth.

        Args:
            max_dets: One of the limits; the first by default.

        Returns:
            Key -> fraction, -1.0 if no category has ground truth that counts.

        Raises:
            InputError: If the limit was not evaluated.
        """
        return self._means(self.precision[self._limit(max_dets)])

    def average_recall(self, max_dets: int | None = None) -> dict[str, float]:
        """AR: the recall of all detections at one IoU, mean over the same categories.

        Args:
            max_dets: One of the limits; the first by default.

        Returns:
            Key -> fraction, -1.0 if no category has ground truth that counts.

        Raises:
            InputError: If the limit was not evaluated.
        """
        return self._means(self.recall[self._limit(max_dets)][..., np.newaxis])

    def category_average_precision(
        self, max_dets: int | None = None
    ) -> dict[int, dict[str, float]]:
        """AP of each declared category by itself.

        Args:
            max_dets: One of the limits; the first by default.

        Returns:
            Category id -> key -> fraction, or -1.0.

        Raises:
            InputError: If the limit was not evaluated.
        """
        precision = self.precision[self._limit(max_dets)]  # (R, T, K, 101)
        return {
            int(category): self._means(precision[:, :, [k]])
            for k, category in enumerate(self.category_ids)
        }

    def counts(self, max_dets: int | None = None) -> dict[str, dict[str, int]]:
        """Numbers of ground truth and detections behind the values, summed over categories.

        Args:
            max_dets: One of the limits; the first by default.

        Returns:
            Key -> ``npos`` (ground truth that counts), ``tp``, ``fp`` and ``ignored``.

        Raises:
            InputError: If the limit was not evaluated.
        """
        outcomes = self.num_outcomes[self._limit(max_dets)].sum(axis=2)  # (R, T, 3)
        targets = self.num_targets.sum(axis=1)  # (R,)
        result = {}
        for key, (r, t) in self._places().items():
            false_positives, true_positives, ignored = map(int, outcomes[r, t])
            result[key] = {
                "npos": int(targets[r]),
                "tp": true_positives,
                "fp": false_positives,
                "ignored": ignored,
            }
        return result

    def curve(self, key: str, max_dets: int | None = None) -> FloatArray:
        """Interpolated precision at the 101 recall levels, mean over categories, for plots.

        Args:
            key: One of the keys, for example ``tiny_50``.
            max_dets: One of the limits; the first by default.

        Returns:
            (101,); all -1 if there is nothing to measure.

        Raises:
            InputError: If there is no such key or limit.
        """
        r, t = self.place(key)
        precision = self.precision[self._limit(max_dets), r, t, self.num_targets[r] > 0]
        if not len(precision):
            return np.full(precision.shape[-1], _NOTHING)
        mean: FloatArray = precision.mean(axis=0)
        return mean

    def _places(self) -> dict[str, tuple[int, int]]:
        return {
            f"{label}_{round(100 * threshold)}": (r, t)
            for t, threshold in enumerate(self.iou_thresholds)
            for r, label in enumerate(self.size_ranges)
        }

    def _limit(self, max_dets: int | None) -> int:
        if max_dets is None:
            return 0
        if max_dets not in self.max_dets:
            raise InputError(f"maxDets {max_dets} was not evaluated, only {list(self.max_dets)}")
        return self.max_dets.index(max_dets)

    def _means(self, values: FloatArray) -> dict[str, float]:
        """Mean over the last two axes of (R, T, K, n), without categories marked -1."""
        result = {}
        for key, (r, t) in self._places().items():
            measured = values[r, t][values[r, t, :, 0] >= 0]  # (K', n)
            result[key] = float(measured.mean()) if len(measured) else _NOTHING
        return result


def block_name(kind: str, limit: int, limits: Sequence[int]) -> str:
    """The key of a scores file under which the values of a limit of detections stand.

    Args:
        kind: For example "AP".
        limit: One of the limits.
        limits: All that were evaluated, as given: the first has no suffix.

    Example:
        >>> [block_name("AP", limit, (200, 1000)) for limit in (200, 1000)]
        ['AP', 'AP_maxDets1000']
    """
    return kind if limit == limits[0] else f"{kind}_maxDets{limit}"


def scores_dict(result: ApResult, *, per_category: bool = False) -> dict[str, object]:
    """All values under the keys that the authors' results are kept with.

    Args:
        result: An evaluation.
        per_category: Add ``AP_per_category``.

    Returns:
        ``AP``, ``AR`` and ``AP_counts`` for the first limit, ``AP_maxDets<N>``,
        ``AR_maxDets<N>`` and ``AP_counts_maxDets<N>`` for each further one, in the form of the
        ``expected.json`` files of the oracle.
    """
    scores: dict[str, object] = {}
    for limit in result.max_dets:
        blocks: dict[str, Mapping[str, object]] = {
            "AP": result.average_precision(limit),
            "AR": result.average_recall(limit),
            "AP_counts": result.counts(limit),
        }
        if per_category:
            blocks["AP_per_category"] = {
                str(category): values
                for category, values in result.category_average_precision(limit).items()
            }
        for kind, block in blocks.items():
            scores[block_name(kind, limit, result.max_dets)] = block
    return scores
