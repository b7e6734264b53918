"""RetinaNet's anchors, matching and losses in plain NumPy, one anchor at a time.

From the paper (focal loss, arXiv 1708.02002) and the authors' settings: IoU from 0.5 positive,
from 0.4 ignored, the best anchor of a box positive at any IoU above 0; L1 on the deltas; sums
divided by the number of positive anchors, an image without one counting one. Slow on purpose. Give
it boxes that no two anchors fit equally well: ties fall as the rounding falls, here and in
detectron2.
"""

import math

import numpy as np

ALPHA, GAMMA = 0.25, 2.0


def anchors_of(strides, anchor_scale, scales_per_octave, ratios, height, width):
    """XYXY anchors of an image in detectron2's order: level, row, column, size, ratio."""
    anchors = []
    for stride in strides:
        for row in range(math.ceil(height / stride)):
            for column in range(math.ceil(width / stride)):
                for k in range(scales_per_octave):
                    side = anchor_scale * stride * 2 ** (k / scales_per_octave)
                    for ratio in ratios:
                        w, h = side / math.sqrt(ratio), side * math.sqrt(ratio)
                        x, y = column * stride, row * stride
                        anchors.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(anchors)


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (areas - w * h)


def deltas_of(anchor, box):
    aw, ah = anchor[2] - anchor[0], anchor[3] - anchor[1]
    w, h = box[2] - box[0], box[3] - box[1]
    dx = ((box[0] + box[2]) - (anchor[0] + anchor[2])) / 2 / aw
    dy = ((box[1] + box[3]) - (anchor[1] + anchor[3])) / 2 / ah
    return np.array([dx, dy, math.log(w / aw), math.log(h / ah)])


def match(anchors, boxes):
    """Per anchor the index of its box, -1 for background, -2 for ignored."""
    if len(boxes) == 0:
        return np.full(len(anchors), -1)
    quality = np.array([[iou(anchor, box) for box in boxes] for anchor in anchors])  # (R, M)
    matched = np.full(len(anchors), -1)
    for r, row in enumerate(quality):
        if row.max() >= 0.5:
            matched[r] = row.argmax()
        elif row.max() >= 0.4:
            matched[r] = -2
    for column in quality.T:
        if column.max() > 0:
            for r in np.flatnonzero(column == column.max()):
                matched[r] = quality[r].argmax()
    return matched


def focal(logit, target):
    p = 1 / (1 + math.exp(-logit))
    pt, alpha = (p, ALPHA) if target else (1 - p, 1 - ALPHA)
    return -alpha * (1 - pt) ** GAMMA * math.log(pt)


def losses(anchors, logits, deltas, boxes, classes):
    """Focal and box loss; logits (N, R, K), deltas (N, R, 4), boxes and classes per image."""
    loss_cls = loss_box = 0.0
    divisor = 0
    for image in range(len(logits)):
        matched = match(anchors, boxes[image])
        for r, m in enumerate(matched):
            if m == -2:
                continue
            for k, logit in enumerate(logits[image][r]):
                loss_cls += focal(logit, m >= 0 and classes[image][m] == k)
            if m >= 0:
                expected = deltas_of(anchors[r], boxes[image][m])
                loss_box += float(np.abs(deltas[image][r] - expected).sum())
        divisor += max(1, int((matched >= 0).sum()))
    return loss_cls / divisor, loss_box / divisor
