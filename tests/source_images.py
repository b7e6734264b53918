"""Generated images whose boxes have widely spread sizes, for the samplers of parts of images."""

import numpy as np

from scale_match.core.exact_tiling import SourceImage


def drawn_images(count, seed=0):
    """Images of 400 x 500 pixels with 0 to 12 boxes of log-normal sizes, some of them cut."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(count):
        boxes = int(rng.integers(0, 13))
        sides = np.exp(rng.normal(3.8, 0.7, (boxes, 1)) + rng.normal(0.0, 0.2, (boxes, 2)))
        corners = rng.uniform(-10, 1, (boxes, 2)) + rng.uniform(0, 1, (boxes, 2)) * (500, 400)
        xywh = np.concatenate([corners, sides], axis=1)
        images.append(SourceImage.of_boxes(number + 1, 400, 500, xywh))
    return images
