"""Ground truth and detections brought into the order in which an evaluation works on them.

Everything up to the precision-recall curve happens per *group*: one category in one image. Both
tables are sorted by group, so that a group is a run of rows; within it ground truth keeps the file
order and detections descend in score (rules: oracle README "AP", paragraphs Sets and Detections).

M detections that take part, G ground-truth boxes, I images, K categories.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.records import (
    Annotations,
    BoolArray,
    DetectionTable,
    FloatArray,
    IntArray,
)

__all__ = [
    "RankedDetections",
    "RankedGroundTruth",
    "blocks_of_groups",
    "rank_detections",
    "rank_ground_truth",
]

# Detections worked on at a time: what belongs to them stays in a processor's cache, without which
# time would grow faster than their number.
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class RankedGroundTruth:
    """The ground truth, sorted by (category, image, file order).

    Attributes:
        image_ids: All ids of the file, ascending, (I,).
        category_ids: All ids of the file, ascending, (K,).
        rows: Row of each box in the annotation table, (G,).
        images: Index into ``image_ids``, (G,).
        categories: Index into ``category_ids``, (G,).
        ids: Annotation ids, (G,).
        boxes: XYWH_ABS, (G, 4).
        areas: The ``area`` field in square pixels, (G,).
        iscrowd: (G,).
        flagged: Ignored whatever its size: ``ignore``, ``iscrowd`` or ``uncertain``, (G,).
    """

    image_ids: IntArray
    category_ids: IntArray
    rows: IntArray
    images: IntArray
    categories: IntArray
    ids: IntArray
    boxes: FloatArray
    areas: FloatArray
    iscrowd: BoolArray
    flagged: BoolArray

    @property
    def groups(self) -> IntArray:
        """One number per (category, image), ascending over the rows, (G,)."""
        return self.categories * len(self.image_ids) + self.images

    def part(self, rows: slice) -> "RankedGroundTruth":
        """Some consecutive boxes; images and categories stay those of the whole."""
        return RankedGroundTruth(
            image_ids=self.image_ids,
            category_ids=self.category_ids,
            rows=self.rows[rows],
            images=self.images[rows],
            categories=self.categories[rows],
            ids=self.ids[rows],
            boxes=self.boxes[rows],
            areas=self.areas[rows],
            iscrowd=self.iscrowd[rows],
            flagged=self.flagged[rows],
        )

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class RankedDetections:
    """The detections that take part, sorted by (category, image, descending score, file order).

    Attributes:
        rows: Row of each detection in the table that was given, (M,).
        images: Index into the ascending image ids, (M,).
        categories: Index into the ascending category ids, (M,).
        groups: One number per (category, image), as for the ground truth, (M,).
        ranks: Place in its group, from 0, (M,). The best n are those with a rank below n.
        boxes: XYWH_ABS, (M, 4).
        scores: (M,).
    """

    rows: IntArray
    images: IntArray
    categories: IntArray
    groups: IntArray
    ranks: IntArray
    boxes: FloatArray
    scores: FloatArray

    def part(self, rows: slice) -> "RankedDetections":
        """Some consecutive detections; ranks stay those of the whole."""
        return RankedDetections(
            rows=self.rows[rows],
            images=self.images[rows],
            categories=self.categories[rows],
            groups=self.groups[rows],
            ranks=self.ranks[rows],
            boxes=self.boxes[rows],
            scores=self.scores[rows],
        )

    def __len__(self) -> int:
        return len(self.rows)


def rank_ground_truth(annotations: Annotations) -> RankedGroundTruth:
    """Sort the ground truth by category, image and file order.

    Args:
        annotations: The COCO file.

    Returns:
        Its boxes; those of a category that the file does not declare are left out.

    Raises:
        InputError: If a box belongs to no image of the file.
    """
    table = annotations.table
    image_ids = np.array(sorted(image.image_id for image in annotations.images), dtype=np.int64)
    category_ids = np.array(sorted(c.category_id for c in annotations.categories), dtype=np.int64)
    images = _positions(image_ids, table.image_ids)
    if (images < 0).any():
        row = int(np.argmax(images < 0))
        raise InputError(
            f"{annotations.source}: annotation {table.ids[row]} belongs to image "
            f"{table.image_ids[row]}, which the file does not list"
        )
    categories = _positions(category_ids, table.category_ids)
    order = np.lexsort((images, categories))  # (N,); stable, so file order within a group
    rows = order[categories[order] >= 0]  # (G,)
    return RankedGroundTruth(
        image_ids=image_ids,
        category_ids=category_ids,
        rows=rows,
        images=images[rows],
        categories=categories[rows],
        ids=table.ids[rows],
        boxes=table.boxes[rows],
        areas=table.areas[rows],
        iscrowd=table.iscrowd[rows],
        flagged=(table.ignore | table.iscrowd | table.uncertain)[rows],
    )


def rank_detections(
    detections: DetectionTable, ground_truth: RankedGroundTruth, *, limit: int, source: str
) -> RankedDetections:
    """Sort detections by category, image and score, and keep the best of each group.

    Args:
        detections: Detections of any image of the ground truth.
        ground_truth: What they are compared with.
        limit: How many detections of an image and category take part (maxDets).
        source: Name of the ground truth, for messages.

    Returns:
        The detections that take part; those of undeclared categories are dropped.

    Raises:
        InputError: If a detection belongs to an unknown image, or its box or score is not finite,
            or its width or height is negative.
    """
    images = _positions(ground_truth.image_ids, detections.image_ids)
    _check_detections(detections, images, source)
    categories = _positions(ground_truth.category_ids, detections.category_ids)
    rows = np.flatnonzero(categories >= 0)  # (M',)
    groups = categories[rows] * len(ground_truth.image_ids) + images[rows]
    order = np.argsort(groups, kind="stable")  # next to nothing where a file goes by image
    rows, groups = rows[order], groups[order]
    for part in _blocks(groups):
        # Stable: ties keep the file order.
        rows[part] = rows[part][np.lexsort((-detections.scores[rows[part]], groups[part]))]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))  # first row of each group
    ranks = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    best = ranks < limit
    rows = rows[best]  # (M,)
    return RankedDetections(
        rows=rows,
        images=images[rows],
        categories=categories[rows],
        groups=groups[best],
        ranks=ranks[best],
        boxes=detections.boxes[rows],
        scores=detections.scores[rows],
    )


def blocks_of_groups(
    detections: RankedDetections, ground_truth: RankedGroundTruth
) -> Iterator[tuple[slice, slice]]:
    """Cut both tables into consecutive parts that belong together and have whole groups only.

    Args:
        detections: Ranked.
        ground_truth: Ranked.

    Yields:
        Rows of the detections and of the ground truth; all detections in some part, but not the
        ground truth of groups without any.
    """
    target_groups = ground_truth.groups
    for part in _blocks(detections.groups):
        first, last = detections.groups[part.start], detections.groups[part.stop - 1]
        yield (
            part,
            slice(
                int(np.searchsorted(target_groups, first)),
                int(np.searchsorted(target_groups, last, side="right")),
            ),
        )


def _blocks(groups: IntArray) -> Iterator[slice]:
    """Cut ascending groups into runs of whole groups, of _BLOCK rows where these are small."""
    start = 0
    while start < len(groups):
        last = groups[min(start + _BLOCK, len(groups)) - 1]
        stop = int(np.searchsorted(groups, last, side="right"))
        yield slice(start, stop)
        start = stop


def _positions(ascending: IntArray, values: IntArray) -> IntArray:
    """Index of each value in an ascending array, -1 where it is absent."""
    if not len(ascending):
        return np.full(len(values), -1, dtype=np.int64)
    index = np.searchsorted(ascending, values)
    index[index == len(ascending)] = 0
    return np.where(ascending[index] == values, index, -1)


def _check_detections(detections: DetectionTable, images: IntArray, source: str) -> None:
    boxes, scores = detections.boxes, detections.scores
    rules = (
        (images < 0, f"belongs to an image that {source} does not list"),
        (~np.isfinite(scores), "needs a finite score"),
        (~np.isfinite(boxes).all(axis=1), "needs a box of finite numbers"),
        ((boxes[:, 2:] < 0).any(axis=1), "needs a box without negative width or height"),
    )
    for broken, rule in rules:
        if broken.any():
            row = int(np.argmax(broken))
            raise InputError(
                f"detection {row} of image {detections.image_ids[row]} {rule}; "
                f"its box is {boxes[row].tolist()} and its score {scores[row]}"
            )
