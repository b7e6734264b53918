"""FCOS' targets and losses in plain Python and NumPy, one location and one object at a time.

From the papers (arXiv 1904.01355, 2006.09214) and the authors' settings: centre sampling, distances
in strides, GIoU weighted by centerness, focal loss by the number of positive locations. Besides,
the rule by which every object gets a location. Slow on purpose.
"""

import math
from fractions import Fraction

import numpy as np

ALPHA, GAMMA = 0.25, 2.0


def locations_of(strides, shapes):
    """(x, y, level) of every location: level, row, column."""
    return [
        ((column + 0.5) * stride, (row + 0.5) * stride, level)
        for level, (stride, (rows, columns)) in enumerate(zip(strides, shapes, strict=True))
        for row in range(rows)
        for column in range(columns)
    ]


def area(box):
    """Without any rounding."""
    x1, y1, x2, y2 = map(Fraction, box)
    return (x2 - x1) * (y2 - y1)


def sides_of(box, x, y):
    """Distances to the left, upper, right and lower side."""
    return x - box[0], y - box[1], box[2] - x, box[3] - y


def away(box, x, y):
    """Distance from the centre in x, and in y."""
    return abs(x - (box[0] + box[2]) / 2), abs(y - (box[1] + box[3]) / 2)


def assign(strides, shapes, boxes, ranges, radius):
    """Per location the index of its object, None for background, and whether it was forced."""
    places = locations_of(strides, shapes)
    legal = [m for m, box in enumerate(boxes) if box[2] > box[0] and box[3] > box[1]]
    legal.sort(key=lambda m: (area(boxes[m]), m))
    owners = [None] * len(places)
    for r, (x, y, level) in enumerate(places):
        for m in legal:
            sides = sides_of(boxes[m], x, y)
            near = max(away(boxes[m], x, y)) < radius * strides[level]
            low, high = ranges[level]
            if near and min(sides) > 0 and low <= max(sides) <= high:
                owners[r] = m
                break

    def rank(m, r):  # squares have no rounding at these coordinates
        dx, dy = away(boxes[m], *places[r][:2])
        return dx * dx + dy * dy, r

    kept = set()
    for m in legal:
        mine = [r for r, owner in enumerate(owners) if owner == m]
        if mine:
            kept.add(min(mine, key=lambda r: rank(m, r)))
    waiting = [m for m in legal if m not in owners]
    forced = [False] * len(places)
    for shift in [0, *range(-1, -len(strides), -1), *range(1, len(strides))]:
        still = []
        for m in waiting:
            level = _level_of(boxes[m], ranges) + shift
            choices = [
                r
                for r, (x, y, at) in enumerate(places)
                if at == level
                and r not in kept
                and (
                    min(sides_of(boxes[m], x, y)) > 0
                    or max(away(boxes[m], x, y)) < radius * strides[at]
                )
            ]
            if choices:
                best = min(choices, key=lambda r: rank(m, r))
                owners[best], forced[best] = m, True
                kept.add(best)
            else:
                still.append(m)
        waiting = still
    return owners, forced


def _level_of(box, ranges):
    half = max(box[2] - box[0], box[3] - box[1]) / 2
    fitting = [level for level, (_, high) in enumerate(ranges) if half <= high]
    return fitting[0] if fitting else len(ranges) - 1


def centerness_of(sides):
    left, top, right, bottom = (max(side, 0.0) for side in sides)
    return math.sqrt(min(left, right) / max(left, right) * (min(top, bottom) / max(top, bottom)))


def giou(box, other):
    """Of two boxes (x1, y1, x2, y2)."""
    w = min(box[2], other[2]) - max(box[0], other[0])
    h = min(box[3], other[3]) - max(box[1], other[1])
    inter = max(w, 0) * max(h, 0)
    union = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)) - inter
    hull = (max(box[2], other[2]) - min(box[0], other[0])) * (
        max(box[3], other[3]) - min(box[1], other[1])
    )
    return inter / union - (hull - union) / hull


def focal(logit, target):
    p = 1 / (1 + math.exp(-logit))
    pt, alpha = (p, ALPHA) if target else (1 - p, 1 - ALPHA)
    return -alpha * (1 - pt) ** GAMMA * math.log(pt)


def losses(strides, shapes, outputs, samples, ranges, radius):
    """Class, box and centerness loss of a batch.

    ``outputs`` are logits (N, R, K), distances in strides (N, R, 4) and centerness logits (N, R);
    ``samples`` boxes and classes per image.
    """
    places = locations_of(strides, shapes)
    sums, positives, weight = np.zeros(3), 0, 0.0
    for image, (boxes, classes) in enumerate(samples):
        logits, distances, middle = (output[image] for output in outputs)
        owners, forced = assign(strides, shapes, boxes, ranges, radius)
        for r, (x, y, level) in enumerate(places):
            m = owners[r]
            for k, logit in enumerate(logits[r]):
                sums[0] += focal(logit, m is not None and classes[m] == k)
            if m is None:
                continue
            target = 1.0 if forced[r] else centerness_of(sides_of(boxes[m], x, y))
            left, top, right, bottom = (float(d) * strides[level] for d in distances[r])
            sums[1] += target * (1 - giou((x - left, y - top, x + right, y + bottom), boxes[m]))
            p = 1 / (1 + math.exp(-middle[r]))
            sums[2] -= target * math.log(p) + (1 - target) * math.log(1 - p)
            positives, weight = positives + 1, weight + target
    return sums / [max(positives, 1), max(weight, 1e-6), max(positives, 1)]
