"""Adap RetinaNet: strides 4 to 64, anchors from 8 px, torchvision's ResNet-50 with frozen norms."""

from detectron2.config import LazyCall as L

from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.retinanet import ScaleMatchRetinaNet

model = L(ScaleMatchRetinaNet)(
    # Features, anchors, head and the stages of the backbone follow from this. By name, since
    # detectron2 0.5 cannot call a dataclass that is given as such.
    levels=L("scale_match.modeling.levels.PyramidLevels")(
        strides=[4, 8, 16, 32, 64],
        anchor_scale=2.0,
        scales_per_octave=3,
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
    ),
    num_classes=1,
    num_head_convs=4,
    head_norm="",
    prior_prob=0.01,
    anchor_offset=0.0,
    iou_thresholds=[0.4, 0.5],
    iou_labels=[0, -1, 1],
    bbox_reg_weights=[1.0, 1.0, 1.0, 1.0],
    loss_normalizer="num_positives",
    focal_loss_alpha=0.25,
    focal_loss_gamma=2.0,
    # 0 = L1
    smooth_l1_beta=0.0,
    box_reg_loss_type="smooth_l1",
    # ignore_regions "mask": share of a background anchor in a region from which on it has no loss
    ignore_overlap=0.5,
    test_score_thresh=0.05,
    test_topk_candidates=2000,
    test_nms_thresh=0.5,
    max_detections_per_image=1000,
    # ImageNet, RGB: what torchvision's weights were trained with
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
    input_format="RGB",
)
