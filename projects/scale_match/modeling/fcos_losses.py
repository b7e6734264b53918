"""The losses of FCOS.

N images, R locations over all levels, K classes, P positive locations of the batch.
"""

from collections.abc import Sequence

import torch
from fvcore.nn import sigmoid_focal_loss
from torch import Tensor
from torch.nn import functional

from scale_match.modeling.fcos_head import LocationPredictions
from scale_match.modeling.fcos_targets import LocationTargets
from scale_match.modeling.process_means import at_least_one, mean_over_processes

__all__ = ["fcos_losses", "giou_loss"]

_EPSILON = 1e-7
# Least sum of the centerness targets of a batch, as in mmdetection.
_LEAST_CENTERNESS = 1e-6


def fcos_losses(
    targets: Sequence[LocationTargets],
    predictions: LocationPredictions,
    *,
    focal_alpha: float,
    focal_gamma: float,
) -> tuple[dict[str, Tensor], Tensor]:
    """Losses of a batch, as in mmdetection's FCOSHead.

    Args:
        targets: Per image.
        predictions: Of the head.
        focal_alpha: Weight of positive locations in the focal loss.
        focal_gamma: Its exponent.

    Returns:
        ``loss_cls``, ``loss_box_reg`` and ``loss_ctrness``, scalars; without a positive location
        the latter two are 0, with a gradient of 0. And the positive locations, averaged over the
        processes: the first and the last are divided by :func:`at_least_one` of it (in mmdetection
        by at least 1 a process, so that losses of few positives depend on how many there are).
    """
    labels = torch.cat([each.labels for each in targets])  # (N * R,)
    per_image = len(targets[0].labels)
    positives = torch.cat([each.positives + i * per_image for i, each in enumerate(targets)])
    wanted = torch.cat([each.distances for each in targets])  # (P, 4)
    middle = torch.cat([each.centerness for each in targets])  # (P,)
    logits = torch.cat(list(predictions.logits), dim=1).flatten(0, 1)  # (N * R, K)
    distances = torch.cat(list(predictions.distances), dim=1).flatten(0, 1)  # (N * R, 4)
    centerness = torch.cat(list(predictions.centerness), dim=1).flatten()  # (N * R,)

    num_positives = mean_over_processes(labels.new_tensor(len(positives)))
    divisor = at_least_one(num_positives)
    sum_middle = mean_over_processes(middle.sum()).clamp(min=_LEAST_CENTERNESS)
    counted = labels >= 0
    one_hot = functional.one_hot(labels[counted], logits.shape[1] + 1)[:, :-1]
    loss_cls = sigmoid_focal_loss(
        logits[counted],
        one_hot.to(logits.dtype),
        alpha=focal_alpha,
        gamma=focal_gamma,
        reduction="sum",
    )
    loss_box = (giou_loss(distances[positives], wanted) * middle).sum()
    loss_middle = functional.binary_cross_entropy_with_logits(
        centerness[positives], middle, reduction="sum"
    )
    losses = {
        "loss_cls": loss_cls / divisor.to(loss_cls.dtype),
        "loss_box_reg": loss_box / sum_middle.to(loss_box.dtype),
        "loss_ctrness": loss_middle / divisor.to(loss_middle.dtype),
    }
    return losses, num_positives


def giou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - GIoU of boxes that are given by distances from a common point (arXiv 1902.09630).

    Without the point no digit is lost to its coordinates. A predicted box whose sides have changed
    places, which only negative distances can do, has no area; its loss grows with the length by
    which they have, since from an empty box inside of the target GIoU alone leads nowhere.

    Args:
        predicted: To the left, upper, right and lower side, (P, 4).
        target: The same of boxes with an area.

    Returns:
        In [0, 2] for boxes in order, (P,).
    """
    lengths = predicted[:, :2] + predicted[:, 2:]  # (P, 2)
    nearer, farther = torch.minimum(predicted, target), torch.maximum(predicted, target)
    common = (nearer[:, :2] + nearer[:, 2:]).clamp(min=0).prod(dim=1)
    areas = lengths.clamp(min=0).prod(dim=1) + (target[:, :2] + target[:, 2:]).prod(dim=1)
    union = areas - common
    hull = (farther[:, :2] + farther[:, 2:]).prod(dim=1)
    giou = common / (union + _EPSILON) - (hull - union) / (hull + _EPSILON)
    return 1 - giou + lengths.clamp(max=0).sum(dim=1).abs()
