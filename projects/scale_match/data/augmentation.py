"""Scale Match as a detectron2 augmentation: the policy decides, a resize is what it decides on."""

from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.boxes import xyxy_to_xywh
from scale_match.core.records import FloatArray
from scale_match.core.scale_policy import ScaleDecision, ScalePolicy

__all__ = ["ScaleMatch", "ScaleMatchAugInput", "ScaleMatchTransform"]


class ScaleMatchAugInput(T.AugInput):
    """An augmentation's input that also hands out randomness, made for one call of the mapper.

    Attributes:
        rng: The generator of this image in this epoch. An augmentation that names a parameter
            ``rng`` gets it; it must not keep it.
    """

    def __init__(
        self, image: npt.NDArray[Any], *, boxes: FloatArray, rng: np.random.Generator
    ) -> None:
        """Collect what augmentations may ask for.

        Args:
            image: (H, W, C) uint8.
            boxes: (N, 4) XYXY_ABS doubles; neither crowd nor ignored boxes.
            rng: See above.
        """
        super().__init__(image, boxes=boxes)
        self.rng = rng


class ScaleMatchTransform(T.ResizeTransform):
    """The resize that a policy decided on (PIL's bilinear filter, which is antialiased).

    Attributes:
        decision: The scale, which boxes stay, and how it came about.
    """

    def __init__(self, h: int, w: int, decision: ScaleDecision) -> None:
        """Resize to ``decision.size``.

        Args:
            h: Height of the image before, in pixels.
            w: Width of the image before, in pixels.
            decision: What the policy returned for the image.
        """
        super().__init__(h, w, *decision.size)
        self.decision = decision


class ScaleMatch(T.Augmentation):
    """Scales an image so that its objects get a size of the target (SM or MSM).

    It removes no box; :attr:`ScaleMatchTransform.decision` says which ones the policy drops.
    """

    def __init__(self, policy: ScalePolicy) -> None:
        """Augment by a policy.

        Args:
            policy: Chooses the scale from the boxes.
        """
        super().__init__()
        self.policy = policy

    def get_transform(
        self, image: npt.NDArray[Any], boxes: FloatArray, rng: np.random.Generator
    ) -> ScaleMatchTransform:
        """Decide for an image.

        Args:
            image: (H, W, C).
            boxes: (N, 4) XYXY_ABS, the boxes that are neither crowd nor ignored.
            rng: Gives the policy's uniform numbers.
        """
        height, width = image.shape[:2]
        uniforms = rng.random(self.policy.num_uniforms)
        decision = self.policy.decide(xyxy_to_xywh(boxes), width, height, uniforms)
        return ScaleMatchTransform(height, width, decision)
