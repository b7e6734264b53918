"""Scale Match for parts of images (SM+): crops, each scaled for its own objects, on one canvas.

The image of a sample is cut into windows around its boxes until each box was shown; then come the
windows of partner images, which are drawn. Each has a zoom of its own (:mod:`exact_tiling` says
how it is chosen), so sizes follow the target more closely than with one scale for an image, and
nothing has to be painted where an object was.

What a canvas is, is a function of (seed, image id, epoch) and of the list of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scale_match.core.checks import whole_number
from scale_match.core.exact_tiling import (
    PLAYED_EPOCHS,
    PLAYED_SEED,
    SourceImage,
    SourceWindows,
    counted_sizes_of,
    every_nth,
    result_sizes,
)
from scale_match.core.histogram import SizeHistogram
from scale_match.core.packing import pack
from scale_match.core.randomness import sample_randomness
from scale_match.core.records import FloatArray
from scale_match.core.scale_limits import ScaleLimits
from scale_match.core.size_map import SizeMap, calibrated
from scale_match.core.windows import Window

__all__ = ["MosaicCrop", "Mosaics"]


@dataclass(frozen=True, eq=False)
class MosaicCrop:
    """A window and where it is shown.

    Attributes:
        image: Index of the image in the list that the mosaics are made of.
        window: What is cut out of it, and its scaled size.
        place: x and y of its top left corner on the canvas, in pixels.
    """

    image: int
    window: Window
    place: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Mosaics:
    """One canvas for each image and epoch.

    Args:
        images: What partners are drawn from.
        windows: How a crop is made around a box.
        canvas: Height and width in pixels; what no crop covers is empty.
        num_images: How many images a canvas is made of, its own included.
    """

    images: Sequence[SourceImage]
    windows: SourceWindows
    canvas: tuple[int, int] = (512, 640)
    num_images: int = 4

    def __post_init__(self) -> None:
        whole_number("num_images", self.num_images, minimum=1)
        for name, side in zip(("height", "width"), self.canvas, strict=True):
            whole_number(f"{name} of the canvas", side, minimum=1)

    @classmethod
    def from_images(
        cls,
        images: Sequence[SourceImage],
        target: SizeHistogram,
        *,
        canvas: tuple[int, int] = (512, 640),
        crop: tuple[int, int] = (128, 128),
        num_images: int = 4,
        limits: ScaleLimits | None = None,
        tolerance: float = 1.25,
        jitter: float = 0.1,
    ) -> "Mosaics":
        """Mosaics of a data set, calibrated by playing them on up to 2000 of the images.

        Args:
            images: The images to train on.
            target: Distribution of the sizes to reach.
            canvas: See above.
            crop: Greatest height and width of a crop in pixels, unless its anchor is larger.
            num_images: See above.
            limits: Allowed zooms.
            tolerance: See :class:`~scale_match.core.exact_tiling.SourceWindows`.
            jitter: See :class:`~scale_match.core.size_map.SizeMap`.

        Raises:
            InputError: No box counts, or a value breaks its rule.
        """
        played = every_nth(images)
        start = SizeMap.from_sizes(counted_sizes_of(played), target, jitter=jitter)
        windows = SourceWindows(start, crop, limits or ScaleLimits(), tolerance)

        def results(size_map: SizeMap) -> FloatArray:
            mosaics = cls(played, replace(windows, size_map=size_map), canvas, num_images)
            return result_sizes(
                crop.window
                for epoch in range(-(-PLAYED_EPOCHS // num_images))  # each shows so many images
                for index in range(len(played))
                for crop in mosaics.sample(index, seed=PLAYED_SEED, epoch=epoch)
            )

        size_map = calibrated(start, target, results)
        return cls(images, replace(windows, size_map=size_map), canvas, num_images)

    def sample(self, index: int, *, seed: int, epoch: int) -> list[MosaicCrop]:
        """The crops of an image's canvas in an epoch; none only where none has room on it.

        Crops of the image itself are placed before those of its partners. A crop that finds no
        room is left out; the order in which boxes get theirs is another one in each epoch.

        Args:
            index: The image's place in the list.
            seed: Of the run.
            epoch: From 0 on.
        """
        image_id = self.images[index].image_id
        rng = sample_randomness(seed, image_id, epoch).rng
        partners = rng.integers(len(self.images), size=self.num_images - 1)
        crops: list[tuple[int, Window]] = []
        for member in (index, *partners.tolist()):
            windows = self._windows_of(self.images[member], rng)
            windows.sort(key=lambda window: window.size[0], reverse=True)
            crops += [(member, window) for window in windows]
        places = pack([window.size for _, window in crops], self.canvas).tolist()
        return [
            MosaicCrop(member, window, (x, y))
            for (member, window), (x, y) in zip(crops, places, strict=True)
            if x >= 0
        ]

    def _windows_of(self, image: SourceImage, rng: np.random.Generator) -> list[Window]:
        """Windows that show each box that counts at least once, by the luck of the order."""
        left = image.counted.copy()
        if not left.any():
            return [self.windows.whole(image)]
        windows = []
        uniforms = rng.random((len(left), 3))
        for anchor in rng.permutation(len(left)).tolist():
            if left[anchor]:
                window = self.windows.around(image, anchor, uniforms[anchor])
                left &= ~window.keep
                windows.append(window)
        return windows
