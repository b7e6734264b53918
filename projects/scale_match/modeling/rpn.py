"""Region proposals on any pyramid: the first stage of Faster R-CNN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from detectron2.config import CfgNode
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.proposal_generator.rpn import StandardRPNHead
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor

from scale_match.modeling.anchor_grid import AnchorGrid
from scale_match.modeling.ignored_regions import (
    anchors_inside,
    checked_overlap,
    split_regions,
)
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.matcher import OverlapMatcher

__all__ = ["RPNSettings", "ScaleMatchRPN"]


@dataclass(frozen=True, slots=True)
class RPNSettings:
    """What the region proposal network is told apart from its pyramid; defaults as published.

    Sequences of any kind are accepted (configs give lists) and kept as tuples.

    Attributes:
        iou_thresholds: Limits of the IoU of an anchor and a box between the ``iou_labels``.
        iou_labels: 0 background, -1 ignored, 1 positive; one more than thresholds.
        min_positive_iou: The best anchors of a box are positive from this IoU on, whatever the
            thresholds say; an overlap is needed in any case.
        batch_size_per_image: Anchors of an image that have a loss.
        positive_fraction: Share of positive ones among them at most.
        pre_nms_topk: Proposals per level before suppression, in training and in testing.
        post_nms_topk: Proposals per image after it, in training and in testing.
        nms_thresh: IoU above which the worse of two proposals of a level goes.
        bbox_reg_weights: Weights of (dx, dy, dw, dh).
        box_reg_loss_type: "smooth_l1" or "giou".
        smooth_l1_beta: Where the loss turns from L2 to L1; 0 = L1.
    """

    iou_thresholds: Sequence[float] = (0.3, 0.7)
    iou_labels: Sequence[int] = (0, -1, 1)
    min_positive_iou: float = 0.3
    batch_size_per_image: int = 256
    positive_fraction: float = 0.5
    pre_nms_topk: Sequence[int] = (2000, 1000)
    post_nms_topk: Sequence[int] = (1000, 1000)
    nms_thresh: float = 0.7
    bbox_reg_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    box_reg_loss_type: Literal["smooth_l1", "giou"] = "smooth_l1"
    smooth_l1_beta: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            *("iou_thresholds", "iou_labels", "bbox_reg_weights"),
            *("pre_nms_topk", "post_nms_topk"),
        ):
            # Frozen: the only way to normalise what the caller gave.
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "RPNSettings":
        """Translates ``MODEL.RPN`` and ``SCALE_MATCH.MODEL.RPN_MIN_POSITIVE_IOU``."""
        rpn = cfg.MODEL.RPN
        return cls(
            iou_thresholds=rpn.IOU_THRESHOLDS,
            iou_labels=rpn.IOU_LABELS,
            min_positive_iou=cfg.SCALE_MATCH.MODEL.RPN_MIN_POSITIVE_IOU,
            batch_size_per_image=rpn.BATCH_SIZE_PER_IMAGE,
            positive_fraction=rpn.POSITIVE_FRACTION,
            pre_nms_topk=(rpn.PRE_NMS_TOPK_TRAIN, rpn.PRE_NMS_TOPK_TEST),
            post_nms_topk=(rpn.POST_NMS_TOPK_TRAIN, rpn.POST_NMS_TOPK_TEST),
            nms_thresh=rpn.NMS_THRESH,
            bbox_reg_weights=rpn.BBOX_REG_WEIGHTS,
            box_reg_loss_type=rpn.BBOX_REG_LOSS_TYPE,
            smooth_l1_beta=rpn.SMOOTH_L1_BETA,
        )


class ScaleMatchRPN(RPN):
    """detectron2's region proposal network on a `PyramidLevels`, with other labels in three cases.

    The best anchors of a box are positive only from ``min_positive_iou`` on, where detectron2 takes
    any, even an IoU of 0, which makes every anchor positive; labels are found without a matrix of
    all boxes and anchors; and background anchors in a region to ignore (ground truth of class -1)
    have no loss. Where its predictions have diverged in training, its losses are NaN, by which the
    training step names the images; detectron2 raises an error that does not.

    Args:
        levels: The pyramid.
        channels: Channels of every level.
        settings: All other numbers.
        anchor_offset: Centre of the first anchor in units of the stride; 0 as mmdetection.
        ignore_overlap: Share of an anchor's area in a region from which on it counts as inside.
    """

    anchor_matcher: OverlapMatcher

    def __init__(
        self,
        *,
        levels: PyramidLevels,
        channels: int,
        settings: RPNSettings,
        anchor_offset: float = 0.0,
        ignore_overlap: float = 0.5,
    ) -> None:
        super().__init__(
            in_features=list(levels.feature_names),
            head=StandardRPNHead(in_channels=channels, num_anchors=levels.num_anchors),
            anchor_generator=DefaultAnchorGenerator(
                sizes=[list(sizes) for sizes in levels.anchor_sizes],
                aspect_ratios=list(levels.aspect_ratios),
                strides=list(levels.strides),
                offset=anchor_offset,
            ),
            anchor_matcher=OverlapMatcher(
                settings.iou_thresholds,
                settings.iou_labels,
                allow_low_quality_matches=True,
                min_low_quality_iou=settings.min_positive_iou,
            ),
            box2box_transform=Box2BoxTransform(weights=tuple(settings.bbox_reg_weights)),
            batch_size_per_image=settings.batch_size_per_image,
            positive_fraction=settings.positive_fraction,
            pre_nms_topk=tuple(settings.pre_nms_topk),
            post_nms_topk=tuple(settings.post_nms_topk),
            nms_thresh=settings.nms_thresh,
            box_reg_loss_type=settings.box_reg_loss_type,
            smooth_l1_beta=settings.smooth_l1_beta,
        )
        self.settings = settings
        self.ignore_overlap = checked_overlap(ignore_overlap)
        self._cell_anchors = [levels.num_anchors] * len(levels.strides)
        self._has_diverged = False

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        gt_instances: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Proposes boxes, N images.

        Args:
            images: Their sizes count only.
            features: By name, (N, C, H_i, W_i).
            gt_instances: In training, see `label_and_sample_anchors`.

        Returns:
            Per image ``proposal_boxes`` and ``objectness_logits``, best first; and in training the
            losses ``loss_rpn_cls`` and ``loss_rpn_loc``.
        """
        self._has_diverged = False
        proposals, losses = super().forward(images, features, gt_instances)
        if self._has_diverged:
            losses = {name: loss * float("nan") for name, loss in losses.items()}
        return proposals, losses

    def predict_proposals(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:
        """The proposals of `forward`; none where a prediction is not finite in training."""
        try:
            found: list[Instances] = super().predict_proposals(
                anchors, pred_objectness_logits, pred_anchor_deltas, image_sizes
            )
        except FloatingPointError:
            self._has_diverged = True
            return [_no_proposals(size, pred_objectness_logits[0]) for size in image_sizes]
        return found

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What each anchor has to predict, as in detectron2 but from the pairs that overlap.

        Args:
            anchors: Per level, R in all.
            gt_instances: Per image, with ``gt_boxes`` and ``gt_classes``; class -1 is a region to
                ignore.

        Returns:
            Per image the label of each anchor (1 positive, 0 background, -1 neither or not
            sampled), (R,), and the matched box, XYXY_ABS, (R, 4); that of an anchor without label
            1 is of no use.
        """
        grid = AnchorGrid(anchors, self._cell_anchors)
        labels, boxes = [], []
        for every in gt_instances:
            objects, regions = split_regions(every)
            matches, label = self.anchor_matcher.match(grid, objects.gt_boxes)
            if len(regions):
                # Anchors of objects in a region keep their label.
                inside = anchors_inside(grid, regions, self.ignore_overlap)
                label = label.masked_fill(inside & (label == 0), -1)
            labels.append(self._subsample_labels(label))
            if len(objects):
                boxes.append(objects.gt_boxes.tensor.index_select(0, matches))
            else:
                boxes.append(torch.zeros_like(grid.anchors))
        return labels, boxes


def _no_proposals(image_size: tuple[int, int], like: Tensor) -> Instances:
    found = Instances(image_size)
    found.proposal_boxes = Boxes(like.new_zeros((0, 4)))
    found.objectness_logits = like.new_zeros(0)
    return found
