"""Plain values that files are read into: images, categories, ground truth and detections.

Boxes here are XYWH_ABS in pixels, continuous coordinates: a box spans [x, x + w] x [y, y + h], no
"+1". Ground truth and detections are tables of columns, one row a box, because a data set holds up
to a million of them.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = [
    "AnnotationTable",
    "Annotations",
    "BoolArray",
    "CategoryRecord",
    "DetectionTable",
    "FloatArray",
    "ImageRecord",
    "IntArray",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image, or one tile of an image.

    Attributes:
        image_id: The ``id`` of the file.
        file_name: Path relative to the image folder; for a tile that of the whole image.
        width: Width in pixels; for a tile that of the tile.
        height: Height in pixels; for a tile that of the tile.
        corner: (x1, y1, x2, y2) of a tile in the whole image, x2 and y2 exclusive; None for an
            image.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    corner: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class CategoryRecord:
    """One category of a COCO file."""

    category_id: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationTable:
    """Ground-truth boxes as columns of equal length N, in file order.

    Attributes:
        ids: Annotation ids, (N,).
        image_ids: (N,).
        category_ids: Category ids of the file, not contiguous class indices, (N,).
        boxes: XYWH_ABS, (N, 4).
        areas: The ``area`` field, w*h where the file has none, (N,).
        iscrowd: (N,).
        ignore: (N,).
        uncertain: (N,).
        visibilities: The visible share of each object, (N,); 1.0 by default.
        sizes: The ``size`` field in pixels, sqrt(area) where the file has none, (N,); sqrt(area)
            by default.
    """

    ids: IntArray
    image_ids: IntArray
    category_ids: IntArray
    boxes: FloatArray
    areas: FloatArray
    iscrowd: BoolArray
    ignore: BoolArray
    uncertain: BoolArray
    visibilities: FloatArray = None  # type: ignore[assignment] # filled in below
    sizes: FloatArray = None  # type: ignore[assignment] # filled in below

    def __post_init__(self) -> None:
        if self.visibilities is None:
            object.__setattr__(self, "visibilities", np.ones(len(self.ids)))
        if self.sizes is None:
            object.__setattr__(self, "sizes", np.sqrt(self.areas))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class DetectionTable:
    """Detections as columns of equal length M; the order decides between equal scores.

    Attributes:
        image_ids: (M,).
        category_ids: Category ids of the ground-truth file, (M,).
        boxes: XYWH_ABS, (M, 4).
        scores: (M,).
    """

    image_ids: IntArray
    category_ids: IntArray
    boxes: FloatArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """A COCO file: images (or tiles), ground truth, categories.

    Attributes:
        source: Where it came from, for messages; a path or a short name.
        images: In file order.
        categories: In file order.
        table: The ground truth.
        old_images: In a tile ("corner") file the whole images, else empty.
        notes: What whoever uses the file should be told once, one sentence each: defaults that
            stand in for what it lacks.
    """

    source: str
    images: tuple[ImageRecord, ...]
    categories: tuple[CategoryRecord, ...]
    table: AnnotationTable
    old_images: tuple[ImageRecord, ...] = field(default=())
    notes: tuple[str, ...] = ()
