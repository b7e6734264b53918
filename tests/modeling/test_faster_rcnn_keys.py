"""The yacs keys of Faster R-CNN: each reaches the model, or is refused."""

import functools

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from learnt_image import drawn_image
from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.faster_rcnn import ScaleMatchFasterRCNN
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.roi_heads import ROISettings

torch.set_num_threads(1)

PIXELS = {"pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}


def yacs_config(*options):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    cfg.merge_from_list(
        [
            *("MODEL.META_ARCHITECTURE", "ScaleMatchFasterRCNN"),
            *("MODEL.BACKBONE.NAME", "build_scale_match_fpn_backbone"),
            *("MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.RESNETS.DEPTH", 18),
            *("MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
            *("MODEL.RESNETS.NORM", "BN"),
            *("MODEL.FPN.OUT_CHANNELS", 16),
            *("MODEL.ROI_HEADS.NUM_CLASSES", 2),
            *("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 2000),
            *("MODEL.RPN.PRE_NMS_TOPK_TEST", 1000),
            *("MODEL.RPN.POST_NMS_TOPK_TRAIN", 1000),
            *("MODEL.ROI_BOX_HEAD.NUM_FC", 2),
            *("MODEL.ROI_BOX_HEAD.FC_DIM", 64),
            *("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7),
            *("MODEL.PIXEL_MEAN", PIXELS["pixel_mean"]),
            *("MODEL.PIXEL_STD", PIXELS["pixel_std"]),
            *("MODEL.DEVICE", "cpu"),
            *("TEST.DETECTIONS_PER_IMAGE", -1),
            *("SCALE_MATCH.MODEL.STRIDES", [4, 8, 16]),
            *("SCALE_MATCH.MODEL.SCALES_PER_OCTAVE", 1),
            *("SCALE_MATCH.MODEL.EXTRA_LEVELS", "max_pool"),
            *options,
        ]
    )
    return cfg


def test_yacs_builds_the_same_model():
    levels = PyramidLevels(strides=(4, 8, 16), scales_per_octave=1)
    backbone = build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=16,
        extra_levels="max_pool",
    )
    roi = ROISettings(fc_dim=64)
    explicit = ScaleMatchFasterRCNN(
        levels=levels, backbone=backbone, num_classes=2, roi=roi, **PIXELS
    )
    from_yacs = build_model(yacs_config())
    from_yacs.load_state_dict(explicit.state_dict())

    assert isinstance(from_yacs, ScaleMatchFasterRCNN)
    assert from_yacs.proposal_generator.settings == explicit.proposal_generator.settings
    assert from_yacs.roi_heads.settings == explicit.roi_heads.settings
    image = drawn_image()
    losses = []
    for model in (from_yacs, explicit):
        torch.manual_seed(0)
        with EventStorage(0):
            losses.append({name: loss.item() for name, loss in model([image]).items()})
    assert losses[0] == pytest.approx(losses[1])


KEYS = [
    ("MODEL.RPN.IOU_THRESHOLDS", (0.2, 0.6), "proposal_generator.settings.iou_thresholds"),
    ("MODEL.RPN.IOU_LABELS", (0, 0, 1), "proposal_generator.settings.iou_labels"),
    (
        "SCALE_MATCH.MODEL.RPN_MIN_POSITIVE_IOU",
        0.1,
        "proposal_generator.anchor_matcher.min_low_quality_iou",
    ),
    ("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 99, "proposal_generator.batch_size_per_image"),
    ("MODEL.RPN.POSITIVE_FRACTION", 0.4, "proposal_generator.positive_fraction"),
    ("MODEL.RPN.NMS_THRESH", 0.6, "proposal_generator.nms_thresh"),
    ("MODEL.RPN.SMOOTH_L1_BETA", 0.1, "proposal_generator.smooth_l1_beta"),
    ("MODEL.RPN.BBOX_REG_LOSS_TYPE", "giou", "proposal_generator.box_reg_loss_type"),
    ("MODEL.RPN.PRE_NMS_TOPK_TEST", 77, "test_topk_candidates"),
    ("MODEL.RPN.POST_NMS_TOPK_TRAIN", 78, "proposal_generator.settings.post_nms_topk[0]"),
    ("MODEL.ROI_HEADS.IOU_THRESHOLDS", (0.6,), "roi_heads.settings.iou_thresholds"),
    ("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 99, "roi_heads.batch_size_per_image"),
    ("MODEL.ROI_HEADS.POSITIVE_FRACTION", 0.4, "roi_heads.positive_fraction"),
    ("MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", False, "roi_heads.proposal_append_gt"),
    ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.2, "test_score_thresh"),
    ("MODEL.ROI_HEADS.NMS_THRESH_TEST", 0.3, "test_nms_thresh"),
    ("MODEL.ROI_BOX_HEAD.FC_DIM", 48, "roi_heads.box_head.fc2.out_features"),
    ("MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA", 0.1, "roi_heads.box_predictor.smooth_l1_beta"),
    (
        "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE",
        "giou",
        "roi_heads.box_predictor.box_reg_loss_type",
    ),
    ("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 5, "roi_heads.box_pooler.output_size[0]"),
    ("SCALE_MATCH.MODEL.IGNORE_OVERLAP", 0.25, "ignore_overlap"),
    ("MODEL.ANCHOR_GENERATOR.OFFSET", 0.5, "proposal_generator.anchor_generator.offset"),
    ("TEST.DETECTIONS_PER_IMAGE", 66, "max_detections_per_image"),
    ("INPUT.FORMAT", "RGB", "input_format"),
]


@pytest.fixture(scope="module")
def changed_model():
    """A model with every one of these keys changed."""
    return build_model(yacs_config(*(word for key, value, _ in KEYS for word in (key, value))))


@pytest.mark.parametrize(("key", "value", "attribute"), KEYS)
def test_a_key_reaches_the_model(changed_model, key, value, attribute):
    name, _, index = attribute.partition("[")
    found = functools.reduce(getattr, name.split("."), changed_model)
    assert (found[int(index[:-1])] if index else found) == value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "MODEL.ROI_HEADS.NAME",
            "CascadeROIHeads",
            "NAME is 'CascadeROIHeads', but .* leave it out",
        ),
        ("MODEL.ROI_BOX_HEAD.NUM_CONV", 4, "NUM_CONV is 4, but ScaleMatchFasterRCNN does not obey"),
        ("MODEL.RPN.BOUNDARY_THRESH", 0, "leave MODEL.RPN.BOUNDARY_THRESH at -1"),
        ("MODEL.RPN.IN_FEATURES", ["p3"], r"MODEL.RPN.IN_FEATURES is \['p3'\], but"),
        ("MODEL.ROI_HEADS.IN_FEATURES", ["p3"], r"MODEL.ROI_HEADS.IN_FEATURES is \['p3'\], but"),
        ("SCALE_MATCH.MODEL.EXTRA_LEVELS", "pool", "EXTRA_LEVELS.* must be one of .*'pool'"),
    ],
)
def test_a_key_that_would_not_count_is_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        build_model(yacs_config(key, value))


def test_a_key_that_says_the_same_is_accepted():
    build_model(
        yacs_config(
            *("MODEL.RPN.IN_FEATURES", ["p2", "p3", "p4"]),
            *("MODEL.ROI_HEADS.IN_FEATURES", ["p2", "p3", "p4"]),
            *("MODEL.ROI_HEADS.NAME", "StandardROIHeads"),
        )
    )
