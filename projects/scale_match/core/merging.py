"""Bringing the detections of tiles together in their image: shift back, suppress duplicates.

``nms`` is the one greedy suppression of the package; ``merge_tile_results`` is the offline merging
of result files with the authors' rules (``../shared/oracle/merge/README.md``). Coordinates as in
:mod:`scale_match.core.boxes`.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, BoolArray, DetectionTable, FloatArray, IntArray

__all__ = ["class_aware_nms", "merge_tile_results", "nms"]

# Boxes whose mutual overlaps are listed at a time, and pairs that are compared at a time: they
# bound the memory (64 MB) whatever the number of boxes and however they lie.
_CHUNK_BOXES = 2048
_CHUNK_PAIRS = 1 << 18


def nms(
    boxes_xyxy: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    threshold: float,
    plus_one: bool = False,
    inclusive: bool = False,
) -> IntArray:
    """Greedy non-maximum suppression, regardless of categories.

    The box with the highest score stays and removes those that overlap it too much, then the next
    of those left. Between equal scores the lower index comes first.

    Args:
        boxes_xyxy: (N, 4) XYXY. float32 is computed in float32, anything else in float64.
        scores: (N,).
        threshold: Largest IoU that two boxes which stay may have, in [0, 1].
        plus_one: Sides are x2 - x1 + 1, as in old code; for tiny boxes this matters.
        inclusive: Suppress an IoU equal to the threshold, too.

    Returns:
        Indices of the boxes that stay, (K,), highest score first.

    Raises:
        ValueError: The threshold is out of range, a score is NaN, or shapes do not agree.
    """
    boxes, values = _checked_detections(boxes_xyxy, scores)
    if not 0.0 <= threshold <= 1.0 or (inclusive and threshold == 0.0):
        raise ValueError(f"threshold must be in [0, 1] and not inclusively 0, got {threshold!r}")
    order = np.argsort(-values, kind="stable")
    overlap = _Overlap(boxes[order], threshold, plus_one=plus_one, inclusive=inclusive)
    alive = np.ones(len(order), dtype=np.bool_)
    for start in range(0, len(order), _CHUNK_BOXES):
        stop = start + _CHUNK_BOXES
        chunk = start + np.flatnonzero(alive[start:stop])
        alive[chunk] = _stays(*overlap.pairs_within(chunk), len(chunk))
        winners = chunk[alive[chunk]]
        rest = stop + np.flatnonzero(alive[stop:])
        for _, suppressed in overlap.pairs_between(winners, rest):
            alive[rest[suppressed]] = False
    return order[alive]


def class_aware_nms(
    boxes_xyxy: npt.ArrayLike,
    scores: npt.ArrayLike,
    classes: npt.ArrayLike,
    *,
    threshold: float,
    plus_one: bool = False,
    inclusive: bool = False,
) -> IntArray:
    """Greedy non-maximum suppression within each class; otherwise as :func:`nms`.

    Args:
        boxes_xyxy: (N, 4) XYXY.
        scores: (N,).
        classes: (N,) class numbers or category ids.
        threshold: See :func:`nms`.
        plus_one: See :func:`nms`.
        inclusive: See :func:`nms`.

    Returns:
        Indices of the boxes that stay, (K,), highest score first over all classes.

    Raises:
        ValueError: As :func:`nms`.
    """
    boxes, values = _checked_detections(boxes_xyxy, scores)
    labels = np.asarray(classes)
    if labels.shape != values.shape:
        raise ValueError(f"classes must have the shape {values.shape}, got {labels.shape}")
    kept = [np.zeros(0, dtype=np.int64)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        winners = nms(
            boxes[members],
            values[members],
            threshold=threshold,
            plus_one=plus_one,
            inclusive=inclusive,
        )
        kept.append(members[winners])
    indices = np.concatenate(kept)
    return indices[np.lexsort((indices, -values[indices]))]


def merge_tile_results(
    detections: DetectionTable,
    annotations: Annotations,
    *,
    threshold: float = 0.5,
    class_aware: bool = False,
) -> DetectionTable:
    """Merge a result file on tiles into one on whole images, as the authors' tool does.

    Boxes are shifted by the corner of their tile, rounded to float32, and all boxes of an image go
    through one NMS with the +1 convention that suppresses IoU >= ``threshold``. Nothing is clipped
    or removed at the borders of tiles.

    Args:
        detections: Boxes in tile coordinates; ``image_ids`` are ids of tiles.
        annotations: A tile file: its images have a corner, its old images are the whole ones, and
            equal file names connect them.
        threshold: IoU from which on a box is suppressed, > 0; from 1 on there is no NMS, and boxes
            keep their double values.
        class_aware: Suppress only within a category. The authors do not.

    Returns:
        Detections in image coordinates: images in the order of the old images, in an image tile by
        tile in the order of the file, in a tile in the given order.

    Raises:
        InputError: The threshold is not positive, an image has no corner or no old image, old
            images share a file name, or a detection is of no tile.
    """
    if not threshold > 0.0:
        raise InputError(f"threshold of the merging NMS must be positive, got {threshold!r}")
    corners, owners = _tile_places(annotations)
    tiles = _tiles_of_detections(detections, annotations)
    # The last key counts first: image, then tile, then place in the file.
    order = np.lexsort((np.arange(len(tiles)), tiles, owners[tiles]))
    tiles = tiles[order]
    image_ids = np.array([image.image_id for image in annotations.old_images], dtype=np.int64)
    shifted = detections.boxes[order]
    shifted[:, :2] += corners[tiles]
    merged = DetectionTable(
        image_ids=image_ids[owners[tiles]],
        category_ids=detections.category_ids[order],
        boxes=shifted,
        scores=detections.scores[order],
    )
    if threshold >= 1.0:
        return merged
    return _suppress_per_image(merged, threshold, class_aware=class_aware)


def _suppress_per_image(
    detections: DetectionTable, threshold: float, *, class_aware: bool
) -> DetectionTable:
    """The authors' NMS on detections that are grouped by image; keeps the order of the rows."""
    corners = detections.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    corners = corners.astype(np.float32)
    classes = detections.category_ids if class_aware else np.zeros_like(detections.category_ids)
    borders = np.flatnonzero(np.diff(detections.image_ids)) + 1
    kept = [np.zeros(0, dtype=np.int64)]
    for rows in np.split(np.arange(len(detections)), borders):
        winners = class_aware_nms(
            corners[rows],
            detections.scores[rows],
            classes[rows],
            threshold=threshold,
            plus_one=True,
            inclusive=True,
        )
        kept.append(rows[np.sort(winners)])
    indices = np.concatenate(kept)
    boxes = corners[indices].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return DetectionTable(
        image_ids=detections.image_ids[indices],
        category_ids=detections.category_ids[indices],
        boxes=boxes,
        scores=detections.scores[indices],
    )


