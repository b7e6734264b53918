"""The candidates of detectron2's two-stage detectors, as their own inference chooses them."""

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances
from torch import Tensor

from scale_match.inference.raw_candidates import Inputs, RawCandidates

__all__ = ["RCNNCandidates"]


class RCNNCandidates:
    """The classified proposals of a Faster R-CNN.

    A proposal is a candidate for each class whose score suffices. The limit of candidates per level
    is one of the first stage, before its own suppression: it cannot be tried on candidates
    afterwards, and no candidate of the second stage is left out by a limit here.

    detectron2 suppresses after it has clipped to the input, so the boxes are clipped.

    Args:
        model: Boxes only; in evaluation mode when it is called.
    """

    def __init__(self, model: GeneralizedRCNN) -> None:
        self._model = model

    @property
    def fixed_limit(self) -> int:
        """The first stage's limit of candidates per level, with which the model always runs."""
        limit: int = self._model.proposal_generator.pre_nms_topk[False]
        return limit

    def raw_candidates(
        self, batched_inputs: list[Inputs], *, limit: int, score_threshold: float
    ) -> list[RawCandidates]:
        """See :class:`~scale_match.inference.raw_candidates.CandidateSource`.

        All count as one level. Ranks are below the limit, whatever it is.
        """
        model, heads = self._model, self._model.roi_heads
        images = model.preprocess_image(batched_inputs)
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features, None)
        pooled = heads.box_pooler(
            [features[name] for name in heads.box_in_features],
            [each.proposal_boxes for each in proposals],
        )
        predictions = heads.box_predictor(heads.box_head(pooled))
        return [
            _of_image(each, boxes, scores, limit=limit, score_threshold=score_threshold)
            for each, boxes, scores in zip(
                proposals,
                heads.box_predictor.predict_boxes(predictions, proposals),
                heads.box_predictor.predict_probs(predictions, proposals),
                strict=True,
            )
        ]


def _of_image(
    proposals: Instances, boxes: Tensor, scores: Tensor, *, limit: int, score_threshold: float
) -> RawCandidates:
    """The candidates of one image; R proposals, K classes.

    Args:
        proposals: R of them.
        boxes: XYXY, of each class (R, K * 4) or of all classes (R, 4).
        scores: With that of the background at the end, (R, K + 1).
        limit: All ranks are below it.
        score_threshold: Exclusive.
    """
    num_classes = scores.shape[1] - 1
    owners, classes = (scores[:, :-1] > score_threshold).nonzero(as_tuple=True)
    order = scores[owners, classes].argsort(descending=True, stable=True)
    owners, classes = owners[order], classes[order]
    per_class = boxes.reshape(len(boxes), -1, 4)  # (R, K or 1, 4)
    if per_class.shape[1] != num_classes:
        per_class = per_class.expand(-1, num_classes, -1)
    clipped = Boxes(per_class[owners, classes])
    clipped.clip(proposals.image_size)
    return RawCandidates(
        boxes=clipped.tensor,
        scores=scores[owners, classes],
        filter_scores=scores[owners, classes],
        classes=classes,
        levels=torch.zeros_like(classes),
        ranks=torch.arange(len(classes), device=classes.device).clamp(max=limit - 1),
    )
