"""Faster R-CNN FPN: strides 4 to 64, anchors of 2 x stride, torchvision's frozen-norm ResNet-50."""

from detectron2.config import LazyCall as L

from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.faster_rcnn import ScaleMatchFasterRCNN

# Dataclasses by name, since detectron2 0.5 cannot call one that is given as such.
model = L(ScaleMatchFasterRCNN)(
    # Features, anchors, heads and the stages of the backbone follow from this.
    levels=L("scale_match.modeling.levels.PyramidLevels")(
        strides=[4, 8, 16, 32, 64],
        anchor_scale=2.0,
        scales_per_octave=1,
        aspect_ratios=[0.5, 1.0, 2.0],
    ),
    backbone=L(build_fpn)(
        bottom_up=L(build_resnet)(
            levels="${...levels}",
            depth=50,
            norm="FrozenBN",
            freeze_at=2,
            stride_in_1x1=False,
        ),
        levels="${..levels}",
        out_channels=256,
        norm="",
        fuse_type="sum",
        extra_levels="max_pool",
    ),
    num_classes=1,
    rpn=L("scale_match.modeling.rpn.RPNSettings")(
        iou_thresholds=[0.3, 0.7],
        iou_labels=[0, -1, 1],
        min_positive_iou=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        # in training and in testing: per level, then per image
        pre_nms_topk=[2000, 1000],
        post_nms_topk=[1000, 1000],
        nms_thresh=0.7,
        bbox_reg_weights=[1.0, 1.0, 1.0, 1.0],
        box_reg_loss_type="smooth_l1",
        # 0 = L1
        smooth_l1_beta=0.0,
    ),
    roi=L("scale_match.modeling.roi_heads.ROISettings")(
        iou_thresholds=[0.5],
        iou_labels=[0, 1],
        batch_size_per_image=512,
        positive_fraction=0.25,
        append_gt=True,
        pooler_type="ROIAlignV2",
        pooler_resolution=7,
        pooler_sampling_ratio=0,
        num_fc=2,
        fc_dim=1024,
        bbox_reg_weights=[10.0, 10.0, 5.0, 5.0],
        box_reg_loss_type="smooth_l1",
        smooth_l1_beta=0.0,
    ),
    anchor_offset=0.0,
    # ignore_regions "mask": share of a background anchor in a region from which on it has no loss
    ignore_overlap=0.5,
    test_score_thresh=0.05,
    test_nms_thresh=0.5,
    # -1 = all
    max_detections_per_image=-1,
    # ImageNet, RGB: what torchvision's weights were trained with
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
    input_format="RGB",
)
