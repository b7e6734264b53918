"""What is in a data set, in numbers: sizes, shapes, places and crowding of its objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scale_match.core.average_precision import SIZE_RANGES
from scale_match.core.boxes import box_sizes
from scale_match.core.data_problems import rows_of_images
from scale_match.core.records import Annotations, BoolArray, FloatArray, IntArray
from scale_match.core.size_summary import SizeSummary, summarise_sizes

__all__ = [
    "POSITION_CELLS",
    "CategoryCount",
    "DataSummary",
    "Objects",
    "disjoint_size_ranges",
    "find_objects",
    "size_range_shares",
    "summarise_data",
]

POSITION_CELLS = 10
"""Cells in x and in y of the map of positions."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The boxes that training looks for, N of them, and their images, M of them.

    Attributes:
        boxes: XYWH_ABS, (N, 4).
        rows: Place of the image of each box, (N,).
        category_ids: (N,).
        image_sides: Width and height of all images in pixels, (M, 2).
    """

    boxes: FloatArray
    rows: IntArray
    category_ids: IntArray
    image_sides: FloatArray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def sizes(self) -> FloatArray:
        """sqrt(w * h) in pixels, (N,)."""
        return box_sizes(self.boxes)

    @property
    def relative_sizes(self) -> FloatArray:
        """Sizes over sqrt(area of the image), (N,)."""
        areas = self.image_sides[self.rows].prod(axis=1)
        return np.asarray(self.sizes / np.sqrt(areas))

    @property
    def aspect_ratios(self) -> FloatArray:
        """Height over width, as anchors have it, (N,)."""
        return np.asarray(self.boxes[:, 3] / self.boxes[:, 2])

    @property
    def centres(self) -> FloatArray:
        """Centres in units of the image's sides, x and y, (N, 2)."""
        middle = self.boxes[:, :2] + self.boxes[:, 2:] / 2
        return np.asarray(middle / self.image_sides[self.rows])

    @property
    def per_image(self) -> IntArray:
        """How many each image has, (M,)."""
        return np.bincount(self.rows, minlength=len(self.image_sides))


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """How many objects of a category there are.

    Attributes:
        category_id: Its id.
        name: Its name.
        objects: How many.
        median_size: Of their sizes, in pixels; None without objects.
    """

    category_id: int
    name: str
    objects: int
    median_size: float | None


@dataclass(frozen=True, slots=True)
class DataSummary:
    """A data set in numbers. Objects are the boxes that training looks for.

    Attributes:
        num_images: Images or tiles.
        num_tiles: Those of them that are tiles.
        num_empty_images: Those without an object.
        num_annotations: All boxes of the file that could be read.
        num_objects: See above.
        flagged: Flag -> boxes that have it and so are no objects.
        categories: In file order.
        image_sides: (width, height, how many images), the most frequent first, ten at most.
        sizes: sqrt(w * h) in pixels.
        size_shares: Size range -> share of the objects, the first one "below 1 px".
        relative_sizes: Size over sqrt(area of the image).
        aspect_ratios: Height over width.
        per_image: Objects in an image, over all images.
        positions: Share of the objects' centres in each cell of a grid over the image, rows from
            top to bottom.
    """

    num_images: int
    num_tiles: int
    num_empty_images: int
    num_annotations: int
    num_objects: int
    flagged: Mapping[str, int]
    categories: tuple[CategoryCount, ...]
    image_sides: tuple[tuple[int, int, int], ...]
    sizes: SizeSummary
    size_shares: Mapping[str, float]
    relative_sizes: SizeSummary
    aspect_ratios: SizeSummary
    per_image: SizeSummary
    positions: tuple[tuple[float, ...], ...]


def find_objects(annotations: Annotations, usable: BoolArray) -> Objects:
    """The boxes that training looks for: usable, and neither crowd, ignored nor uncertain.

    Args:
        annotations: N boxes.
        usable: As of ``find_problems``, (N,).
    """
    table = annotations.table
    wanted = usable & ~(table.iscrowd | table.ignore | table.uncertain)
    _, rows = rows_of_images(annotations.images, table.image_ids[wanted])
    sides = np.array([(image.width, image.height) for image in annotations.images], np.float64)
    return Objects(table.boxes[wanted], rows, table.category_ids[wanted], sides.reshape(-1, 2))


def summarise_data(annotations: Annotations, objects: Objects) -> DataSummary:
    """A data set in numbers; works without images and without objects, too."""
    table, sizes = annotations.table, objects.sizes
    per_image = objects.per_image
    return DataSummary(
        num_images=len(annotations.images),
        num_tiles=sum(image.corner is not None for image in annotations.images),
        num_empty_images=int(np.count_nonzero(per_image == 0)),
        num_annotations=len(table),
        num_objects=len(objects),
        flagged={
            "iscrowd": int(table.iscrowd.sum()),
            "ignore": int(table.ignore.sum()),
            "uncertain": int(table.uncertain.sum()),
        },
        categories=_count_categories(annotations, objects),
        image_sides=_frequent_sides(objects.image_sides),
        sizes=summarise_sizes(sizes),
        size_shares=size_range_shares(sizes),
        relative_sizes=summarise_sizes(objects.relative_sizes),
        aspect_ratios=summarise_sizes(objects.aspect_ratios),
        per_image=summarise_sizes(per_image),
        positions=_position_map(objects.centres),
    )


def disjoint_size_ranges() -> dict[str, tuple[float, float]]:
    """Those of the evaluation's size ranges that hold no other one: lower limit in, upper out."""
    ranges = SIZE_RANGES
    return {
        label: (low, high)
        for label, (low, high) in ranges.items()
        if not any(
            low <= other[0] and other[1] <= high and other != (low, high)
            for other in ranges.values()
        )
    }


def size_range_shares(sizes: FloatArray) -> dict[str, float]:
    """Share of the sizes, (N,), in each range; they sum to 1, or are all 0 without sizes.

    >>> size_range_shares(np.array([0.5, 4.0, 25.0, 40.0]))["small"]
    0.25
    """
    total = max(len(sizes), 1)
    first = min(low for low, _ in disjoint_size_ranges().values())
    shares = {f"below {first:g} px": float(np.count_nonzero(sizes < first)) / total}
    for label, (low, high) in disjoint_size_ranges().items():
        shares[label] = float(np.count_nonzero((sizes >= low) & (sizes < high))) / total
    return shares


def _count_categories(annotations: Annotations, objects: Objects) -> tuple[CategoryCount, ...]:
    counts = []
    for category in annotations.categories:
        sizes = objects.sizes[objects.category_ids == category.category_id]
        median = float(np.median(sizes)) if len(sizes) else None
        counts.append(CategoryCount(category.category_id, category.name, len(sizes), median))
    return tuple(counts)


def _frequent_sides(sides: FloatArray) -> tuple[tuple[int, int, int], ...]:
    distinct, counts = np.unique(sides, axis=0, return_counts=True)
    order: Sequence[int] = np.argsort(-counts, kind="stable")[:10].tolist()
    return tuple((int(distinct[k][0]), int(distinct[k][1]), int(counts[k])) for k in order)


def _position_map(centres: FloatArray) -> tuple[tuple[float, ...], ...]:
    edges = np.linspace(0.0, 1.0, POSITION_CELLS + 1)
    inside = np.clip(centres, 0.0, 1.0)
    counts, _, _ = np.histogram2d(inside[:, 1], inside[:, 0], bins=(edges, edges))
    shares = counts / max(len(centres), 1)
    return tuple(tuple(row) for row in shares.tolist())
