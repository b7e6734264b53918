"""Non-maximum suppression per class on tensors, for images with very many candidates."""

import torch
from torch import Tensor
from torchvision.ops import nms

__all__ = ["best_unsuppressed"]

# Candidates looked at first, in units of the limit; see best_unsuppressed.
_FIRST_SHARE = 8


def best_unsuppressed(
    boxes: Tensor, scores: Tensor, classes: Tensor, *, threshold: float, limit: int
) -> Tensor:
    """Chooses the best boxes of which no two of a class overlap by more than a threshold.

    Greedy in the order of score, then index; a box is suppressed by a chosen one of its class at
    IoU > threshold (continuous coordinates, no "+1"). Whether a box is chosen depends on better
    ones only, so that it suffices to look at as many of the best as give `limit` chosen ones; an
    image of many tiles can have 10^5 candidates, whose pairs would not fit into memory.

    Args:
        boxes: XYXY_ABS, (N, 4).
        scores: (N,).
        classes: (N,).
        threshold: IoU above which the worse box goes.
        limit: Most boxes to choose.

    Returns:
        Indices of the chosen boxes, best first, at most `limit`.
    """
    order = scores.argsort(descending=True, stable=True)
    looked_at = min(len(order), _FIRST_SHARE * limit)
    while True:
        chosen = _unsuppressed(boxes, scores, classes, order[:looked_at], threshold)
        if len(chosen) >= limit or looked_at == len(order):
            return chosen[:limit]
        looked_at = min(len(order), 2 * looked_at)


def _unsuppressed(
    boxes: Tensor, scores: Tensor, classes: Tensor, candidates: Tensor, threshold: float
) -> Tensor:
    """The candidates (indices, best first) that survive, in the same order.

    A class at a time: the usual trick of moving classes apart rounds the boxes of a tiny object.
    """
    boxes, scores, classes = boxes[candidates].float(), scores[candidates], classes[candidates]
    survives = torch.zeros(len(candidates), dtype=torch.bool, device=boxes.device)
    for each in set(classes.tolist()):
        members = (classes == each).nonzero()[:, 0]
        survives[members[nms(boxes[members], scores[members].float(), threshold)]] = True
    return candidates[survives]
