"""Classes and boxes of proposals: the second stage of Faster R-CNN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.modeling.roi_heads.box_head import FastRCNNConvFCHead
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from scale_match.modeling.ignored_regions import boxes_inside, checked_overlap, split_regions
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.process_means import mean_over_processes

__all__ = ["BoxPredictor", "ROISettings", "ScaleMatchROIHeads"]


@dataclass(frozen=True, slots=True)
class ROISettings:
    """What the second stage is told apart from its pyramid and classes; defaults as published.

    Sequences of any kind are accepted (configs give lists) and kept as tuples.

    Attributes:
        iou_thresholds: Limits of the IoU of a proposal and a box between the ``iou_labels``.
        iou_labels: 0 background, -1 ignored, 1 positive; one more than thresholds.
        batch_size_per_image: Proposals of an image that have a loss.
        positive_fraction: Share of positive ones among them at most.
        append_gt: The boxes of the objects are proposals, too, in training.
        pooler_type: "ROIAlignV2", where pixels have an extent, or "ROIAlign".
        pooler_resolution: Pixels of a pooled proposal in x and in y.
        pooler_sampling_ratio: Samples per pixel of it in x and in y; 0 = by the proposal's size.
        num_fc: Fully connected layers of the box head.
        fc_dim: Their width.
        bbox_reg_weights: Weights of (dx, dy, dw, dh).
        box_reg_loss_type: "smooth_l1" or "giou".
        smooth_l1_beta: Where the loss turns from L2 to L1; 0 = L1.
    """

    iou_thresholds: Sequence[float] = (0.5,)
    iou_labels: Sequence[int] = (0, 1)
    batch_size_per_image: int = 512
    positive_fraction: float = 0.25
    append_gt: bool = True
    pooler_type: Literal["ROIAlignV2", "ROIAlign"] = "ROIAlignV2"
    pooler_resolution: int = 7
    pooler_sampling_ratio: int = 0
    num_fc: int = 2
    fc_dim: int = 1024
    bbox_reg_weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0)
    box_reg_loss_type: Literal["smooth_l1", "giou"] = "smooth_l1"
    smooth_l1_beta: float = 0.0

    def __post_init__(self) -> None:
        for name in ("iou_thresholds", "iou_labels", "bbox_reg_weights"):
            # Frozen: the only way to normalise what the caller gave.
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ROISettings":
        """Translates ``MODEL.ROI_HEADS`` and ``MODEL.ROI_BOX_HEAD``."""
        heads, box = cfg.MODEL.ROI_HEADS, cfg.MODEL.ROI_BOX_HEAD
        return cls(
            iou_thresholds=heads.IOU_THRESHOLDS,
            iou_labels=heads.IOU_LABELS,
            batch_size_per_image=heads.BATCH_SIZE_PER_IMAGE,
            positive_fraction=heads.POSITIVE_FRACTION,
            append_gt=heads.PROPOSAL_APPEND_GT,
            pooler_type=box.POOLER_TYPE,
            pooler_resolution=box.POOLER_RESOLUTION,
            pooler_sampling_ratio=box.POOLER_SAMPLING_RATIO,
            num_fc=box.NUM_FC,
            fc_dim=box.FC_DIM,
            bbox_reg_weights=box.BBOX_REG_WEIGHTS,
            box_reg_loss_type=box.BBOX_REG_LOSS_TYPE,
            smooth_l1_beta=box.SMOOTH_L1_BETA,
        )


class BoxPredictor(FastRCNNOutputLayers):
    """detectron2's, whose losses are divided by the proposals of all processes.

    detectron2 divides by those of this process. Where an image has fewer than are sampled, the
    gradients of several processes would not be those of one with all images.
    """

    def losses(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> dict[str, Tensor]:
        """Losses of the sampled proposals, R of them over all images, K classes.

        Args:
            predictions: Class scores, (R, K + 1), and deltas, (R, K * 4).
            proposals: Per image, with ``proposal_boxes``, ``gt_classes`` and, where there are
                objects, ``gt_boxes``.

        Returns:
            ``loss_cls`` and ``loss_box_reg``, scalars.
        """
        losses: dict[str, Tensor] = super().losses(predictions, proposals)
        own = torch.full((), float(len(predictions[0])), device=predictions[0].device)
        factor = own / mean_over_processes(own).clamp(min=1)
        return {name: loss * factor.to(loss.dtype) for name, loss in losses.items()}


class ScaleMatchROIHeads(StandardROIHeads):
    """detectron2's second stage on a `PyramidLevels`; knows regions to ignore.

    Ground truth of class -1 is such a region: background proposals inside are not sampled, and it
    is no proposal itself.

    Args:
        levels: The pyramid; ``pooled_features`` are pooled from. A proposal of 224 px belongs to
            stride 16, one of half that size to half that stride, and so on.
        channels: Channels of every level.
        num_classes: Classes without background.
        settings: All other numbers.
        ignore_overlap: Share of a proposal's area in a region from which on it counts as inside.
        test_score_thresh: Only detections of greater scores.
        test_nms_thresh: IoU above which the worse of two detections of a class goes.
        max_detections_per_image: Detections kept; -1 = all.
    """

    box_predictor: BoxPredictor

    def __init__(
        self,
        *,
        levels: PyramidLevels,
        channels: int,
        num_classes: int,
        settings: ROISettings,
        ignore_overlap: float = 0.5,
        test_score_thresh: float = 0.05,
        test_nms_thresh: float = 0.5,
        max_detections_per_image: int = -1,
    ) -> None:
        side = settings.pooler_resolution
        box_head = FastRCNNConvFCHead(
            ShapeSpec(channels=channels, height=side, width=side),
            conv_dims=[],
            fc_dims=[settings.fc_dim] * settings.num_fc,
        )
        super().__init__(
            box_in_features=list(levels.pooled_features),
            box_pooler=ROIPooler(
                output_size=side,
                scales=[1 / s for s in levels.strides[: len(levels.pooled_features)]],
                sampling_ratio=settings.pooler_sampling_ratio,
                pooler_type=settings.pooler_type,
            ),
            box_head=box_head,
            box_predictor=BoxPredictor(
                box_head.output_shape,
                box2box_transform=Box2BoxTransform(weights=tuple(settings.bbox_reg_weights)),
                num_classes=num_classes,
                test_score_thresh=test_score_thresh,
                test_nms_thresh=test_nms_thresh,
                test_topk_per_image=max_detections_per_image,
                box_reg_loss_type=settings.box_reg_loss_type,
                smooth_l1_beta=settings.smooth_l1_beta,
            ),
            num_classes=num_classes,
            batch_size_per_image=settings.batch_size_per_image,
            positive_fraction=settings.positive_fraction,
            proposal_matcher=Matcher(list(settings.iou_thresholds), list(settings.iou_labels)),
            proposal_append_gt=settings.append_gt,
        )
        self.settings = settings
        self.ignore_overlap = checked_overlap(ignore_overlap)

    @torch.no_grad()
    def label_and_sample_proposals(
        self, proposals: list[Instances], targets: list[Instances]
    ) -> list[Instances]:
        """Chooses the proposals that have a loss, and says what they have to predict.

        Args:
            proposals: Per image, with ``proposal_boxes`` and ``objectness_logits``.
            targets: Per image, with ``gt_boxes`` and ``gt_classes``; class -1 is a region to
                ignore.

        Returns:
            Per image at most ``batch_size_per_image`` proposals, with ``gt_classes`` (K is
            background) and, where the image has objects, ``gt_boxes``.
        """
        split = [split_regions(every) for every in targets]
        allowed = [
            self._outside(each, objects, regions) if len(regions) else each
            for each, (objects, regions) in zip(proposals, split, strict=True)
        ]
        sampled: list[Instances] = super().label_and_sample_proposals(
            allowed, [objects for objects, _ in split]
        )
        return sampled

    def _outside(self, proposals: Instances, objects: Instances, regions: Boxes) -> Instances:
        """The proposals of an image without the background ones in a region."""
        boxes = proposals.proposal_boxes
        _, label = self.proposal_matcher(pairwise_iou(objects.gt_boxes, boxes))
        inside = boxes_inside(boxes, regions, self.ignore_overlap)
        return proposals[~(inside & (label == 0))]
