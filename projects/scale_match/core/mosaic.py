"""Scale Match for parts of images (SM+): crops, each scaled for its own objects, on one canvas.

In an epoch each image is cut once into windows around its boxes, until each box was shown. Each
window has a zoom of its own (:mod:`exact_tiling` says how it is chosen), so sizes follow the target
more closely than with one scale for an image, and nothing has to be painted where an object was.
The windows of a few images fill a canvas.

What a canvas is, is a function of (seed, epoch), its number, and the list of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

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
from scale_match.core.randomness import sample_randomness, seed_words
from scale_match.core.records import FloatArray, IntArray
from scale_match.core.scale_limits import ScaleLimits
from scale_match.core.size_map import SizeMap, calibrated
from scale_match.core.windows import Window

__all__ = ["MosaicCrop", "Mosaics"]

# Images that a calibration plays; each gives several windows.
_PLAYED_IMAGES = 1000
# Images whose windows tell how many fill a canvas.
_MEASURED_IMAGES = 200
# Share of the canvas that the windows of its images cover on average, and at most.
_MEAN_FILL, _MOST_FILL = 0.7, 0.85
# Makes the order of the images another one than that of the batches, which has the same seed.
_ORDER_SALT = 0x305A1C


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
    """The canvases of every epoch.

    Args:
        images: What they show.
        windows: How a crop is made around a box.
        canvas: Height and width in pixels; what no crop covers is empty.
        num_images: How many images a canvas is made of.
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
        num_images: int | None = None,
        limits: ScaleLimits | None = None,
        tolerance: float = 1.25,
        jitter: float = 0.1,
    ) -> "Mosaics":
        """Mosaics of a data set, calibrated by playing them on up to 1000 of the images.

        Args:
            images: The images to train on.
            target: Distribution of the sizes to reach.
            canvas: See above.
            crop: Greatest height and width of a crop in pixels, unless its anchor is larger.
            num_images: See above; None takes as many as cover 70 % of a canvas on average.
            limits: Allowed zooms.
            tolerance: See :class:`~scale_match.core.exact_tiling.SourceWindows`.
            jitter: See :class:`~scale_match.core.size_map.SizeMap`.

        Raises:
            InputError: No box counts, or a value breaks its rule.
        """
        mosaics = cls.uncalibrated(
            images,
            target,
            canvas=canvas,
            crop=crop,
            num_images=num_images,
            limits=limits,
            tolerance=tolerance,
            jitter=jitter,
        )
        played, windows = every_nth(images, _PLAYED_IMAGES), mosaics.windows

        def results(size_map: SizeMap) -> FloatArray:
            moved = replace(mosaics, images=played, windows=replace(windows, size_map=size_map))
            return result_sizes(
                crop.window
                for epoch in range(PLAYED_EPOCHS)
                for index in range(moved.num_canvases)
                for crop in moved.sample(index, seed=PLAYED_SEED, epoch=epoch)
            )

        size_map = calibrated(windows.size_map, target, results)
        return replace(mosaics, windows=replace(windows, size_map=size_map))

    @classmethod
    def uncalibrated(
        cls,
        images: Sequence[SourceImage],
        target: SizeHistogram,
        *,
        canvas: tuple[int, int] = (512, 640),
        crop: tuple[int, int] = (128, 128),
        num_images: int | None = None,
        limits: ScaleLimits | None = None,
        tolerance: float = 1.25,
        jitter: float = 0.1,
    ) -> "Mosaics":
        """What :meth:`from_images` starts from: in no time, and with as many canvases."""
        sizes = counted_sizes_of(every_nth(images, _PLAYED_IMAGES))
        size_map = SizeMap.from_sizes(sizes, target, jitter=jitter)
        windows = SourceWindows(size_map, crop, limits or ScaleLimits(), tolerance)
        if num_images is not None:
            return cls(images, windows, canvas, num_images)
        one = cls(images, windows, canvas, 1)
        rng = np.random.default_rng(PLAYED_SEED)
        areas = [
            sum(window.size[0] * window.size[1] for window in one._windows_of(image, rng))
            for image in every_nth(images, _MEASURED_IMAGES)
        ]
        filling = round(_MEAN_FILL * canvas[0] * canvas[1] / float(np.mean(areas)))
        return replace(one, num_images=min(max(1, filling), len(images)))

    @property
    def num_canvases(self) -> int:
        """Canvases of an epoch, in which each image has its turn."""
        return -(-len(self.images) // self.num_images)

    def sample(self, index: int, *, seed: int, epoch: int) -> list[MosaicCrop]:
        """The crops of a canvas of an epoch; those of one image come in a row.

        A crop that finds no room is left out; which ones, is another draw in each epoch. The last
        canvas is filled up with images of the first ones.

        Args:
            index: Number of the canvas, from 0.
            seed: Of the run.
            epoch: From 0 on.

        Raises:
            ValueError: An epoch has no canvas of this number.
        """
        if not 0 <= index < self.num_canvases:
            raise ValueError(f"an epoch has {self.num_canvases} canvases, but not number {index}")
        rng = sample_randomness(seed, index, epoch).rng
        crops = [
            (member, window)
            for member in self._members(index, seed, epoch).tolist()
            for window in self._windows_of(self.images[member], rng)
        ]
        order = rng.permutation(len(crops)).tolist()
        areas = accumulate(crops[k][1].size[0] * crops[k][1].size[1] for k in order)
        most = _MOST_FILL * self.canvas[0] * self.canvas[1]
        chosen = [k for k, area in zip(order, areas, strict=True) if area <= most or k == order[0]]
        chosen.sort(key=lambda k: crops[k][1].size[0], reverse=True)  # high ones waste least
        places = pack([crops[k][1].size for k in chosen], self.canvas).tolist()
        shown = {k: (x, y) for k, (x, y) in zip(chosen, places, strict=True) if x >= 0}
        return [MosaicCrop(crops[k][0], crops[k][1], shown[k]) for k in sorted(shown)]

    def _members(self, index: int, seed: int, epoch: int) -> IntArray:
        """The images of a canvas: its part of a random order of all."""
        words = [*seed_words(seed), *seed_words(epoch), _ORDER_SALT]
        order = np.random.default_rng(words).permutation(len(self.images))
        start = index * self.num_images
        return np.resize(order, self.num_canvases * self.num_images)[
            start : start + self.num_images
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
