"""Bringing the detections of tiles together in their image: shift back, suppress duplicates.

``nms`` is the one greedy suppression of the package; ``merge_tile_results`` is the offline merging
of result files with the authors' rules (oracle README "Split and merge"). Coordinates as in
:mod:`scale_match.core.boxes`.
"""

import numpy as np
import numpy.typing as npt

from scale_match.core.conflicts import Conflicts
from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, BoolArray, DetectionTable, FloatArray, IntArray

__all__ = ["class_aware_nms", "merge_tile_results", "nms"]

# Boxes whose mutual conflicts are listed at a time: at most 2 million, if all lie on one another.
_CHUNK_BOXES = 2048


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
    conflicts = Conflicts(boxes[order], threshold, plus_one=plus_one, inclusive=inclusive)
    alive = np.ones(len(order), dtype=np.bool_)
    for start in range(0, len(order), _CHUNK_BOXES):
        stop = start + _CHUNK_BOXES
        chunk = start + np.flatnonzero(alive[start:stop])
        alive[chunk] = _stays(*conflicts.pairs_within(chunk), len(chunk))
        winners = chunk[alive[chunk]]
        rest = stop + np.flatnonzero(alive[stop:])
        for _, suppressed in conflicts.pairs_between(winners, rest):
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
    boxes = corners[indices]
    boxes[:, 2:] -= boxes[:, :2]  # Still in float32, as in the original.
    return DetectionTable(
        image_ids=detections.image_ids[indices],
        category_ids=detections.category_ids[indices],
        boxes=boxes.astype(np.float64),
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
