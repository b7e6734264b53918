"""A detector without learning: what stands out against its surroundings, as connected components.

The judge of the toy data: if this finds the persons, the data is too easy to show anything. It is a
fair effort. The ground is estimated by a median over a wide neighbourhood, so gradients and large
waves do not count; contrast is the largest of the three channels' in either direction, measured in
units of the ground's own noise; several thresholds and several scores are offered, and the caller
takes the one that suits the data best.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SCORES = ("contrast", "shape", "both")
THRESHOLDS = (3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0, 20.0)
"""In standard deviations of the ground's noise."""

_REDUCTION = 4
_MEDIAN = 11  # of the reduced image: 44 pixels, above the size of almost any person
_LARGEST = 48.0  # pixels; no person of the toy target is higher or wider
_PERSON_ASPECT = 0.56  # width / height of a standing person


@dataclass(frozen=True)
class Blobs:
    """Components of one image: boxes XYWH_ABS (M, 4), and a score (M,) by name."""

    boxes: np.ndarray
    scores: dict[str, np.ndarray]


def contrast_map(image_rgb: np.ndarray) -> np.ndarray:
    """Contrast against the surroundings in units of their noise, (H, W)."""
    difference = cv2.absdiff(image_rgb, _surroundings(image_rgb)).max(axis=2)
    # The noise differs from ground to ground: take it from the surroundings, too.
    noise = np.maximum(_surroundings(difference), 1)
    return difference.astype(np.float32) / noise


def _surroundings(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    small = (width // _REDUCTION, height // _REDUCTION)
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.medianBlur(reduced, _MEDIAN), (width, height))


def find_blobs(contrast: np.ndarray, threshold: float) -> Blobs:
    """Connected components above a threshold, joined over gaps of one pixel."""
    mask = (contrast > threshold).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = stats[:, :4].astype(np.float64)
    mean = np.bincount(labels.ravel(), contrast.ravel(), count) / stats[:, cv2.CC_STAT_AREA]
    fits = (boxes[:, 2:] <= _LARGEST).all(axis=1) & (boxes[:, 2] * boxes[:, 3] >= 4.0)
    fits[0] = False  # the ground
    boxes, mean = boxes[fits], mean[fits]
    shape = np.exp(-np.abs(np.log(boxes[:, 2] / boxes[:, 3] / _PERSON_ASPECT)))
    return Blobs(boxes, {"contrast": mean, "shape": shape, "both": shape * np.log1p(mean)})
