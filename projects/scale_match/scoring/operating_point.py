"""The score at which a detector would be used: where F1 is greatest.

A precision-recall curve takes in every detection, down to the least score. Whoever looks at boxes
wants to see those that a user would: pictures, size histograms and tables of images are made of the
detections from this score on.
"""

from dataclasses import dataclass

import numpy as np

from scale_match.core.ap_outcomes import FALSE_POSITIVE, TRUE_POSITIVE
from scale_match.core.ap_result import ApResult

__all__ = ["OperatingPoint", "find_operating_point"]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A least score, and what the detections from it on achieve together.

    Attributes:
        score: Detections with at least this score take part; 0.0 if there is no detection.
        precision: Fraction of those that are true positives, ignored ones apart; -1.0 if there is
            none.
        recall: Fraction of the ground truth that they find; -1.0 if there is none.
    """

    score: float
    precision: float
    recall: float


def find_operating_point(result: ApResult, key: str, max_dets: int) -> OperatingPoint:
    """The least score with the greatest F1, the harmonic mean of precision and recall.

    All categories are counted together. F1 is 2 TP / (TP + FP + number of ground truths). Among
    scores with the same F1 the lowest is taken, so that more is shown.

    Args:
        result: An evaluation.
        key: Size range and IoU, for example ``tiny_50``.
        max_dets: Detections of an image and category that take part.

    Returns:
        The operating point.

    Raises:
        InputError: If the key was not evaluated.
    """
    r, t = result.place(key)
    record = result.record
    taking_part = record.ranks < max_dets
    scores = record.scores[taking_part]
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    outcomes = record.outcomes[r, t][taking_part][order]
    num_targets = int(result.num_targets[r].sum())
    if not len(scores):
        return OperatingPoint(0.0, -1.0, 0.0 if num_targets else -1.0)
    found = np.cumsum(outcomes == TRUE_POSITIVE)
    wrong = np.cumsum(outcomes == FALSE_POSITIVE)
    f1 = 2 * found / np.maximum(found + wrong + num_targets, 1)
    # Equal scores cannot be told apart by a least score: only the last of them is a choice.
    last = np.append(scores[1:] != scores[:-1], True)
    f1 = np.where(last, f1, -1.0)
    place = len(f1) - 1 - int(np.argmax(f1[::-1]))
    judged = int(found[place] + wrong[place])
    return OperatingPoint(
        score=float(scores[place]),
        precision=float(found[place]) / judged if judged else -1.0,
        recall=float(found[place]) / num_targets if num_targets else -1.0,
    )
