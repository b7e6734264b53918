"""The candidates of detectron2's detectors, as their own inference chooses them."""

from collections.abc import Sequence

import torch
from detectron2.modeling import GeneralizedRCNN, RetinaNet
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from torch import Tensor, nn

from scale_match.core.errors import InputError
from scale_match.inference.raw_candidates import CandidateSource, Inputs, RawCandidates
from scale_match.inference.rcnn_candidates import RCNNCandidates

__all__ = ["RetinaNetCandidates", "candidate_source"]


class RetinaNetCandidates:
    """The candidates of a RetinaNet, as its own inference chooses them.

    Among equal scores those of lower anchors come first. detectron2 leaves that open, and its
    versions differ, so that candidates of equal score at the limit may be others there.

    Args:
        model: Of any pyramid, in evaluation mode when it is called.
    """

    def __init__(self, model: RetinaNet) -> None:
        self._model = model

    def raw_candidates(
        self, batched_inputs: list[Inputs], *, limit: int, score_threshold: float
    ) -> list[RawCandidates]:
        """See :class:`CandidateSource`."""
        model = self._model
        images = model.preprocess_image(batched_inputs)
        features = model.backbone(images.tensor)
        features = [features[name] for name in model.head_in_features]
        anchors = [level.tensor for level in model.anchor_generator(features)]
        logits, deltas = model.head(features)
        logits = [_per_anchor(level, model.num_classes) for level in logits]
        deltas = [_per_anchor(level, 4) for level in deltas]
        return [
            self._of_image(
                [level[i] for level in logits],
                [level[i] for level in deltas],
                anchors,
                limit,
                score_threshold,
            )
            for i in range(len(batched_inputs))
        ]

    def _of_image(
        self,
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        anchors: Sequence[Tensor],
        limit: int,
        score_threshold: float,
    ) -> RawCandidates:
        """The candidates of one image; R_i anchors on level i, K classes.

        Args:
            logits: Per level, (R_i, K).
            deltas: Per level, (R_i, 4).
            anchors: Per level, (R_i, 4).
            limit: Per level.
            score_threshold: Exclusive.
        """
        parts = []
        for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
            scores = logit.flatten().sigmoid()  # (R_i * K,)
            places = (scores > score_threshold).nonzero()[:, 0]
            order = scores[places].argsort(descending=True, stable=True)[:limit]
            places = places[order]
            owners = places // self._model.num_classes
            parts.append(
                RawCandidates(
                    boxes=self._model.box2box_transform.apply_deltas(delta[owners], anchor[owners]),
                    scores=scores[places],
                    filter_scores=scores[places],
                    classes=places % self._model.num_classes,
                    levels=torch.full_like(places, level),
                    ranks=torch.arange(len(places), device=places.device),
                )
            )
        return _joined(parts)


def candidate_source(model: nn.Module) -> CandidateSource:
    """The way to get the candidates of a detector.

    Args:
        model: A detectron2 detector.

    Raises:
        InputError: There is no way to get them.
    """
    if isinstance(model, CandidateSource):
        return model
    if isinstance(model, RetinaNet):
        return RetinaNetCandidates(model)
    if isinstance(model, GeneralizedRCNN):
        # A cascade has several of them.
        predictor = getattr(model.roi_heads, "box_predictor", None)
        if isinstance(predictor, FastRCNNOutputLayers):
            return RCNNCandidates(model)
    raise InputError(
        f"{type(model).__name__} does not give its candidates before suppression: a sweep needs a "
        "RetinaNet, a Faster R-CNN or a detector with the method raw_candidates"
    )


def _per_anchor(level: Tensor, width: int) -> Tensor:
    """The head's output (N, A * width, H, W) as (N, H * W * A, width)."""
    batch, _, height, columns = level.shape
    split = level.view(batch, -1, width, height, columns)
    return split.permute(0, 3, 4, 1, 2).reshape(batch, -1, width)


def _joined(parts: Sequence[RawCandidates]) -> RawCandidates:
    return RawCandidates(
        *(torch.cat([getattr(part, name) for part in parts]) for name in RawCandidates.__slots__)
    )
