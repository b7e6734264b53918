"""The interpolated precision-recall curve from the places of its hits.

Letters: n hits of a category, K categories.
"""

from collections.abc import Sequence

import numpy as np

from scale_match.core.records import FloatArray, IntArray

__all__ = ["RECALL_LEVELS", "average_over_categories", "interpolated_precision"]

_NOTHING = -1.0  # nothing to measure

# These doubles and no others: the 58th is 0.5700000000000001.
RECALL_LEVELS: FloatArray = np.linspace(0.0, 1.0, 101)


def interpolated_precision(false_positives: IntArray, num_targets: int) -> FloatArray:
    """Best precision at each recall level or above it, in one category.

    Only hits are looked at: recall rises there and nowhere else, and between two of them precision
    can only fall, so neither the curve's envelope nor the first point that reaches a recall is
    ever elsewhere.

    Args:
        false_positives: How many false positives stand before each hit, hits in descending order
            of their scores, (n,).
        num_targets: Ground truth that counts, at least 1.

    Returns:
        Precision at the 101 levels of ``RECALL_LEVELS``, 0 where no hit reaches the recall, (101,).

    Example:
        >>> curve = interpolated_precision(np.array([0, 1]), 4)
        >>> curve[[0, 25, 26, 50, 51]].round(3).tolist()
        [1.0, 1.0, 0.667, 0.667, 0.0]
    """
    hits = np.arange(1, len(false_positives) + 1, dtype=np.float64)
    # The authors add the spacing of doubles at 1, lest the quotient be 0 / 0.
    precision = hits / (hits + false_positives + np.spacing(1.0))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(hits / num_targets, RECALL_LEVELS, side="left")
    return np.append(envelope, 0.0)[first]


def average_over_categories(curves: Sequence[FloatArray]) -> float:
    """AP: mean over recall levels and categories.

    Args:
        curves: Of the categories that have ground truth, (101,) each.

    Returns:
        A fraction; -1.0 if there is no curve.
    """
    return float(np.stack(curves).mean()) if len(curves) else _NOTHING
