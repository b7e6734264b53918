"""What the locations of FCOS have to predict on an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.structures import Instances
from torch import Tensor

from scale_match.modeling.anchor_grid import AnchorGrid
from scale_match.modeling.fcos_assignment import assign_objects
from scale_match.modeling.fcos_locations import LocationGrid
from scale_match.modeling.ignored_regions import anchors_inside

__all__ = ["LocationTargets", "label_locations"]


@dataclass(frozen=True, slots=True, eq=False)
class LocationTargets:
    """The targets of one image; R locations over all levels, P of them positive.

    Attributes:
        labels: Class, K background, -1 without loss, (R,) int64.
        positives: Indices of the positive locations, ascending, (P,).
        distances: Of each positive location to the left, upper, right and lower side of its box,
            in strides of its level, (P, 4). A location outside of its box (see `assign_objects`)
            has negative ones, and the two of an axis together still give the box' length.
        centerness: Of each positive location, in [0, 1], (P,).
    """

    labels: Tensor
    positives: Tensor
    distances: Tensor
    centerness: Tensor


@torch.no_grad()
def label_locations(
    grid: LocationGrid,
    instances: Instances,
    *,
    num_classes: int,
    size_ranges: Sequence[tuple[float, float]],
    radius: float,
    ignore_overlap: float,
) -> LocationTargets:
    """Finds the targets of an image.

    The centerness of a location that was given to an object by rule 2 of `assign_objects` is 1:
    it is the best, and mostly the only one, that the object has. By its distances it would be 0
    outside of the box, so that the box would have no loss, and the detection no score.

    Args:
        grid: The locations, R in all.
        instances: With ``gt_boxes`` and ``gt_classes``; class -1 is a region to ignore.
        num_classes: K.
        size_ranges: See `assign_objects`.
        radius: See `assign_objects`.
        ignore_overlap: Background locations have no loss if a region covers more than this share
            of their cell.
    """
    is_object = instances.gt_classes >= 0
    objects, regions = instances[is_object], instances[~is_object].gt_boxes
    boxes = objects.gt_boxes.tensor
    owners, forced = assign_objects(grid, boxes, size_ranges=size_ranges, radius=radius)
    background = objects.gt_classes.new_tensor([num_classes])
    labels = torch.cat([objects.gt_classes, background])[owners]
    if len(regions):
        cells = AnchorGrid(grid.level_cells(), [1] * len(grid.shapes))
        inside = anchors_inside(cells, regions, ignore_overlap)
        labels.masked_fill_(inside & (labels == num_classes), -1)
    positives = (owners < len(boxes)).nonzero()[:, 0]
    centers = torch.cat(grid.level_centers())[positives]
    target = boxes[owners[positives]]
    distances = torch.cat([centers - target[:, :2], target[:, 2:] - centers], dim=1)
    distances = distances / grid.location_strides()[positives, None]
    return LocationTargets(
        labels=labels,
        positives=positives,
        distances=distances,
        centerness=_centerness(distances).masked_fill(forced[positives], 1.0),
    )


def _centerness(distances: Tensor) -> Tensor:
    """How far in the middle of its box a location lies (FCOS paper, equation 3).

    Args:
        distances: To the left, upper, right and lower side, (P, 4).

    Returns:
        1 in the centre, 0 on a side and outside, (P,).
    """
    pairs = distances.clamp(min=0).reshape(-1, 2, 2)  # left, upper; right, lower
    return (pairs.amin(dim=1) / pairs.amax(dim=1)).prod(dim=1).sqrt()
