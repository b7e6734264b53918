"""Which detections lie on which ground truth, of whatever category.

The evaluation looks at pairs of one category only. What went wrong with a detection shows in the
others, too. P pairs, M detections, G ground-truth boxes.
"""

from dataclasses import dataclass

import numpy as np

from scale_match.core.overlaps import overlapping_pairs
from scale_match.core.records import BoolArray, FloatArray, IntArray

__all__ = ["BoxRelations", "PlacedBoxes", "find_relations"]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBoxes:
    """Boxes, and where they belong.

    Attributes:
        images: Index of the image, (N,).
        categories: Index of the category, (N,).
        boxes: XYWH_ABS, (N, 4).
    """

    images: IntArray
    categories: IntArray
    boxes: FloatArray

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class BoxRelations:
    """Pairs of a detection and a ground truth of one image that overlap enough.

    The pairs of a detection stand in the order of its preference: first ground truth of its own
    category, then large IoU, then late ground truth.

    Attributes:
        detections: (P,), ascending.
        targets: Ground truth, (P,).
        iou: (P,).
        same: Both are of one category, (P,).
    """

    detections: IntArray
    targets: IntArray
    iou: FloatArray
    same: BoolArray

    def select(self, chosen: BoolArray) -> "BoxRelations":
        """Some of the pairs, (P,) True for those that stay."""
        return BoxRelations(
            self.detections[chosen], self.targets[chosen], self.iou[chosen], self.same[chosen]
        )

    def best(self, num_detections: int) -> tuple[FloatArray, IntArray]:
        """The first pair of each detection.

        Returns:
            Its IoU, 0 where there is no pair, (M,), and its ground truth, -1 likewise, (M,).
        """
        first = np.flatnonzero(np.diff(self.detections, prepend=-1))
        iou = np.zeros(num_detections)
        targets = np.full(num_detections, -1, dtype=np.int64)
        iou[self.detections[first]] = self.iou[first]
        targets[self.detections[first]] = self.targets[first]
        return iou, targets


def find_relations(
    detections: PlacedBoxes,
    targets: PlacedBoxes,
    *,
    threshold: float,
    among: BoolArray,
    wanted: BoolArray,
) -> BoxRelations:
    """Find the pairs of one image that reach an IoU.

    Args:
        detections: M of them.
        targets: Ground truth, G of them; no crowds, whose IoU is another.
        threshold: Least IoU, positive.
        among: Detections to look at, (M,).
        wanted: Ground truth to look at, (G,).

    Returns:
        The pairs; indices are those into all detections and all ground truth.
    """
    rows, columns = np.flatnonzero(among), np.flatnonzero(wanted)
    areas = detections.boxes[:, 2] * detections.boxes[:, 3]
    target_areas = targets.boxes[:, 2] * targets.boxes[:, 3]
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for row, column, intersection in overlapping_pairs(
        detections.images[rows],
        detections.boxes[rows],
        targets.images[columns],
        targets.boxes[columns],
    ):
        index, target = rows[row], columns[column]
        iou = intersection / (areas[index] + target_areas[target] - intersection)
        enough = iou >= threshold
        parts.append((index[enough], target[enough], iou[enough]))
    index, target, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    same = detections.categories[index] == targets.categories[target]
    order = np.lexsort((-target, -iou, ~same, index))
    return BoxRelations(index[order], target[order], iou[order], same[order])
