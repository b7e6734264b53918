"""The IoU of each box with the best anchor, from the list of all anchors, one pair at a time."""

import math


def best_ious(pyramid, boxes_xywh, width, height):
    """For boxes of one image; anchors at every cell that the image meets."""
    best = []
    for x, y, w, h in boxes_xywh:
        found = 0.0
        for stride, sizes in zip(pyramid.strides, pyramid.anchor_sizes, strict=True):
            for row in range(math.ceil(height / stride)):
                for column in range(math.ceil(width / stride)):
                    for size in sizes:
                        for ratio in pyramid.aspect_ratios:
                            anchor_w = size / math.sqrt(ratio)
                            anchor_h = anchor_w * ratio
                            left = column * stride - anchor_w / 2
                            top = row * stride - anchor_h / 2
                            shared_w = min(x + w, left + anchor_w) - max(x, left)
                            shared_h = min(y + h, top + anchor_h) - max(y, top)
                            if shared_w > 0 and shared_h > 0:
                                shared = shared_w * shared_h
                                union = w * h + anchor_w * anchor_h - shared
                                found = max(found, shared / union)
        best.append(found)
    return best
