"""Scale Match as a detectron2 augmentation: the policy decides, a resize is what it decides on."""

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.boxes import as_boxes, xyxy_to_xywh
from scale_match.core.records import FloatArray
from scale_match.core.scale_policy import ScaleDecision, ScalePolicy
from scale_match.data.image_reading import EncodedImage
from scale_match.data.resizing import resize_antialiased

__all__ = ["ReadingTransform", "ScaleMatch", "ScaleMatchAugInput", "ScaleMatchTransform"]


class ReadingTransform(T.Transform):
    """A transform that can be applied while an image is decoded, for less work."""

    @abstractmethod
    def read(self, image: EncodedImage) -> npt.NDArray[Any]:
        """What ``apply_image`` would return for the image, up to the reduction's differences."""


class ScaleMatchAugInput(T.AugInput):
    """An augmentation's input that also hands out randomness, made for one call of the mapper.

    An encoded image is decoded when an augmentation first asks for ``image``. Where Scale Match or
    an exact-scale tile comes before that, as in the mapper, it is decoded to what they chose.

    Attributes:
        boxes: (N, 4) XYXY_ABS doubles.
        sem_seg: None.
        rng: The generator of this image in this epoch. An augmentation that names a parameter
            ``rng`` gets it; it must not keep it.
    """

    def __init__(
        self,
        image: npt.NDArray[Any] | EncodedImage,
        *,
        boxes: FloatArray,
        rng: np.random.Generator,
    ) -> None:
        """Collect what augmentations may ask for.

        Args:
            image: (H, W, C) uint8, or a file.
            boxes: (N, 4) XYXY_ABS doubles; neither crowd nor ignored boxes.
            rng: See above.
        """
        # The base class's constructor would ask for the pixels.
        self._image = image
        self.boxes = boxes
        self.sem_seg = None
        self.rng = rng

    @property
    def image(self) -> npt.NDArray[Any]:
        """The pixels, (H, W, C).

        Raises:
            InputError: The file cannot be decoded.
        """
        if isinstance(self._image, EncodedImage):
            self._image = self._image.pixels()
        return self._image

    @image.setter
    def image(self, pixels: npt.NDArray[Any]) -> None:
        self._image = pixels

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels; decodes nothing."""
        image = self._image
        height, width = image.size if isinstance(image, EncodedImage) else image.shape[:2]
        return height, width

    def transform(self, tfm: T.Transform) -> None:
        """Apply a transform to pixels and boxes."""
        if isinstance(self._image, EncodedImage) and isinstance(tfm, ReadingTransform):
            self._image = tfm.read(self._image)
            self.boxes = tfm.apply_box(self.boxes)
        else:
            super().transform(tfm)


class ScaleMatchTransform(ReadingTransform, T.ResizeTransform):
    """The resize that a policy decided on, antialiased.

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

    def read(self, image: EncodedImage) -> npt.NDArray[Any]:
        """Decode an image to the size."""
        return image.resized(self.decision.size)

    def apply_image(self, img: npt.NDArray[Any], interp: int | None = None) -> npt.NDArray[Any]:
        """Resize (H, W, C) uint8 pixels with :func:`resize_antialiased`, all else as the base."""
        if interp is None and img.ndim == 3 and img.dtype == np.uint8:
            return resize_antialiased(img, self.decision.size)
        resized: npt.NDArray[Any] = super().apply_image(img, interp)
        return resized

    def apply_box(self, box: npt.ArrayLike) -> FloatArray:
        """Scale boxes, (N, 4) XYXY with corners in order, as the base does corner by corner."""
        x, y = self.new_w / self.w, self.new_h / self.h
        return as_boxes(box) * np.array([x, y, x, y])


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
        self, boxes: FloatArray, rng: np.random.Generator, image_size: tuple[int, int]
    ) -> ScaleMatchTransform:
        """Decide for an image.

        Args:
            boxes: (N, 4) XYXY_ABS, the boxes that are neither crowd nor ignored.
            rng: Gives the policy's uniform numbers.
            image_size: (height, width) in pixels.
        """
        height, width = image_size
        uniforms = rng.random(self.policy.num_uniforms)
        decision = self.policy.decide(xyxy_to_xywh(boxes), width, height, uniforms)
        return ScaleMatchTransform(height, width, decision)
