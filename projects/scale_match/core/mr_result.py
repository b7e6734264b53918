"""The result of a miss-rate evaluation, and the numbers that are read off it.

R size ranges, T IoU thresholds, K categories.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scale_match.core.records import FloatArray, IntArray

__all__ = ["MissRateResult"]

_NOTHING = -1.0  # nothing to measure


@dataclass(frozen=True, slots=True, eq=False)
class MissRateResult:
    """Miss rate by size range and IoU threshold.

    Values are fractions; -1.0 means that there is nothing to measure. The dictionaries that the
    methods return have keys ``<size range>_<100 IoU>``, for example ``tiny_50``, size ranges outer
    and thresholds inner.

    Attributes:
        size_ranges: Labels of the size ranges, R of them.
        iou_thresholds: T of them.
        category_ids: Ascending, (K,).
        misses: Miss rate at each of FPPI_POINTS, (R, T, K, 9); -1 for a category without ground
            truth.
        num_targets: Ground truth that counts, (R, K).
        num_outcomes: Number of false positives, true positives and ignored detections, in the
            order of their codes, (R, T, K, 3).
    """

    size_ranges: tuple[str, ...]
    iou_thresholds: tuple[float, ...]
    category_ids: IntArray
    misses: FloatArray
    num_targets: IntArray
    num_outcomes: IntArray

    def miss_rates(self) -> dict[str, float]:
        """MR: geometric mean of the miss rates at nine points and of the categories.

        Returns:
            Key -> fraction, 0.0 if the miss rate is 0 at any point, -1.0 if no category has ground
            truth that counts.
        """
        return {
            key: _geometric_mean(self.misses[r, t, self.num_targets[r] > 0])
            for key, r, t in self._keys()
        }

    def category_miss_rates(self) -> dict[int, dict[str, float]]:
        """MR of each declared category by itself.

        Returns:
            Category id -> key -> fraction, or -1.0.
        """
        return {
            int(category): {
                key: _geometric_mean(self.misses[r, t, [k] if self.num_targets[r, k] else []])
                for key, r, t in self._keys()
            }
            for k, category in enumerate(self.category_ids)
        }

    def points(self) -> dict[str, list[float] | list[list[float]]]:
        """The nine miss rates behind each MR, in the order of FPPI_POINTS.

        Returns:
            Key -> nine fractions; one such list per category, by ascending id, unless there is
            exactly one category. -1.0 where the category has no ground truth that counts.
        """
        single = len(self.category_ids) == 1
        return {
            key: self.misses[r, t, 0].tolist() if single else self.misses[r, t].tolist()
            for key, r, t in self._keys()
        }

    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of ground truth and detections behind the values, summed over categories.

        Returns:
            Key -> ``npos`` (ground truth that counts), ``tp``, ``fp`` and ``ignored``, without the
            detections that are left out for their size.
        """
        result = {}
        for key, r, t in self._keys():
            false_positives, true_positives, ignored = map(int, self.num_outcomes[r, t].sum(axis=0))
            result[key] = {
                "npos": int(self.num_targets[r].sum()),
                "tp": true_positives,
                "fp": false_positives,
                "ignored": ignored,
            }
        return result

    def _keys(self) -> Iterator[tuple[str, int, int]]:
        for r, label in enumerate(self.size_ranges):
            for t, threshold in enumerate(self.iou_thresholds):
                yield f"{label}_{round(100 * threshold)}", r, t


def _geometric_mean(misses: FloatArray) -> float:
    """Of all values; 0 if one of them is, -1 without any."""
    if not misses.size:
        return _NOTHING
    with np.errstate(divide="ignore"):  # log 0 is -inf, whose exp is 0
        return float(np.exp(np.mean(np.log(misses))))
