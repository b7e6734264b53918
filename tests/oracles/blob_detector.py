"""A detector without learning: what stands out against its surroundings, as connected components.

The judge of the toy data: if this finds the persons, the data is too easy to show anything. It is a
fair effort. The ground is estimated by a median over a wide neighbourhood, so gradients and large
waves do not count; contrast is the largest of the three channels' in either direction, measured in
units of the ground's own noise; several thresholds and several scores are offered, and the caller
takes the one that suits the data best.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

SCORES = ("contrast", "shape", "both")
THRESHOLDS = (3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0, 20.0)
"""In standard deviations of the ground's noise."""

_REDUCTION = 4
_MEDIAN = 11  # of the reduced image: 44 pixels, above the size of any person
_LARGEST = 48.0  # pixels; no person of the toy target is higher or wider
_PERSON_ASPECT = 0.56  # width / height of a standing person


@dataclass(frozen=True)
class Blobs:
    """Components of one image: boxes XYWH_ABS (M, 4), and a score (M,) by name."""

    boxes: np.ndarray
    scores: dict[str, np.ndarray]


def contrast_map(image_rgb: np.ndarray) -> np.ndarray:
    """Contrast against the surroundings in units of their noise, (H, W)."""
    picture = Image.fromarray(image_rgb)
    ground = picture.reduce(_REDUCTION).filter(ImageFilter.MedianFilter(_MEDIAN))
    ground = ground.resize(picture.size, Image.Resampling.BILINEAR)
    difference = np.abs(image_rgb.astype(np.float32) - np.asarray(ground, dtype=np.float32))
    difference = difference.max(axis=2)
    # The noise differs from ground to ground: take it from the surroundings, too.
    noise = Image.fromarray(difference).reduce(_REDUCTION)
    median = ndimage.median_filter(np.asarray(noise), size=_MEDIAN)
    scale = np.asarray(Image.fromarray(median).resize(picture.size, Image.Resampling.BILINEAR))
    return difference / np.maximum(scale, 1.0)


def find_blobs(contrast: np.ndarray, threshold: float) -> Blobs:
    """Connected components above a threshold, joined over gaps of one pixel."""
    mask = ndimage.binary_closing(contrast > threshold, structure=np.ones((3, 3)))
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    slices = ndimage.find_objects(labels)
    spans = [(x.start, y.start, x.stop - x.start, y.stop - y.start) for y, x in slices]
    boxes = np.asarray(spans, dtype=np.float64).reshape(-1, 4)
    mean = ndimage.mean(contrast, labels, np.arange(1, count + 1)).reshape(-1)
    fits = (boxes[:, 2:] <= _LARGEST).all(axis=1) & (boxes[:, 2] * boxes[:, 3] >= 4.0)
    boxes, mean = boxes[fits], mean[fits]
    off_shape = np.abs(np.log(boxes[:, 2] / boxes[:, 3] / _PERSON_ASPECT))
    shape = np.exp(-off_shape)
    return Blobs(boxes, {"contrast": mean, "shape": shape, "both": shape * np.log1p(mean)})