def _tile_places(annotations: Annotations) -> tuple[FloatArray, IntArray]:
    """Upper left corner of each tile, (T, 2), and the index of its old image, (T,)."""
    source = annotations.source
    by_name: dict[str, int] = {}
    for index, image in enumerate(annotations.old_images):
        if image.file_name in by_name:
            raise InputError(f"{source}: two old images have the file name {image.file_name!r}")
        by_name[image.file_name] = index
    corners, owners = [], []
    for tile in annotations.images:
        if tile.corner is None:
            raise InputError(f"{source}: image {tile.image_id} has no corner, so it is not a tile")
        if tile.file_name not in by_name:
            raise InputError(
                f"{source}: tile {tile.image_id} belongs to no old image, "
                f"got the file name {tile.file_name!r}"
            )
        corners.append(tile.corner[:2])
        owners.append(by_name[tile.file_name])
    return (
        np.array(corners, dtype=np.float64).reshape(-1, 2),
        np.array(owners, dtype=np.int64),
    )


def _tiles_of_detections(detections: DetectionTable, annotations: Annotations) -> IntArray:
    """Index of the tile of each detection, (M,)."""
    ids = np.array([tile.image_id for tile in annotations.images], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    places = np.searchsorted(ids[order], detections.image_ids)
    found = places < len(ids)
    found[found] = ids[order[places[found]]] == detections.image_ids[found]
    if not found.all():
        unknown = detections.image_ids[np.flatnonzero(~found)[0]]
        raise InputError(
            f"{annotations.source}: a detection must be of one of its tiles, got image id {unknown}"
        )
    return order[places]


def _checked_detections(
    boxes_xyxy: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.floating], FloatArray]:
    boxes = np.asarray(boxes_xyxy)
    if boxes.dtype != np.float32:
        boxes = boxes.astype(np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    values = np.asarray(scores, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or values.shape != boxes.shape[:1]:
        raise ValueError(
            "boxes and scores must have the shapes (N, 4) and (N,), "
            f"got {boxes.shape} and {values.shape}"
        )
    if not (np.isfinite(boxes).all() and not np.isnan(values).any()):
        raise ValueError("boxes must be finite and scores not NaN")
    return boxes, values


def _stays(better: IntArray, worse: IntArray, count: int) -> BoolArray:
    """Resolve greedy suppression among boxes from the list of their conflicts.

    Each round decides all boxes at once that no better box in play conflicts with: they stay, and
    what conflicts with them goes. Random scores need a handful of rounds.

    Args:
        better: (E,) ranks, lower than ``worse``.
        worse: (E,) ranks of the box that goes if the better one stays.
        count: Number of boxes.

    Returns:
        (count,), False for boxes that go.
    """
    stays = np.ones(count, dtype=np.bool_)
    while len(better):
        threatened = np.zeros(count, dtype=np.bool_)
        threatened[worse] = True
        stays[worse[~threatened[better]]] = False
        open_ = threatened[better] & stays[better] & stays[worse]
        better, worse = better[open_], worse[open_]
    return stays


class _Overlap:
    """Finds pairs of boxes that overlap too much, without comparing all with all.

    Only pairs whose x-ranges meet are compared: in order of the left sides these are, for each
    box, the neighbours up to its right side. For tiny boxes that is about one in fifty.

    Args:
        boxes: (N, 4) XYXY; indices below are into this table.
        threshold: See :func:`nms`.
        plus_one: See :func:`nms`.
        inclusive: See :func:`nms`.
    """

    def __init__(
        self,
        boxes: npt.NDArray[np.floating],
        threshold: float,
        *,
        plus_one: bool,
        inclusive: bool,
    ) -> None:
        extra = boxes.dtype.type(1.0 if plus_one else 0.0)
        self._left, self._top = boxes[:, 0], boxes[:, 1]
        # With plus_one the right and lower sides are exclusive from here on.
        self._right, self._bottom = boxes[:, 2] + extra, boxes[:, 3] + extra
        self._areas = np.maximum(boxes[:, 2] - boxes[:, 0] + extra, 0) * np.maximum(
            boxes[:, 3] - boxes[:, 1] + extra, 0
        )
        self._threshold, self._inclusive = threshold, inclusive

    def pairs_within(self, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """All conflicts among the chosen boxes.

        Args:
            chosen: (K,) ascending indices.

        Returns:
            Two (E,) arrays of positions in ``chosen``, the first lower than the second.
        """
        firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for first, second in self._starting_inside(chosen, chosen, side="left"):
            different = first != second
            firsts.append(np.minimum(first, second)[different])
            seconds.append(np.maximum(first, second)[different])
        return np.concatenate(firsts), np.concatenate(seconds)

    def pairs_between(
        self, first: IntArray, second: IntArray
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """All conflicts between two sets of boxes, in blocks: positions in each of the two."""
        yield from self._starting_inside(first, second, side="left")
        # Those of the first set that start later than the box of the second: each pair only once.
        for inner, outer in self._starting_inside(second, first, side="right"):
            yield outer, inner

    def _starting_inside(
        self, hosts: IntArray, guests: IntArray, *, side: Literal["left", "right"]
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Conflicts of hosts with guests whose left side lies in the x-range of the host.

        Args:
            hosts: (H,) indices.
            guests: (G,) indices.
            side: "right" leaves out guests that start exactly where the host does.
        """
        by_left = np.argsort(self._left[guests], kind="stable")
        lefts = self._left[guests[by_left]]
        begin = np.searchsorted(lefts, self._left[hosts], side=side)
        counts = np.maximum(np.searchsorted(lefts, self._right[hosts], side="right") - begin, 0)
        ends = np.cumsum(counts)
        start = 0
        while start < len(hosts):
            done = ends[start] - counts[start]
            stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK_PAIRS, side="right")))
            host = np.repeat(np.arange(start, stop), counts[start:stop])
            # Numbers 0, 1, ... within each host, from numbers that run through the block.
            within = np.arange(len(host)) - (ends[host] - counts[host] - done)
            guest = by_left[begin[host] + within]
            conflict = self._conflict(hosts[host], guests[guest])
            yield host[conflict], guest[conflict]
            start = stop

    def _conflict(self, first: IntArray, second: IntArray) -> IntArray:
        """Which of the pairs (P,), (P,) of indices overlap too much: positions, (E,)."""
        heights = np.minimum(self._bottom[first], self._bottom[second])
        heights -= np.maximum(self._top[first], self._top[second])
        near = np.flatnonzero(heights > 0)
        first, second, heights = first[near], second[near], heights[near]
        widths = np.minimum(self._right[first], self._right[second])
        widths -= np.maximum(self._left[first], self._left[second])
        shared = np.maximum(widths, 0) * heights
        union = self._areas[first] + self._areas[second] - shared
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        above = iou >= self._threshold if self._inclusive else iou > self._threshold
        conflicts: IntArray = near[above]
        return conflicts
