"""Which detections on tiles the merging has removed. M detections after it, N before."""

import numpy as np

from scale_match.core.records import DetectionTable, IntArray

__all__ = ["joined_detections", "removed_by_merging"]


def removed_by_merging(merged: DetectionTable, shifted: DetectionTable) -> DetectionTable:
    """What is left of the detections on tiles once the merged ones are taken away.

    Two rows are the same if image, category, score and upper left corner are; the corner as
    float32, to which merging rounds it. One merged row stands for one row.

    Args:
        merged: Detections of whole images after merging.
        shifted: All detections on tiles in image coordinates, as
            ``merging.merge_tile_results(..., threshold=1.0)`` gives them.

    Returns:
        The rows of ``shifted`` that are not in ``merged``, in their order.
    """
    both = joined_detections(merged, shifted)
    corners = both.boxes[:, :2].astype(np.float32)
    keys = (corners[:, 1], corners[:, 0], both.category_ids, both.image_ids, both.scores)
    order = np.lexsort(keys)
    begins = np.ones(len(order), dtype=np.bool_)  # of runs of equal rows, (M + N,)
    begins[1:] = np.any([np.diff(key[order]) != 0 for key in keys], axis=0)
    runs = np.cumsum(begins) - 1
    of_shifted = order >= len(merged)
    num_merged = np.bincount(runs[~of_shifted], minlength=len(order))
    before: IntArray = np.cumsum(of_shifted) - of_shifted
    rank = before - before[begins][runs]  # among the rows of shifted in a run
    left = order[of_shifted & (rank >= num_merged[runs])] - len(merged)
    left.sort()
    return DetectionTable(
        image_ids=shifted.image_ids[left],
        category_ids=shifted.category_ids[left],
        boxes=shifted.boxes[left],
        scores=shifted.scores[left],
    )


def joined_detections(first: DetectionTable, second: DetectionTable) -> DetectionTable:
    """Two tables as one, the rows of the first before those of the second."""
    return DetectionTable(
        image_ids=np.concatenate([first.image_ids, second.image_ids]),
        category_ids=np.concatenate([first.category_ids, second.category_ids]),
        boxes=np.concatenate([first.boxes, second.boxes]),
        scores=np.concatenate([first.scores, second.scores]),
    )
