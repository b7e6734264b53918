"""Tiles whose window and zoom are chosen together, so that sizes in them follow the target.

A tile is made around one box of an image, the anchor, which is drawn. Its zoom gives the anchor a
size drawn from the target at about its own rank. The window is then the largest one, at most a tile
at that zoom, that leaves out the boxes which the zoom would give a size far from their own.

What a tile is, is a function of the image and of uniform numbers, which come in as an argument.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import box_sizes, clip_boxes_xyxy, xywh_to_xyxy, xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.randomness import sample_randomness
from scale_match.core.records import BoolArray, FloatArray
from scale_match.core.scale_limits import ScaleLimits
from scale_match.core.size_map import SizeMap, calibrated
from scale_match.core.source_size import CountedBoxes
from scale_match.core.windows import Window, boxes_in_window, window_around

__all__ = ["ExactTiling", "SourceImage", "SourceWindows", "result_sizes"]

# Images and epochs that a calibration plays.
PLAYED_IMAGES = 2000
PLAYED_EPOCHS = 4
PLAYED_SEED = 0x5CA1E


@dataclass(frozen=True, eq=False)
class SourceImage:
    """An image that samples are made of; make it with :meth:`of_boxes`.

    Attributes:
        image_id: A whole number or a text.
        height: In pixels.
        width: In pixels.
        boxes: (N, 4) XYXY, cut to the image.
        counted: Which of them count (see ``scale_match.core.source_size``), (N,).
        sizes: Their sizes in pixels, (N,).
    """

    image_id: int | str
    height: int
    width: int
    boxes: FloatArray
    counted: BoolArray
    sizes: FloatArray

    @classmethod
    def of_boxes(
        cls, image_id: int | str, height: int, width: int, boxes_xywh: FloatArray
    ) -> "SourceImage":
        """An image by its boxes.

        Args:
            image_id: A whole number or a text.
            height: In pixels.
            width: In pixels.
            boxes_xywh: (N, 4) XYWH, the boxes that are neither crowd nor ignored.

        Raises:
            ValueError: The image has no area, or the boxes are not (N, 4).
        """
        counted = CountedBoxes.of_image(boxes_xywh, width, height).mask
        boxes = clip_boxes_xyxy(xywh_to_xyxy(boxes_xywh), width, height)
        return cls(image_id, height, width, boxes, counted, box_sizes(xyxy_to_xywh(boxes)))


@dataclass(frozen=True, eq=False)
class SourceWindows:
    """Windows around single boxes, with the zoom that their sizes ask for.

    Args:
        size_map: From sizes in the source to sizes in the samples.
        largest: Greatest height and width of a scaled window in pixels, unless its anchor alone is
            larger.
        limits: Allowed zooms; ``default_scale`` is that of an image without boxes that count.
        tolerance: A box is kept out of a window, where that is possible, if the zoom makes it
            larger or smaller by more than this factor than the map does; at least 1.

    Raises:
        InputError: A value breaks its rule.
    """

    size_map: SizeMap
    largest: tuple[int, int]
    limits: ScaleLimits = field(default_factory=ScaleLimits)
    tolerance: float = 1.25

    def __post_init__(self) -> None:
        if min(self.largest) < 1:
            raise InputError(f"largest must be a height and a width >= 1, got {self.largest}")
        if not self.tolerance >= 1.0:
            raise InputError(f"tolerance must be at least 1, got {self.tolerance}")

    def around(self, image: SourceImage, anchor: int, uniforms: FloatArray) -> Window:
        """The window around a box.

        Args:
            image: Where the box is.
            anchor: Its index; it must count.
            uniforms: Three numbers in [0, 1): of the size, and of the place in y and x.
        """
        wanted = self.size_map.sizes_for(image.sizes[anchor], uniforms[0])
        zoom = self.limits.resolve(float(wanted) / float(image.sizes[anchor]))
        zoom = self._large_enough(zoom, image.boxes[anchor])
        others = image.counted
        ratios = np.ones(len(others))
        ratios[others] = zoom * image.sizes[others] / self.size_map.sizes_for(image.sizes[others])
        corner = window_around(
            image.boxes,
            anchor,
            (image.height, image.width),
            reach=(self.largest[0] / zoom, self.largest[1] / zoom),
            avoid=others & (np.abs(np.log(ratios)) > math.log(self.tolerance)),
            uniforms=uniforms[1:],
        )
        return self._counted(image, boxes_in_window(image.boxes, corner, zoom))

    def whole(self, image: SourceImage) -> Window:
        """A whole image at the default scale, made smaller until it is not above the largest."""
        zoom = min(
            self.limits.default_scale,
            self.largest[0] / image.height,
            self.largest[1] / image.width,
        )
        corner = 0, 0, image.width, image.height
        return self._counted(image, boxes_in_window(image.boxes, corner, zoom))

    def _large_enough(self, zoom: float, box: FloatArray) -> float:
        """A zoom at which the box itself is not dropped, where the limits have one."""
        span = float((box[2:] - box[:2]).min()) - 1.0
        least = 1.05 / span if span > 0.0 else math.inf  # 1.05: the new size is rounded
        return max(zoom, min(least, self.limits.scale_range[1]))

    @staticmethod
    def _counted(image: SourceImage, window: Window) -> Window:
        """Boxes that do not count are neither trained on nor ignored."""
        return replace(
            window, keep=window.keep & image.counted, ignored=window.ignored & image.counted
        )


@dataclass(frozen=True, eq=False)
class ExactTiling:
    """One tile of each image.

    Args:
        windows: How a tile is made around a box.
    """

    windows: SourceWindows

    @classmethod
    def from_images(
        cls,
        images: Sequence[SourceImage],
        target: SizeHistogram,
        *,
        tile: tuple[int, int] = (512, 640),
        limits: ScaleLimits | None = None,
        tolerance: float = 1.25,
        jitter: float = 0.1,
    ) -> "ExactTiling":
        """Tiling of a data set, calibrated by playing it on up to 2000 of the images.

        Args:
            images: The images to train on.
            target: Distribution of the sizes to reach.
            tile: Greatest height and width in pixels.
            limits: Allowed zooms.
            tolerance: See :class:`SourceWindows`.
            jitter: See :class:`~scale_match.core.size_map.SizeMap`.

        Raises:
            InputError: No box counts, or a value breaks its rule.
        """
        played = every_nth(images)
        start = SizeMap.from_sizes(counted_sizes_of(played), target, jitter=jitter)
        windows = SourceWindows(start, tile, limits or ScaleLimits(), tolerance)

        def results(size_map: SizeMap) -> FloatArray:
            tiling = cls(replace(windows, size_map=size_map))
            return result_sizes(
                tiling.sample(image, sample_randomness(PLAYED_SEED, index, epoch).rng.random(4))
                for epoch in range(PLAYED_EPOCHS)
                for index, image in enumerate(played)
            )

        return cls(replace(windows, size_map=calibrated(start, target, results)))

    @property
    def num_uniforms(self) -> int:
        """How many uniform numbers :meth:`sample` needs."""
        return 4

    def sample(self, image: SourceImage, uniforms: npt.ArrayLike) -> Window:
        """A tile of an image; the whole image where no box counts.

        Args:
            image: What to cut.
            uniforms: Four numbers in [0, 1).
        """
        anchors = np.flatnonzero(image.counted)
        if len(anchors) == 0:
            return self.windows.whole(image)
        draws = np.asarray(uniforms, dtype=np.float64)
        anchor = int(anchors[int(draws[0] * len(anchors))])
        return self.windows.around(image, anchor, draws[1:])


def every_nth(images: Sequence[SourceImage], most: int = PLAYED_IMAGES) -> list[SourceImage]:
    """At most so many images, evenly spread over all."""
    return list(images[:: max(1, -(-len(images) // most))])


def counted_sizes_of(images: Iterable[SourceImage]) -> FloatArray:
    """Sizes of the boxes that count, (N,), in pixels."""
    return np.concatenate([np.empty(0), *(image.sizes[image.counted] for image in images)])


def result_sizes(windows: Iterable[Window]) -> FloatArray:
    """Sizes of the boxes to train on in windows, (N,), in pixels of the scaled windows."""
    kept = [window.boxes[window.keep] for window in windows]
    return box_sizes(xyxy_to_xywh(np.concatenate([np.empty((0, 4)), *kept])))
