"""Adap FCOS: strides 4 to 64, boxes up to four strides from their location, MSRA's ResNet-50."""

from detectron2.config import LazyCall as L

from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.fcos import ScaleMatchFCOS

model = L(ScaleMatchFCOS)(
    # Features, ranges, head and the stages of the backbone follow from this. By name, since
    # detectron2 0.5 cannot call a dataclass that is given as such.
    levels=L("scale_match.modeling.levels.PyramidLevels")(strides=[4, 8, 16, 32, 64]),
    backbone=L(build_fpn)(
        bottom_up=L(build_resnet)(
            levels="${...levels}",
            depth=50,
            norm="FrozenBN",
            freeze_at=2,
            # caffe style
            stride_in_1x1=True,
        ),
        levels="${..levels}",
        out_channels=256,
        norm="",
        fuse_type="sum",
        extra_levels="convolution_of_p5",
    ),
    num_classes=1,
    num_head_convs=4,
    head_norm="",
    prior_prob=0.01,
    # (-1, 16), (16, 32), (32, 64), (64, 128), (128, inf): four strides of each level
    size_ranges=[],
    center_sampling_radius=1.5,
    # in strides; 0 as in mmdetection, whose boxes contain their location
    min_distance=-1.5,
    focal_loss_alpha=0.25,
    focal_loss_gamma=2.0,
    # ignore_regions "mask": share of a background anchor in a region from which on it has no loss
    ignore_overlap=0.5,
    test_score_thresh=0.05,
    test_topk_candidates=2000,
    test_nms_thresh=0.6,
    max_detections_per_image=1000,
    # BGR, not divided: what MSRA's weights were trained with
    pixel_mean=[103.53, 116.28, 123.675],
    pixel_std=[1.0, 1.0, 1.0],
    input_format="BGR",
)
