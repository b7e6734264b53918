"""ReAspect as a detectron2 augmentation; the arithmetic is in ``core.aspect``."""

from collections.abc import Sequence

import numpy as np
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.aspect import mean_aspect, stretched_size
from scale_match.core.boxes import xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray

__all__ = ["ReAspect"]


class ReAspect(T.Augmentation):
    """Stretches an image until the mean height over width of its boxes is one drawn from a list.

    The area of the image stays, up to rounding. One without a box that has an area stays as it is.
    """

    def __init__(self, ratios: Sequence[float]) -> None:
        """Stretch to one of the ratios.

        Args:
            ratios: Height over width to draw from, each equally likely.

        Raises:
            InputError: There is no ratio, or one is not a positive number.
        """
        super().__init__()
        self.ratios = tuple(float(ratio) for ratio in ratios)
        if not self.ratios or not all(0.0 < ratio < np.inf for ratio in self.ratios):
            raise InputError(f"the ratios of ReAspect must be positive numbers, got {list(ratios)}")

    def get_transform(
        self, boxes: FloatArray, rng: np.random.Generator, image_size: tuple[int, int]
    ) -> T.Transform:
        """Decide for an image.

        Args:
            boxes: (N, 4) XYXY_ABS.
            rng: Chooses the ratio.
            image_size: (height, width) in pixels.
        """
        ratio = self.ratios[int(rng.integers(len(self.ratios)))]
        mean = mean_aspect(xyxy_to_xywh(boxes))
        if mean is None:
            return T.NoOpTransform()
        return T.ResizeTransform(*image_size, *stretched_size(*image_size, ratio / mean))
