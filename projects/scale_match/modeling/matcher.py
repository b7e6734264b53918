"""Matching of anchors to ground truth."""

from detectron2.modeling.matcher import Matcher
from torch import Tensor

__all__ = ["OverlapMatcher"]


class OverlapMatcher(Matcher):
    """detectron2's matcher, whose low-quality matches need an overlap.

    ``allow_low_quality_matches`` makes the best anchors of a ground-truth box positive however low
    their IoU is. For a box that meets no anchor at all the best IoU is 0, which every anchor has:
    detectron2 then makes all of them positive. Here such a box gets none.
    """

    def set_low_quality_matches_(self, match_labels: Tensor, match_quality_matrix: Tensor) -> None:
        """Marks the best anchors of each ground-truth box as positive, in place.

        Args:
            match_labels: Labels so far, (R,).
            match_quality_matrix: IoU of M ground-truth boxes with R anchors, (M, R).
        """
        meets_an_anchor = match_quality_matrix.amax(dim=1) > 0  # (M,)
        if not bool(meets_an_anchor.all()):
            match_quality_matrix = match_quality_matrix[meets_an_anchor]
        super().set_low_quality_matches_(match_labels, match_quality_matrix)
