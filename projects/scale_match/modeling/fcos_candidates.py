"""What FCOS proposes on an image before any suppression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scale_match.modeling.fcos_head import LocationPredictions
from scale_match.modeling.fcos_locations import LocationGrid

__all__ = ["LocationCandidates", "location_candidates"]


@dataclass(frozen=True, slots=True, eq=False)
class LocationCandidates:
    """The candidates of one image, level by level, in a level best first; M in all.

    The columns of ``scale_match.inference.raw_candidates.RawCandidates``, whose package lies beside
    this one.

    Attributes:
        boxes: XYXY in pixels of the input, not clipped, (M, 4).
        scores: Class score times centerness, (M,).
        filter_scores: Class score, which the score threshold is for, (M,).
        classes: Class indices from 0, (M,).
        levels: Index of the feature level, (M,).
        ranks: Place in the level by score, from 0, (M,).
    """

    boxes: Tensor
    scores: Tensor
    filter_scores: Tensor
    classes: Tensor
    levels: Tensor
    ranks: Tensor


def location_candidates(
    predictions: LocationPredictions, grid: LocationGrid, *, limit: int, score_threshold: float
) -> list[LocationCandidates]:
    """Chooses the candidates of each image.

    As the authors' framework does (mmdetection 2: FCOSHead and multiclass_nms): the best of a level
    are those of the greatest class score times centerness, and of these the ones stay whose class
    score alone is greater than the threshold. A detection's score is the product, which may be
    less than the threshold. Of equal products the first location comes first. Boxes without an area
    are left out.

    Args:
        predictions: Of the head, for N images.
        grid: The locations.
        limit: Pairs of a location and a class per level.
        score_threshold: Exclusive.

    Returns:
        N of them.
    """
    outputs = predictions.logits, predictions.distances, predictions.centerness
    levels = list(zip(*outputs, grid.level_centers(), grid.strides, strict=True))
    found = []
    for image in range(len(predictions.logits[0])):
        parts = []
        for level, (logits, distances, centerness, centers, stride) in enumerate(levels):
            best = _Best.of(logits[image], centerness[image], limit)
            sides = distances[image][best.owners] * stride
            at = centers[best.owners]
            boxes = torch.cat([at - sides[:, :2], at + sides[:, 2:]], dim=1)
            has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
            ranks = (has_area & (best.class_scores > score_threshold)).nonzero()[:, 0]
            parts.append(
                LocationCandidates(
                    boxes=boxes[ranks],
                    scores=best.scores[ranks],
                    filter_scores=best.class_scores[ranks],
                    classes=best.classes[ranks],
                    levels=torch.full_like(ranks, level),
                    ranks=ranks,
                )
            )
        found.append(_joined(parts))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best pairs of a location and a class of one level, best first, (M,) each."""

    owners: Tensor
    classes: Tensor
    scores: Tensor
    class_scores: Tensor

    @classmethod
    def of(cls, logits: Tensor, centerness: Tensor, limit: int) -> Self:
        """From logits of the classes (R, K) and of the centerness (R, 1)."""
        class_scores = logits.sigmoid()
        scores = (class_scores * centerness.sigmoid()).flatten()  # (R * K,)
        places = scores.argsort(descending=True, stable=True)[:limit]
        num_classes = logits.shape[1]
        return cls(
            owners=places // num_classes,
            classes=places % num_classes,
            scores=scores[places],
            class_scores=class_scores.flatten()[places],
        )


def _joined(parts: Sequence[LocationCandidates]) -> LocationCandidates:
    names = LocationCandidates.__slots__
    return LocationCandidates(
        *(torch.cat([getattr(part, name) for part in parts]) for name in names)
    )
