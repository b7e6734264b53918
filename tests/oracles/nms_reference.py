"""Greedy non-maximum suppression once more, one pair of boxes at a time.

Computes in the type of the given corners: the oracle's is float32.
"""


def iou(first, second, extra):
    """Intersection over union of two XYXY boxes with ``extra`` added to all sides."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + extra
    height = min(first[3], second[3]) - max(first[1], second[1]) + extra
    if width <= 0 or height <= 0:
        return extra * 0
    areas = [(box[2] - box[0] + extra) * (box[3] - box[1] + extra) for box in (first, second)]
    return width * height / (areas[0] + areas[1] - width * height)


def nms(boxes, scores, *, threshold, plus_one=False, inclusive=False):
    """Indices that stay, best first; between equal scores the lower index."""
    extra = boxes.dtype.type(1 if plus_one else 0)
    kept = []
    for index in sorted(range(len(scores)), key=lambda index: (-scores[index], index)):
        overlaps = [iou(boxes[winner], boxes[index], extra) for winner in kept]
        if not any(value >= threshold if inclusive else value > threshold for value in overlaps):
            kept.append(index)
    return kept
