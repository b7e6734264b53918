"""Anchors in regions that are not annotated one by one, such as a crowd."""

import torch
from detectron2.structures import Boxes
from torch import Tensor

from scale_match.modeling.anchor_grid import AnchorGrid

__all__ = ["anchors_inside"]


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
