"""What AP would be if some types of errors did not happen.

Fixing follows TIDE (see ``error_types``). Errors of localisation and classification: the best
scored one on an unfound object finds it, in the curve of the object's category and at its own
score; the others on it, and those on objects that are found anyway, go. Both, duplicate,
background: they go. Missed: the objects no longer count.

So with every further type that is fixed, each object is found at the same or a better score, and
false positives and missed objects only become fewer: AP never falls. With all six it is 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial

import numpy as np
import numpy.typing as npt

from scale_match.core.precision_curve import average_over_categories, interpolated_precision
from scale_match.core.records import BoolArray, FloatArray, IntArray

__all__ = ["ERROR_TYPES", "RangeErrors", "fixed_values", "shares"]

ERROR_TYPES = ("classification", "localisation", "both", "duplicate", "background", "missed")

_REPAIRED = 2  # the first two types put detections right, the others up to _DETECTED remove them
_DETECTED = 5  # types that detections have
_MISSED = 5


@dataclass(frozen=True, slots=True, eq=False)
class RangeErrors:
    """The errors of one size range: M detections, G ground-truth boxes.

    Attributes:
        places: Place of each detection in the curves, 0 the best, (M,).
        categories: (M,).
        labels: Index of the error type; 5 and above is no error, (M,).
        partners: Ground truth that the error lies on, (M,).
        target_categories: (G,).
        found_by: Detection that found a ground truth, -1 where there is none, (G,).
        counted: Ground truth that counts, (G,).
        missed: Ground truth that is neither found nor explained, (G,).
    """

    places: IntArray
    categories: IntArray
    labels: npt.NDArray[np.integer]
    partners: npt.NDArray[np.integer]
    target_categories: IntArray
    found_by: npt.NDArray[np.integer]
    counted: BoolArray
    missed: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class _CategoryErrors:
    """One category.

    Attributes:
        hits: Place of the true positive of each found ground truth, (n,).
        repairs: Best place of a classification (first row) and a localisation error on each
            unfound ground truth; a place after the last where there is none, (2, u).
        end: That place.
        false: Places of the false positives of each of the five types, ascending.
        num_targets: Ground truth that counts.
        num_missed: Ground truth that is missed.
    """

    hits: IntArray
    repairs: IntArray
    end: int
    false: tuple[IntArray, ...]
    num_targets: int
    num_missed: int

    def curves(self) -> Iterator[FloatArray]:
        """Interpolated precision for every choice of types, in the order of `fixed_values`."""
        # What stands before the hits depends on the repaired types alone.
        before = [self._false_before_hits(repaired) for repaired in range(1 << _REPAIRED)]
        for choice in range(1 << len(ERROR_TYPES)):
            num_targets = self.num_targets - (choice >> _MISSED) * self.num_missed
            stays = [k for k in range(_DETECTED) if not choice >> k & 1]
            if num_targets:
                counts = before[choice % (1 << _REPAIRED)][stays].sum(axis=0)
                yield interpolated_precision(counts, num_targets)
            else:  # all were missed: nothing remains to be found
                yield interpolated_precision(np.zeros(1, dtype=np.int64), 1)

    def _false_before_hits(self, repaired: int) -> IntArray:
        """False positives of each type before each hit, if some types are repaired, (5, n)."""
        rows = [k for k in range(_REPAIRED) if repaired >> k & 1]
        extra = self.repairs[rows].min(axis=0, initial=self.end)
        hits = np.sort(np.concatenate([self.hits, extra[extra < self.end]]))
        return np.stack([np.searchsorted(places, hits) for places in self.false])


def fixed_values(errors: RangeErrors) -> FloatArray:
    """AP for every choice of types to fix.

    Args:
        errors: Those of one size range.

    Returns:
        AP by the sum of 2 to the power of the index of each fixed type, so that [0] is the
        actual value and [63] that with all fixed; -1.0 if nothing counts, (64,).
    """
    curves = zip(*(each.curves() for each in _by_category(errors)), strict=True)
    values = [average_over_categories(each) for each in curves]
    return np.array(values) if values else np.full(1 << len(ERROR_TYPES), -1.0)


def shares(values: FloatArray) -> FloatArray:
    """Split the gain of fixing everything among the types.

    What fixing a type gains depends on what else is fixed. The share is its mean over all orders
    in which the types may be fixed one after the other (Shapley 1953), the one division in which
    a type's part depends on its gains alone and the parts sum to the whole.

    Args:
        values: As of :func:`fixed_values`, (64,).

    Returns:
        One for each type; the sum is ``values[-1] - values[0]``, (6,).
    """
    count = len(ERROR_TYPES)
    choices = np.arange(len(values))
    sizes = np.array([choice.bit_count() for choice in range(len(values))])
    result = np.zeros(count)
    for k in range(count):
        without = choices[choices >> k & 1 == 0]
        orders = [factorial(int(s)) * factorial(count - 1 - int(s)) for s in sizes[without]]
        gains = values[without | 1 << k] - values[without]
        result[k] = np.dot(orders, gains) / factorial(count)
    return result


def _by_category(errors: RangeErrors) -> list[_CategoryErrors]:
    """The categories that have ground truth that counts."""
    end = len(errors.places)
    repairs = np.full((_REPAIRED, len(errors.counted)), end)
    for k in range(_REPAIRED):
        rows = np.flatnonzero(errors.labels == k)
        np.minimum.at(repairs[k], errors.partners[rows], errors.places[rows])
    found = errors.found_by >= 0
    result = []
    for category in np.unique(errors.target_categories[errors.counted]):
        targets = errors.counted & (errors.target_categories == category)
        own = errors.categories == category
        result.append(
            _CategoryErrors(
                hits=errors.places[errors.found_by[targets & found]],
                repairs=repairs[:, targets & ~found],
                end=end,
                false=tuple(
                    np.sort(errors.places[own & (errors.labels == k)]) for k in range(_DETECTED)
                ),
                num_targets=int(targets.sum()),
                num_missed=int((targets & errors.missed).sum()),
            )
        )
    return result
