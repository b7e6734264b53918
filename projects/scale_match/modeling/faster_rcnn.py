"""Faster R-CNN on any pyramid: the authors' Faster-FPN at strides 4 to 64."""

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, GeneralizedRCNN, build_backbone

from scale_match.core.errors import InputError
from scale_match.modeling.backbone import feature_shapes
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.pyramid_config import levels_from_config, refuse_changed_keys
from scale_match.modeling.roi_heads import ROISettings, ScaleMatchROIHeads
from scale_match.modeling.rpn import RPNSettings, ScaleMatchRPN

__all__ = ["ScaleMatchFasterRCNN"]

# What detectron2 can do besides, for those who expect a key to count.
_NOT_OBEYED = (
    "MODEL.PROPOSAL_GENERATOR.NAME",
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE",
    "MODEL.RPN.HEAD_NAME",
    "MODEL.RPN.CONV_DIMS",
    "MODEL.RPN.BOUNDARY_THRESH",
    "MODEL.RPN.LOSS_WEIGHT",
    "MODEL.RPN.BBOX_REG_LOSS_WEIGHT",
    "MODEL.ROI_BOX_HEAD.NAME",
    "MODEL.ROI_BOX_HEAD.NUM_CONV",
    "MODEL.ROI_BOX_HEAD.NORM",
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT",
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG",
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES",
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS",
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE",
)
# detectron2's default, which nobody means, and what is meant.
_STANDARD_HEADS = ("Res5ROIHeads", "StandardROIHeads")


@META_ARCH_REGISTRY.register()
class ScaleMatchFasterRCNN(GeneralizedRCNN):
    """Faster R-CNN whose anchors, heads and features all follow from one `PyramidLevels`.

    The authors' pyramid has one anchor size per level (``scales_per_octave=1``), and its levels
    coarser than p5 are pooled (``build_fpn(extra_levels="max_pool")``). What differs from
    detectron2's stages is said in `ScaleMatchRPN` and `ScaleMatchROIHeads`.

    Ground truth of class -1 is a region to ignore, for both stages.

    Args:
        levels: The pyramid.
        backbone: A network with the outputs ``levels.feature_names``.
        num_classes: Classes without background.
        rpn: Numbers of the first stage; None for the published ones.
        roi: Numbers of the second stage; None for the published ones.
        anchor_offset: Centre of the first anchor in units of the stride; 0 as mmdetection.
        ignore_overlap: Share of the area of an anchor or a proposal; background that lies in a
            region to ignore by more has no loss.
        test_score_thresh: Only detections of greater scores.
        test_nms_thresh: IoU above which the worse of two detections of a class goes.
        max_detections_per_image: Detections kept; -1 = all.
        **rcnn: Other arguments of detectron2's GeneralizedRCNN: ``pixel_mean`` and ``pixel_std``
            (required), ``vis_period``, ``input_format``.

    Raises:
        InputError: The backbone is not of this pyramid.
    """

    proposal_generator: ScaleMatchRPN
    roi_heads: ScaleMatchROIHeads

    @configurable
    def __init__(
        self,
        *,
        levels: PyramidLevels,
        backbone: Backbone,
        num_classes: int,
        rpn: RPNSettings | None = None,
        roi: ROISettings | None = None,
        anchor_offset: float = 0.0,
        ignore_overlap: float = 0.5,
        test_score_thresh: float = 0.05,
        test_nms_thresh: float = 0.5,
        max_detections_per_image: int = -1,
        **rcnn: object,
    ) -> None:
        channels = feature_shapes(backbone, levels)[0].channels
        super().__init__(
            backbone=backbone,
            proposal_generator=ScaleMatchRPN(
                levels=levels,
                channels=channels,
                settings=rpn or RPNSettings(),
                anchor_offset=anchor_offset,
                ignore_overlap=ignore_overlap,
            ),
            roi_heads=ScaleMatchROIHeads(
                levels=levels,
                channels=channels,
                num_classes=num_classes,
                settings=roi or ROISettings(),
                ignore_overlap=ignore_overlap,
                test_score_thresh=test_score_thresh,
                test_nms_thresh=test_nms_thresh,
                max_detections_per_image=max_detections_per_image,
            ),
            **rcnn,
        )
        self.levels = levels

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Translates yacs keys into the constructor's arguments.

        Raises:
            InputError: A stock key contradicts ``SCALE_MATCH.MODEL`` (`levels_from_config`), or it
                was changed though this model does not obey it.
        """
        refuse_changed_keys(cfg, _NOT_OBEYED, model=cls.__name__)
        heads = cfg.MODEL.ROI_HEADS
        if heads.NAME not in _STANDARD_HEADS:
            raise InputError(
                f"MODEL.ROI_HEADS.NAME is {heads.NAME!r}, but {cls.__name__} always has "
                f"{_STANDARD_HEADS[-1]}: leave it out"
            )
        return {
            "levels": levels_from_config(cfg),
            "backbone": build_backbone(cfg),
            "num_classes": heads.NUM_CLASSES,
            "rpn": RPNSettings.from_config(cfg),
            "roi": ROISettings.from_config(cfg),
            "anchor_offset": cfg.MODEL.ANCHOR_GENERATOR.OFFSET,
            "ignore_overlap": cfg.SCALE_MATCH.MODEL.IGNORE_OVERLAP,
            "test_score_thresh": heads.SCORE_THRESH_TEST,
            "test_nms_thresh": heads.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "vis_period": cfg.VIS_PERIOD,
            "input_format": cfg.INPUT.FORMAT,
        }

    @property
    def num_classes(self) -> int:
        """Classes without background."""
        number: int = self.roi_heads.num_classes
        return number

    @property
    def ignore_overlap(self) -> float:
        """Share of an anchor's or a proposal's area, see above."""
        return self.roi_heads.ignore_overlap

    @ignore_overlap.setter
    def ignore_overlap(self, value: float) -> None:
        self.proposal_generator.ignore_overlap = value
        self.roi_heads.ignore_overlap = value

    @property
    def test_topk_candidates(self) -> int:
        """Proposals per level before their suppression in inference."""
        number: int = self.proposal_generator.pre_nms_topk[False]
        return number

    @test_topk_candidates.setter
    def test_topk_candidates(self, value: int) -> None:
        self.proposal_generator.pre_nms_topk[False] = value

    @property
    def test_score_thresh(self) -> float:
        """Only detections of greater scores."""
        return self.roi_heads.box_predictor.test_score_thresh

    @test_score_thresh.setter
    def test_score_thresh(self, value: float) -> None:
        self.roi_heads.box_predictor.test_score_thresh = value

    @property
    def test_nms_thresh(self) -> float:
        """IoU above which the worse of two detections of a class goes."""
        return self.roi_heads.box_predictor.test_nms_thresh

    @test_nms_thresh.setter
    def test_nms_thresh(self, value: float) -> None:
        self.roi_heads.box_predictor.test_nms_thresh = value

    @property
    def max_detections_per_image(self) -> int:
        """Detections kept; -1 = all."""
        return self.roi_heads.box_predictor.test_topk_per_image

    @max_detections_per_image.setter
    def max_detections_per_image(self, value: int) -> None:
        self.roi_heads.box_predictor.test_topk_per_image = value
