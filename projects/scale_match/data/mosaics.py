"""Training on mosaics (SM+): which canvases an epoch has.

A canvas is a function of (seed, epoch), its number and the list of images (``core.mosaic``), so any
number of workers and processes, and a resumed run, see the same ones. All have one size; an epoch
has as many as its images fill.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import SourceImage
from scale_match.core.mosaic import Mosaics
from scale_match.core.records import BoolArray, FloatArray, IntArray
from scale_match.data.augmentation import ScaleMatch
from scale_match.data.canvas import Canvas, CanvasPart
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import sizes_of_image, xywh_boxes
from scale_match.data.exact_tiles import ExactTiles
from scale_match.data.multi_scale import MultiScalePadded
from scale_match.data.object_crop import ObjectCrop
from scale_match.data.reaspect import ReAspect
from scale_match.data.size_target import SizeTarget

__all__ = ["CanvasPlan", "MosaicSettings", "build_mosaic_settings", "mosaic_from_config"]

_Entry = dict[str, Any]

_KEY = "SCALE_MATCH.AUGMENT.MOSAIC (dataloader.train.mosaic.canvas)"
# Greatest height and width of a part, unless its box is larger; the figures of docs/data.md.
_LARGEST_PART = 128
# Each of these would give the objects on a canvas another size.
_RESIZING = (
    ScaleMatch,
    ExactTiles,
    MultiScalePadded,
    ObjectCrop,
    ReAspect,
    T.ResizeShortestEdge,
    T.Resize,
)


@dataclass(frozen=True)
class MosaicSettings:
    """How training uses mosaics.

    Attributes:
        canvas: Height and width in pixels.
        sizes: Whose sizes to imitate.

    Raises:
        InputError: The canvas is no pair of sides.
    """

    canvas: tuple[int, int]
    sizes: SizeTarget

    def __post_init__(self) -> None:
        if len(self.canvas) != 2 or not all(type(s) is int and s >= 1 for s in self.canvas):
            raise InputError(
                f"{_KEY} must be a height and a width in pixels, got {list(self.canvas)}"
            )

    def num_canvases(self, dicts: Sequence[_Entry]) -> int:
        """How many canvases an epoch has; quickly known.

        Raises:
            InputError: No box counts, or a file or a setting breaks its rule.
        """
        return self._mosaics(Mosaics.uncalibrated, dicts).num_canvases

    def planned(self, dicts: Sequence[_Entry], seed: int) -> "CanvasPlan":
        """The canvases of a training, calibrated, which takes seconds.

        Args:
            dicts: Of whole images, as ``load_dicts`` makes them.
            seed: Of the run.

        Raises:
            InputError: No box counts, or a file or a setting breaks its rule.
        """
        return CanvasPlan(self._mosaics(Mosaics.from_images, dicts), seed)

    def _mosaics(self, make: Callable[..., Mosaics], dicts: Sequence[_Entry]) -> Mosaics:
        return make(
            _PackedImages(dicts),
            self.sizes.histogram(_KEY),
            canvas=self.canvas,
            crop=(min(_LARGEST_PART, self.canvas[0]), min(_LARGEST_PART, self.canvas[1])),
            limits=self.sizes.limits(),
        )

    def check_alone(
        self, dicts: Sequence[_Entry], mapper: object, *, empty_share: float | None
    ) -> None:
        """Refuse what decides on the content of a sample, too.

        Raises:
            InputError: Another setting does, or the images are tiles.
        """
        if empty_share is not None or any("corner" in entry for entry in dicts):
            raise InputError(
                f"{_KEY} makes its samples of whole images: SCALE_MATCH.TRAIN_TILES "
                "(dataloader.train.tiles) must keep ENABLED False and EMPTY_SHARE -1 (null), "
                "and the annotations must not be of tiles"
            )
        if not isinstance(mapper, ScaleMatchDatasetMapper):
            raise InputError(
                f"{_KEY} needs a ScaleMatchDatasetMapper, which can draw a canvas, not "
                f"{type(mapper).__name__}"
            )
        for step in _steps(mapper.augmentations):
            if isinstance(step, _RESIZING):
                raise InputError(
                    f"{_KEY} chooses the scale of its parts itself: {type(step).__name__} must be "
                    "off (SCALE_MATCH.POLICY none, SCALE_MATCH.DATA.RESIZE False, nothing else in "
                    "SCALE_MATCH.AUGMENT; in a Lazy config the same in dataloader.train.mapper)"
                )


def build_mosaic_settings(canvas: Sequence[int], sizes: SizeTarget) -> MosaicSettings | None:
    """The settings of a config; None where mosaics are off.

    Args:
        canvas: Height and width in pixels; empty is off.
        sizes: Whose sizes to imitate.

    Raises:
        InputError: The canvas is no pair of sides.
    """
    sides = tuple(canvas)
    return MosaicSettings(sides, sizes) if sides else None  # type: ignore[arg-type] # it checks


def mosaic_from_config(cfg: CfgNode) -> MosaicSettings | None:
    """The same from ``SCALE_MATCH.AUGMENT.MOSAIC``."""
    return build_mosaic_settings(cfg.SCALE_MATCH.AUGMENT.MOSAIC, SizeTarget.from_config(cfg))


@dataclass(frozen=True, eq=False)
class CanvasPlan:
    """The canvases of a training.

    Attributes:
        mosaics: Calibrated.
        seed: Of the run.
    """

    mosaics: Mosaics
    seed: int

    def entry(self, index: int, epoch: int, dict_of: Callable[[int], _Entry]) -> _Entry:
        """What the mapper makes a canvas of an epoch from.

        Args:
            index: Number of the canvas, from 0; it stands for the image id.
            epoch: From 0 on.
            dict_of: The dictionary of an image by its place.
        """
        crops = self.mosaics.sample(index, seed=self.seed, epoch=epoch)
        dicts = {crop.image: dict_of(crop.image) for crop in crops}
        parts = [CanvasPart(dicts[crop.image], crop.window, crop.place) for crop in crops]
        height, width = self.mosaics.canvas
        return {
            "file_name": parts[0].entry["file_name"] if parts else "",
            "image_id": index,
            "height": height,
            "width": width,
            "epoch": epoch,
            "canvas": Canvas(self.mosaics.canvas, parts),
        }


class _PackedImages(Sequence[SourceImage]):
    """Images in a few arrays, which forked workers share, in place of 100,000 objects each."""

    def __init__(self, dicts: Sequence[_Entry]) -> None:
        images = [_source_image(entry) for entry in dicts]
        self._ids = [image.image_id for image in images]
        self._sides: IntArray = np.array([(image.height, image.width) for image in images])
        self._ends: IntArray = np.cumsum([0, *(len(image.sizes) for image in images)])
        self._boxes: FloatArray = np.concatenate([image.boxes for image in images])
        self._counted: BoolArray = np.concatenate([image.counted for image in images])
        self._sizes: FloatArray = np.concatenate([image.sizes for image in images])

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> SourceImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[SourceImage]: ...

    def __getitem__(self, index: int | slice) -> SourceImage | list[SourceImage]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        rows = slice(self._ends[index], self._ends[index + 1])
        height, width = self._sides[index].tolist()
        return SourceImage(
            self._ids[index],
            height,
            width,
            self._boxes[rows],
            self._counted[rows],
            self._sizes[rows],
        )


def _source_image(entry: _Entry) -> SourceImage:
    boxes = [box for box in entry.get("annotations", []) if sizes_of_image(box)]
    return SourceImage.of_boxes(
        entry["image_id"], entry["height"], entry["width"], xywh_boxes(boxes)
    )


def _steps(augmentation: object) -> Iterator[object]:
    """An augmentation, and those that it consists of."""
    yield augmentation
    for step in getattr(augmentation, "augs", ()):
        yield from _steps(step)
