"""Anchors and proposals in regions that are not annotated one by one, such as a crowd.

In ground truth, class -1 is such a region.
"""

import torch
from detectron2.structures import Boxes, Instances, pairwise_ioa
from torch import Tensor

from scale_match.core.errors import InputError
from scale_match.modeling.anchor_grid import AnchorGrid

__all__ = ["anchors_inside", "boxes_inside", "checked_overlap", "split_regions"]


def checked_overlap(share: float) -> float:
    """The share of a background anchor from which on it counts as inside a region.

    Raises:
        InputError: It is not in [0, 1).
    """
    if not 0.0 <= share < 1.0:
        raise InputError(
            "ignore_overlap (SCALE_MATCH.MODEL.IGNORE_OVERLAP) must be at least 0 and less than 1, "
            f"got {share!r}"
        )
    return share


def split_regions(instances: Instances) -> tuple[Instances, Boxes]:
    """Takes the ground truth of an image apart.

    Args:
        instances: With ``gt_boxes`` and ``gt_classes``.

    Returns:
        The objects, and the boxes of the regions to ignore.
    """
    is_object = instances.gt_classes >= 0
    return instances[is_object], instances[~is_object].gt_boxes


def anchors_inside(grid: AnchorGrid, regions: Boxes, least_overlap: float = 0.5) -> Tensor:
    """Which anchors lie in a region, by the intersection over the area of the anchor.

    Not by the IoU: an anchor of a person is small in a region of hundreds. The regions count one
    by one; what two of them cover of an anchor is not added up. mmdetection's ``ignore_iof_thr``
    is this rule.

    Args:
        grid: The anchors, R in all.
        regions: XYXY_ABS, M of them.
        least_overlap: The share of an anchor's area that must be exceeded, in [0, 1).

    Returns:
        (R,) booleans.
    """
    inside = torch.zeros(len(grid), dtype=torch.bool, device=grid.anchors.device)
    for pairs in grid.met_by(regions.tensor):
        anchors = grid.anchors.index_select(0, pairs.anchors)
        theirs = regions.tensor.index_select(0, pairs.boxes)
        sides = torch.min(anchors[:, 2:], theirs[:, 2:]) - torch.max(anchors[:, :2], theirs[:, :2])
        shares = sides.clamp(min=0).prod(dim=1) / Boxes(anchors).area()
        inside[pairs.anchors[shares > least_overlap]] = True
    return inside


def boxes_inside(boxes: Boxes, regions: Boxes, least_overlap: float = 0.5) -> Tensor:
    """Which boxes lie in a region, by the rule of `anchors_inside`.

    Args:
        boxes: XYXY_ABS, N of them.
        regions: XYXY_ABS, M of them.
        least_overlap: The share of a box' area that must be exceeded, in [0, 1).

    Returns:
        (N,) booleans.
    """
    shares: Tensor = pairwise_ioa(regions, boxes)  # (M, N)
    return (shares > least_overlap).any(dim=0)
