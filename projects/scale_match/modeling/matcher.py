"""Matching of anchors to ground truth: detectron2's rules, for boxes that meet few anchors.

detectron2 fills a matrix of all boxes and all anchors. In a tile of 640x512 with anchors from
stride 4 on there are 245,520 anchors and up to 1000 boxes, and nearly all entries are 0.
:meth:`OverlapMatcher.match_grid` gives the same labels from the pairs that overlap.

M ground-truth boxes, R anchors over all levels.
"""

from collections.abc import Sequence

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes
from torch import Tensor

from scale_match.modeling.anchor_grid import AnchorGrid

__all__ = ["OverlapMatcher"]


class OverlapMatcher(Matcher):
    """detectron2's matcher, whose low-quality matches need an overlap.

    ``allow_low_quality_matches`` makes the best anchors of a ground-truth box positive however low
    their IoU is. For a box that meets no anchor at all the best IoU is 0, which every anchor has:
    detectron2 then makes all of them positive. Here such a box gets none.

    Args:
        thresholds: Limits of the IoU between the labels, ascending.
        labels: 0 background, -1 ignored, 1 positive; one more than thresholds.
        allow_low_quality_matches: Make the best anchors of each box positive.
        min_low_quality_iou: Least IoU for that; it must be larger than 0 in any case.
    """

    def __init__(
        self,
        thresholds: Sequence[float],
        labels: Sequence[int],
        *,
        allow_low_quality_matches: bool = False,
        min_low_quality_iou: float = 0.0,
    ) -> None:
        super().__init__(list(thresholds), list(labels), allow_low_quality_matches)
        self.min_low_quality_iou = min_low_quality_iou

    def set_low_quality_matches_(self, match_labels: Tensor, match_quality_matrix: Tensor) -> None:
        """Marks the best anchors of each ground-truth box as positive, in place.

        Args:
            match_labels: Labels so far, (R,).
            match_quality_matrix: IoU of M ground-truth boxes with R anchors, (M, R).
        """
        best = match_quality_matrix.amax(dim=1)  # (M,)
        enough = self._is_enough(best)
        if not bool(enough.all()):
            match_quality_matrix = match_quality_matrix[enough]
        super().set_low_quality_matches_(match_labels, match_quality_matrix)

    def match_grid(
        self, anchors: Sequence[Boxes], cell_anchors: Sequence[int], gt_boxes: Boxes
    ) -> tuple[Tensor, Tensor]:
        """What the matcher gives for ``pairwise_iou(gt_boxes, anchors)``, without that matrix.

        Time and memory grow with the number of pairs that overlap.

        Args:
            anchors: Per level, as detectron2's anchor generator lists them, R in all.
            cell_anchors: Anchors at each position of each level.
            gt_boxes: XYXY_ABS, M of them.

        Returns:
            Index of the matched box, (R,) int64, the first one of the best; and label, (R,) int8.

        Raises:
            ValueError: The anchors are no regular grid.
        """
        return self.match(AnchorGrid(anchors, cell_anchors), gt_boxes)

    def match(self, grid: AnchorGrid, gt_boxes: Boxes) -> tuple[Tensor, Tensor]:
        """The same for a grid that was made before, as several images share one."""
        boxes = gt_boxes.tensor
        best = grid.anchors.new_zeros(len(grid))
        matches = torch.zeros(len(grid), dtype=torch.int64, device=best.device)
        is_best_of_box = torch.zeros(len(grid), dtype=torch.bool, device=best.device)
        for pairs in grid.met_by(boxes):
            before = best.index_select(0, pairs.anchors)
            best.scatter_reduce_(0, pairs.anchors, pairs.iou, "amax")
            # Only who is better than all earlier boxes takes over; of equals in here the first.
            leads = (pairs.iou == best.index_select(0, pairs.anchors)) & (pairs.iou > before)
            matches[pairs.anchors[leads]] = len(boxes)
            matches.scatter_reduce_(0, pairs.anchors[leads], pairs.boxes[leads], "amin")
            if self.allow_low_quality_matches:
                of_box = best.new_zeros(len(boxes)).scatter_reduce_(
                    0, pairs.boxes, pairs.iou, "amax"
                )[pairs.boxes]
                wins = (pairs.iou == of_box) & self._is_enough(of_box)
                is_best_of_box[pairs.anchors[wins]] = True
        labels = torch.ones_like(matches, dtype=torch.int8)
        for label, low, high in zip(
            self.labels, self.thresholds[:-1], self.thresholds[1:], strict=True
        ):
            labels[(best >= low) & (best < high)] = label
        labels[is_best_of_box] = 1
        return matches, labels

    def _is_enough(self, iou: Tensor) -> Tensor:
        """Whether the best IoU of a box makes its anchors positive."""
        return (iou > 0) & (iou >= self.min_low_quality_iou)
