"""RetinaNet on any pyramid: the authors' Adap RetinaNet at strides 4 to 64 and the usual one."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, RetinaNet, build_backbone
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.structures import Boxes, Instances
from torch import Tensor

from scale_match.core.errors import InputError
from scale_match.modeling.anchor_grid import AnchorGrid
from scale_match.modeling.backbone import feature_shapes
from scale_match.modeling.ignored_regions import anchors_inside, checked_overlap
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.matcher import OverlapMatcher
from scale_match.modeling.process_means import mean_over_processes
from scale_match.modeling.pyramid_config import levels_from_config

__all__ = ["LOSS_NORMALIZERS", "ScaleMatchRetinaNet"]

LOSS_NORMALIZERS = ("num_positives", "moving_average")


@META_ARCH_REGISTRY.register()
class ScaleMatchRetinaNet(RetinaNet):
    """RetinaNet whose head, anchors and features all follow from one `PyramidLevels`.

    Apart from that it differs from detectron2's RetinaNet in four things: a ground-truth box that
    meets no anchor gets no positive one; labels are found without a matrix of all boxes and anchors
    (`OverlapMatcher` does both); ground truth of class -1 is a region to ignore, and background
    anchors that lie in one by more than ``ignore_overlap`` have no loss; and losses are divided by
    the number of positive anchors of the batch, as the authors' framework does, unless the running
    average of detectron2 is asked for.

    Args:
        levels: The pyramid.
        backbone: A network with the outputs ``levels.feature_names``.
        num_classes: Classes without background.
        num_head_convs: Convolutions of each of the head's two branches before its output.
        head_norm: Norm of these convolutions; "" for none.
        prior_prob: Score of every anchor before training.
        anchor_offset: Centre of the first anchor in units of the stride; 0 as mmdetection.
        iou_thresholds: Limits of the IoU between the ``iou_labels``.
        iou_labels: 0 background, -1 ignored, 1 positive; one more than thresholds.
        bbox_reg_weights: Weights of (dx, dy, dw, dh).
        ignore_overlap: Share of an anchor's area; see above.
        loss_normalizer: "num_positives", the positive anchors of a process' batch, at least one
            per image, averaged over the processes; or "moving_average", detectron2's running
            average of them, each process its own.
        test_topk_candidates: Candidates per level before suppression.
        max_detections_per_image: Detections kept after it.
        **retinanet: Other arguments of detectron2's RetinaNet: ``pixel_mean`` and
            ``pixel_std`` (required), ``focal_loss_alpha``, ``focal_loss_gamma``,
            ``smooth_l1_beta`` (0 = L1), ``box_reg_loss_type``, ``test_score_thresh`` (0.05),
            ``test_nms_thresh`` (0.5), ``vis_period``, ``input_format``.

    Raises:
        InputError: An unknown ``loss_normalizer``, or a backbone that is not this pyramid.
    """

    @configurable
    def __init__(
        self,
        *,
        levels: PyramidLevels,
        backbone: Backbone,
        num_classes: int,
        num_head_convs: int = 4,
        head_norm: str = "",
        prior_prob: float = 0.01,
        anchor_offset: float = 0.0,
        iou_thresholds: Sequence[float] = (0.4, 0.5),
        iou_labels: Sequence[int] = (0, -1, 1),
        bbox_reg_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        ignore_overlap: float = 0.5,
        loss_normalizer: Literal["num_positives", "moving_average"] = "num_positives",
        test_topk_candidates: int = 2000,
        max_detections_per_image: int = 1000,
        **retinanet: object,
    ) -> None:
        _check_normalizer(loss_normalizer)
        shapes = feature_shapes(backbone, levels)
        channels = shapes[0].channels
        super().__init__(
            backbone=backbone,
            head=RetinaNetHead(
                input_shape=shapes,
                num_classes=num_classes,
                num_anchors=levels.num_anchors,
                conv_dims=[channels] * num_head_convs,
                norm=head_norm,
                prior_prob=prior_prob,
            ),
            head_in_features=list(levels.feature_names),
            anchor_generator=DefaultAnchorGenerator(
                sizes=[list(sizes) for sizes in levels.anchor_sizes],
                aspect_ratios=list(levels.aspect_ratios),
                strides=list(levels.strides),
                offset=anchor_offset,
            ),
            box2box_transform=Box2BoxTransform(weights=tuple(bbox_reg_weights)),
            anchor_matcher=OverlapMatcher(
                list(iou_thresholds), list(iou_labels), allow_low_quality_matches=True
            ),
            num_classes=num_classes,
            test_topk_candidates=test_topk_candidates,
            max_detections_per_image=max_detections_per_image,
            **retinanet,
        )
        self.levels = levels
        self.ignore_overlap = checked_overlap(ignore_overlap)
        self._divides_by_positives = loss_normalizer == "num_positives"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Translates yacs keys into the constructor's arguments.

        Raises:
            InputError: A stock key contradicts ``SCALE_MATCH.MODEL`` (`levels_from_config`).
        """
        retinanet = cfg.MODEL.RETINANET
        return {
            "levels": levels_from_config(cfg),
            "backbone": build_backbone(cfg),
            "num_classes": retinanet.NUM_CLASSES,
            "num_head_convs": retinanet.NUM_CONVS,
            "head_norm": retinanet.NORM,
            "prior_prob": retinanet.PRIOR_PROB,
            "anchor_offset": cfg.MODEL.ANCHOR_GENERATOR.OFFSET,
            "iou_thresholds": retinanet.IOU_THRESHOLDS,
            "iou_labels": retinanet.IOU_LABELS,
            "bbox_reg_weights": retinanet.BBOX_REG_WEIGHTS,
            "loss_normalizer": cfg.SCALE_MATCH.MODEL.LOSS_NORMALIZER,
            "ignore_overlap": cfg.SCALE_MATCH.MODEL.IGNORE_OVERLAP,
            "focal_loss_alpha": retinanet.FOCAL_LOSS_ALPHA,
            "focal_loss_gamma": retinanet.FOCAL_LOSS_GAMMA,
            "smooth_l1_beta": retinanet.SMOOTH_L1_LOSS_BETA,
            "box_reg_loss_type": retinanet.BBOX_REG_LOSS_TYPE,
            "test_score_thresh": retinanet.SCORE_THRESH_TEST,
            "test_topk_candidates": retinanet.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": retinanet.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "vis_period": cfg.VIS_PERIOD,
            "input_format": cfg.INPUT.FORMAT,
        }

    @torch.no_grad()
    def label_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What each anchor has to predict, as in detectron2 but from the pairs that overlap.

        Args:
            anchors: Per level, R in all.
            gt_instances: Per image, with ``gt_boxes`` and ``gt_classes``; class -1 is a region to
                ignore.

        Returns:
            Per image the label of each anchor (class, K background, -1 ignored), (R,), and the
            matched box, XYXY_ABS, (R, 4); that of an anchor without a label is of no use.
        """
        grid = AnchorGrid(anchors, [self.levels.num_anchors] * len(anchors))
        labels, boxes = [], []
        for every in gt_instances:
            is_object = every.gt_classes >= 0
            instances, regions = every[is_object], every[~is_object].gt_boxes
            matches, kind = self.anchor_matcher.match(grid, instances.gt_boxes)
            if len(instances):
                label = instances.gt_classes.index_select(0, matches)
                boxes.append(instances.gt_boxes.tensor.index_select(0, matches))
            else:
                label = torch.zeros_like(matches)
                boxes.append(torch.zeros_like(grid.anchors))
            if len(regions):
                # Anchors of objects in a region keep their label.
                inside = anchors_inside(grid, regions, self.ignore_overlap)
                kind = kind.masked_fill(inside & (kind == 0), -1)
            label = label.masked_fill(kind == 0, self.num_classes).masked_fill(kind == -1, -1)
            labels.append(label)
        return labels, boxes

    def losses(
        self,
        anchors: list[Boxes],
        pred_logits: list[Tensor],
        gt_labels: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        gt_boxes: list[Tensor],
    ) -> dict[str, Tensor]:
        """Focal loss and box loss of a batch.

        Shapes: N images, R anchors over all levels, R_i those of level i, K classes.

        Args:
            anchors: Per level, (R_i, 4).
            pred_logits: Per level, (N, R_i, K).
            gt_labels: Per image, (R,): class, K background, -1 ignored.
            pred_anchor_deltas: Per level, (N, R_i, 4).
            gt_boxes: Per image the matched boxes, XYXY_ABS, (R, 4).

        Returns:
            ``loss_cls`` and ``loss_box_reg``, scalars.
        """
        losses: dict[str, Tensor] = super().losses(
            anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes
        )
        if not self._divides_by_positives:
            return losses
        # detectron2 has divided by a running average, which it leaves in `loss_normalizer`.
        # The step weights the parts of an accumulated batch by what stands here.
        self.loss_denominator = mean_over_processes(self._num_positives(gt_labels))
        factor = self.loss_normalizer / self.loss_denominator
        return {name: loss * factor.to(loss.dtype) for name, loss in losses.items()}

    def _num_positives(self, gt_labels: list[Tensor]) -> Tensor:
        """Positive anchors of the batch; an image without one counts one, as in mmdetection."""
        per_image = [((x >= 0) & (x != self.num_classes)).sum().clamp(min=1) for x in gt_labels]
        return torch.stack(per_image).sum()


def _check_normalizer(loss_normalizer: str) -> None:
    if loss_normalizer not in LOSS_NORMALIZERS:
        raise InputError(
            f"`loss_normalizer` must be one of {', '.join(LOSS_NORMALIZERS)}, "
            f"received {loss_normalizer!r}"
        )
