"""Multi-scale training whose images are all padded to one size, so that a step's memory is known.

As in HRNet's detection code: 600 x 1000, 800 x 1333 and 1000 x 1600 on 1000 x 1600.
"""

from collections.abc import Sequence

import numpy as np
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.errors import InputError

__all__ = ["MultiScalePadded"]

_GREY = 128.0  # detectron2's FixedSizeCrop fills with it


class MultiScalePadded(T.Augmentation):
    """Resizes an image to the largest size within one drawn from a list, and pads it.

    Sides are given as (short, long). An image that is higher than wide gets the high version of
    each size; the loader makes batches of one orientation. The padding is grey, right and below.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], pad_to: Sequence[int]) -> None:
        """Resize to one of the sizes.

        Args:
            sizes: Pairs (short, long) in pixels to draw from, each equally likely.
            pad_to: Pair (short, long) in pixels that none of them exceeds.

        Raises:
            InputError: A pair is none, or does not fit into ``pad_to``.
        """
        super().__init__()
        self.pad_to = _pair("pad_to", pad_to)
        self.sizes = [_pair("sizes", size) for size in sizes]
        if not self.sizes:
            raise InputError("sizes must name at least one pair of sides, got none")
        for size in self.sizes:
            if size[0] > self.pad_to[0] or size[1] > self.pad_to[1]:
                raise InputError(
                    f"sizes must fit into pad_to {list(self.pad_to)}, got {list(size)}"
                )

    def get_transform(
        self, rng: np.random.Generator, image_size: tuple[int, int]
    ) -> T.TransformList:
        """Decide for an image.

        Args:
            rng: Chooses the size.
            image_size: (height, width) in pixels.
        """
        short, long = self.sizes[int(rng.integers(len(self.sizes)))]
        height, width = image_size
        factor = min(short / min(image_size), long / max(image_size))
        new = max(1, round(factor * height)), max(1, round(factor * width))
        full = self.pad_to if width >= height else self.pad_to[::-1]
        return T.TransformList(
            [
                T.ResizeTransform(height, width, *new),
                T.PadTransform(
                    0, 0, full[1] - new[1], full[0] - new[0], new[1], new[0], pad_value=_GREY
                ),
            ]
        )


def _pair(name: str, values: Sequence[int]) -> tuple[int, int]:
    pair = tuple(values) if isinstance(values, Sequence) else ()
    if len(pair) != 2 or not all(type(side) is int for side in pair) or not 1 <= pair[0] <= pair[1]:
        raise InputError(f"{name} must be whole sides 1 <= short <= long, got {values!r}")
    return pair
