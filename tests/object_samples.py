"""Boxes of one image as `Objects`, for tests of rules on sizes."""

import numpy as np

from scale_match.core.data_summary import Objects


def objects(boxes, sides=(640, 512)):
    """Boxes XYWH of one image."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    rows = np.zeros(len(boxes), np.int64)
    return Objects(boxes, rows, rows, np.array([sides], np.float64))


def squares(*sizes, sides=(640, 512)):
    """Square boxes centred on anchors of every stride."""
    return objects([[320 - s / 2, 256 - s / 2, s, s] for s in sizes], sides)
