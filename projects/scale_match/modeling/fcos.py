"""FCOS on any pyramid: the authors' Adap FCOS at strides 4 to 64, and variants of it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import batched_nms
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from scale_match.core.errors import InputError
from scale_match.modeling.backbone import feature_shapes
from scale_match.modeling.fcos_candidates import LocationCandidates, location_candidates
from scale_match.modeling.fcos_head import FCOSHead, LocationPredictions
from scale_match.modeling.fcos_locations import LocationGrid, level_ranges
from scale_match.modeling.fcos_losses import fcos_losses
from scale_match.modeling.fcos_targets import LocationTargets, label_locations
from scale_match.modeling.ignored_regions import checked_overlap
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.process_means import at_least_one
from scale_match.modeling.pyramid_config import levels_from_config

__all__ = ["ScaleMatchFCOS"]


@META_ARCH_REGISTRY.register()
class ScaleMatchFCOS(nn.Module):
    """FCOS whose head, ranges and features all follow from one `PyramidLevels`.

    As the authors' Adap FCOS (mmdetection's FCOSHead with center_sampling, norm_on_bbox and
    centerness_on_reg): GIoU loss weighted by the centerness target, focal loss and centerness loss
    divided by the positive locations of the batch, averaged over the processes. It differs in
    four things. Every object gets a location, and of several objects a location takes the smallest
    by exact area (`assign_objects`). A location can lie outside of its box, up to
    ``-min_distance`` strides: a box of 2 px between four locations of stride 4, drawn out to one
    of them, has an IoU of 4/9 with the object. Boxes have sides of two strides before training, not
    none. And ground truth of class -1 is a region to ignore: background locations whose cell lies
    in one by more than ``ignore_overlap`` have no loss.

    Args:
        levels: The pyramid; its anchors are of no use here.
        backbone: A network with the outputs ``levels.feature_names``.
        num_classes: Classes without background.
        pixel_mean: Of each channel.
        pixel_std: Of each channel.
        num_head_convs: Convolutions of each of the head's two branches before its output.
        head_norm: Norm of these convolutions; "" for none.
        prior_prob: Class score of every location before training.
        size_ranges: For each level the least and the greatest distance in pixels from a location
            to a side of its box, both inclusive; empty for four strides of each (`level_ranges`).
        center_sampling_radius: In strides; see `assign_objects`.
        min_distance: Least distance in strides that can be predicted, negative outside of the box;
            0 as in mmdetection.
        ignore_overlap: Share of a location's cell, a square of one stride; see above.
        focal_loss_alpha: Weight of positive locations in the focal loss.
        focal_loss_gamma: Its exponent.
        test_score_thresh: Only candidates of a greater class score (`location_candidates`).
        test_topk_candidates: Candidates per level before suppression.
        test_nms_thresh: IoU above which the worse of two boxes of a class goes.
        max_detections_per_image: Detections kept after it; negative for all.
        input_format: Order of the channels, for those who prepare images.

    Raises:
        InputError: ``size_ranges`` are not one ascending range for each level, the radius is not
            positive, ``min_distance`` is positive, or the backbone is not this pyramid.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        levels: PyramidLevels,
        backbone: Backbone,
        num_classes: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        num_head_convs: int = 4,
        head_norm: str = "",
        prior_prob: float = 0.01,
        size_ranges: Sequence[Sequence[float]] = (),
        center_sampling_radius: float = 1.5,
        min_distance: float = -1.5,
        ignore_overlap: float = 0.5,
        focal_loss_alpha: float = 0.25,
        focal_loss_gamma: float = 2.0,
        test_score_thresh: float = 0.05,
        test_topk_candidates: int = 2000,
        test_nms_thresh: float = 0.6,
        max_detections_per_image: int = 1000,
        input_format: str = "BGR",
    ) -> None:
        super().__init__()
        _check_distances(center_sampling_radius, min_distance)
        self.levels = levels
        self.backbone = backbone
        self.head = FCOSHead(
            channels=feature_shapes(backbone, levels)[0].channels,
            num_levels=len(levels.strides),
            num_classes=num_classes,
            num_convs=num_head_convs,
            norm=head_norm,
            prior_prob=prior_prob,
            min_distance=min_distance,
        )
        self.num_classes = num_classes
        self.size_ranges = level_ranges(levels.strides, size_ranges)
        self.center_sampling_radius = float(center_sampling_radius)
        self.min_distance = float(min_distance)
        self.ignore_overlap = checked_overlap(ignore_overlap)
        self.focal_loss_alpha = focal_loss_alpha
        self.focal_loss_gamma = focal_loss_gamma
        self.test_score_thresh = test_score_thresh
        self.test_topk_candidates = test_topk_candidates
        self.test_nms_thresh = test_nms_thresh
        self.max_detections_per_image = max_detections_per_image
        self.input_format = input_format
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            channels = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(name, channels, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Translates yacs keys into the constructor's arguments.

        Raises:
            InputError: A stock key contradicts ``SCALE_MATCH.MODEL`` (`levels_from_config`).
        """
        fcos = cfg.SCALE_MATCH.FCOS
        return {
            "levels": levels_from_config(cfg),
            "backbone": build_backbone(cfg),
            "num_classes": fcos.NUM_CLASSES,
            "num_head_convs": fcos.NUM_CONVS,
            "head_norm": fcos.NORM,
            "prior_prob": fcos.PRIOR_PROB,
            "size_ranges": fcos.SIZE_RANGES,
            "center_sampling_radius": fcos.CENTER_SAMPLING_RADIUS,
            "min_distance": fcos.MIN_DISTANCE,
            "ignore_overlap": cfg.SCALE_MATCH.MODEL.IGNORE_OVERLAP,
            "focal_loss_alpha": fcos.FOCAL_LOSS_ALPHA,
            "focal_loss_gamma": fcos.FOCAL_LOSS_GAMMA,
            "test_score_thresh": fcos.SCORE_THRESH_TEST,
            "test_topk_candidates": fcos.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": fcos.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "input_format": cfg.INPUT.FORMAT,
        }

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pixel_mean.device

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor] | list[dict[str, Instances]]:
        """Losses in training, detections otherwise.

        Args:
            batched_inputs: Dicts with ``image``, (C, H, W); in training ``instances`` with
                ``gt_boxes`` and ``gt_classes``; else optionally ``height`` and ``width`` of the
                image that detections are wanted for.

        Returns:
            In training ``loss_cls``, ``loss_box_reg`` and ``loss_ctrness``, scalars; else per image
            ``{"instances": Instances}`` with ``pred_boxes`` (XYXY_ABS), ``scores`` and
            ``pred_classes``, best first.
        """
        images = self.preprocess_image(batched_inputs)
        grid, predictions = self._predict(images)
        if self.training:
            instances = [each["instances"].to(self.device) for each in batched_inputs]
            return self.losses([self.label_locations(grid, i) for i in instances], predictions)
        found = location_candidates(
            predictions,
            grid,
            limit=self.test_topk_candidates,
            score_threshold=self.test_score_thresh,
        )
        results = []
        for candidates, each, size in zip(found, batched_inputs, images.image_sizes, strict=True):
            height, width = each.get("height", size[0]), each.get("width", size[1])
            instances = detector_postprocess(self._suppress(candidates, size), height, width)
            results.append({"instances": instances})
        return results

    def raw_candidates(
        self, batched_inputs: list[dict[str, Any]], *, limit: int, score_threshold: float
    ) -> list[LocationCandidates]:
        """What is proposed on each image before suppression, for a sweep over test-time settings.

        Args:
            batched_inputs: As in `forward`.
            limit: Candidates per level.
            score_threshold: Only candidates of a greater class score.
        """
        grid, predictions = self._predict(self.preprocess_image(batched_inputs))
        return location_candidates(predictions, grid, limit=limit, score_threshold=score_threshold)

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalised images, padded to a common size that the backbone can divide."""
        images = [
            (each["image"].to(self.device) - self.pixel_mean) / self.pixel_std
            for each in batched_inputs
        ]
        return ImageList.from_tensors(images, self.backbone.size_divisibility)

    def label_locations(self, grid: LocationGrid, instances: Instances) -> LocationTargets:
        """What the locations of an image have to predict (`fcos_targets.label_locations`)."""
        return label_locations(
            grid,
            instances,
            num_classes=self.num_classes,
            size_ranges=self.size_ranges,
            radius=self.center_sampling_radius,
            ignore_overlap=self.ignore_overlap,
        )

    def losses(
        self, targets: Sequence[LocationTargets], predictions: LocationPredictions
    ) -> dict[str, Tensor]:
        """Losses of a batch (`fcos_losses.fcos_losses`)."""
        losses, num_positives = fcos_losses(
            targets,
            predictions,
            focal_alpha=self.focal_loss_alpha,
            focal_gamma=self.focal_loss_gamma,
        )
        # The step weights the parts of an accumulated batch by what stands here; the box loss,
        # which is divided by the sum of the centerness targets, follows it nearly.
        self.loss_denominator = at_least_one(num_positives)
        self.loss_count = num_positives
        return losses

    def _predict(self, images: ImageList) -> tuple[LocationGrid, LocationPredictions]:
        """The locations, and what the head says of them."""
        features = self.backbone(images.tensor)
        in_order = [features[name] for name in self.levels.feature_names]
        grid = LocationGrid(
            strides=self.levels.strides,
            shapes=[(feature.shape[-2], feature.shape[-1]) for feature in in_order],
            device=images.tensor.device,
        )
        return grid, self.head(in_order)

    def _suppress(self, candidates: LocationCandidates, size: tuple[int, int]) -> Instances:
        """The detections of one image of this height and width, in its own pixels."""
        kept = batched_nms(
            candidates.boxes, candidates.scores, candidates.classes, self.test_nms_thresh
        )
        if self.max_detections_per_image >= 0:
            kept = kept[: self.max_detections_per_image]
        found = Instances(size)
        found.pred_boxes = Boxes(candidates.boxes[kept])
        found.scores = candidates.scores[kept]
        found.pred_classes = candidates.classes[kept]
        return found


def _check_distances(radius: float, min_distance: float) -> None:
    if not (math.isfinite(radius) and radius > 0):
        raise InputError(
            "center_sampling_radius (SCALE_MATCH.FCOS.CENTER_SAMPLING_RADIUS) must be a positive "
            f"number of strides, received {radius}"
        )
    if not min_distance <= 0:
        raise InputError(
            "min_distance (SCALE_MATCH.FCOS.MIN_DISTANCE) must be 0 or a negative number of "
            f"strides, received {min_distance}"
        )
