"""The head of FCOS: class scores, distances to the sides of the box, and centerness."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.layers import get_norm
from torch import Tensor, nn

__all__ = ["FCOSHead", "LevelScale", "LocationPredictions"]

# Of all weights before training, as in mmdetection.
_WEIGHT_STD = 0.01
# To each side of the box before training, in strides. Boxes without an area, as in mmdetection,
# have hardly a gradient: with distances from 0 on, images of 2 px objects alone were not learned.
_FIRST_DISTANCE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class LocationPredictions:
    """What the head says of N images; level i has R_i = H_i x W_i locations, row by row.

    Attributes:
        logits: Of the K classes per level, (N, R_i, K).
        distances: From the location to the left, upper, right and lower side of the box per level,
            in strides, (N, R_i, 4).
        centerness: Logits per level, (N, R_i, 1).
    """

    logits: Sequence[Tensor]
    distances: Sequence[Tensor]
    centerness: Sequence[Tensor]


class LevelScale(nn.Module):
    """One factor that is learned; mmcv's ``Scale``, whose parameter has the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, values: Tensor) -> Tensor:
        """Multiplies by the factor."""
        return values * self.scale


class FCOSHead(nn.Module):
    """Two branches of convolutions, shared by the levels, and a factor for each level.

    Centerness is predicted on the box branch (mmdetection's ``centerness_on_reg``), and distances
    in units of the level's stride (``norm_on_bbox``).

    Args:
        channels: Channels of every level and of the branches.
        num_levels: Levels.
        num_classes: Without background.
        num_convs: Convolutions of each branch before its output.
        norm: Norm of these convolutions, one for all levels; "" for none.
        prior_prob: Class score of every location before training.
        min_distance: Least distance, in strides, that the head can say; see `ScaleMatchFCOS`.
    """

    def __init__(
        self,
        *,
        channels: int,
        num_levels: int,
        num_classes: int,
        num_convs: int,
        norm: str,
        prior_prob: float,
        min_distance: float,
    ) -> None:
        super().__init__()
        self.min_distance = min_distance
        self.cls_subnet = _branch(channels, num_convs, norm)
        self.bbox_subnet = _branch(channels, num_convs, norm)
        self.cls_score = nn.Conv2d(channels, num_classes, kernel_size=3, padding=1)
        self.bbox_pred = nn.Conv2d(channels, 4, kernel_size=3, padding=1)
        self.ctrness = nn.Conv2d(channels, 1, kernel_size=3, padding=1)
        self.scales = nn.ModuleList(LevelScale() for _ in range(num_levels))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=_WEIGHT_STD)
                nn.init.zeros_(module.get_parameter("bias"))
        # Focal loss paper (arXiv 1708.02002), section 4.1: background does not drown the rest.
        prior_logit = -math.log((1 - prior_prob) / prior_prob)
        nn.init.constant_(self.cls_score.get_parameter("bias"), prior_logit)
        nn.init.constant_(self.bbox_pred.get_parameter("bias"), _FIRST_DISTANCE)

    def forward(self, features: Sequence[Tensor]) -> LocationPredictions:
        """Predicts at every location, in float32 whatever the autocast.

        Args:
            features: Per level, (N, C, H_i, W_i).
        """
        logits, distances, centerness = [], [], []
        for feature, scale in zip(features, self.scales, strict=True):
            of_box = self.bbox_subnet(feature)
            sides = scale(self.bbox_pred(of_box)).float().clamp(min=self.min_distance)
            logits.append(_by_location(self.cls_score(self.cls_subnet(feature)).float()))
            distances.append(_by_location(sides))
            centerness.append(_by_location(self.ctrness(of_box).float()))
        return LocationPredictions(logits, distances, centerness)


def _branch(channels: int, num_convs: int, norm: str) -> nn.Sequential:
    """Convolutions, each with its norm and a ReLU; numbered as in detectron2's RetinaNet head."""
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(channels, channels, kernel_size=3, padding=1))
        if norm:
            layers.append(get_norm(norm, channels))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _by_location(level: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H * W, C)."""
    return level.flatten(2).transpose(1, 2)
