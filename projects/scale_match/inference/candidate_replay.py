"""From recorded candidates to the detections that inference with some settings gives.

Two ways of using the tiles, as in the authors' study of test-time settings. With *run-time crop*
the candidates of all tiles of an image are joined before one suppression and one limit, as
`TiledModel` does with ``merge="joint"``. Without it each tile is an image of its own to the
detector, with a suppression and a limit of its own; the results are merged from files afterwards
(``scale_match.core.merging``).

Both replay the arithmetic of the run in float32, operation by operation, so that equal candidates
give equal detections.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.layers import batched_nms

from scale_match.core.candidates import CandidateTable, Float32Array
from scale_match.core.errors import InputError
from scale_match.core.records import BoolArray, DetectionTable, IntArray
from scale_match.inference.suppression import best_unsuppressed

__all__ = ["NMS_TYPES", "Suppression", "image_detections", "keep_best", "tile_detections"]

NMS_TYPES = ("class-aware", "class-agnostic")


@dataclass(frozen=True, slots=True)
class Suppression:
    """Test-time settings that decide which candidates stay, but for the limit of detections.

    Attributes:
        candidates: Per level and tile, the best ones.
        nms: One of `NMS_TYPES`.
        threshold: IoU above which the worse of two boxes goes.
        score_threshold: Only candidates of greater ``filter_scores``.
    """

    candidates: int
    nms: str
    threshold: float
    score_threshold: float


def keep_best(
    table: CandidateTable,
    suppressions: Sequence[Suppression],
    *,
    limit: int,
    joint: bool,
    indices: Iterable[int] | None = None,
) -> list[list[IntArray]]:
    """Suppresses among the candidates of each image, or of each tile, under several settings.

    What a smaller limit leaves is the beginning of each result. Settings that choose the same
    candidates of an image share the work.

    Args:
        table: The candidates.
        suppressions: The settings.
        limit: Most detections of an image (joint) or tile.
        joint: Whether the tiles of an image are joined first.
        indices: Of the images (joint) or tiles, all by default; for showing the progress.

    Returns:
        For each setting and each image or tile the kept candidates, best first.

    Raises:
        InputError: A setting asks for candidates that were not recorded.
    """
    for each in suppressions:
        if not table.covers(each.candidates, each.score_threshold):
            raise InputError(
                f"{each.candidates} candidates per level above the score {each.score_threshold} "
                f"are asked for, but {table.limit} above {table.score_threshold} were recorded"
            )
    bounds = table.image_starts if joint else np.arange(len(table.tiles) + 1)
    kept: list[list[IntArray]] = [[] for _ in suppressions]
    for i in range(len(bounds) - 1) if indices is None else indices:
        first, last = int(bounds[i]), int(bounds[i + 1])
        part = _Part(table, first, last, joined=joint and last - first > 1)
        results: dict[Suppression, IntArray] = {}
        for each, lists in zip(suppressions, kept, strict=True):
            same = part.equivalent(each)
            if same not in results:
                results[same] = part.keep(same, limit)
            lists.append(results[same])
    return kept


def image_detections(
    table: CandidateTable, kept: Sequence[IntArray], category_ids: Sequence[int]
) -> DetectionTable:
    """Kept candidates as detections on images, as inference with run-time crop returns them.

    Args:
        table: The candidates.
        kept: For each image of the table, best first.
        category_ids: Category id of each class index.

    Returns:
        Images in ascending order of id, in an image best first; boxes in its own pixels.

    Raises:
        InputError: A class has no category id.
    """
    order = np.argsort(table.image_ids, kind="stable")
    rows = np.concatenate([np.zeros(0, np.int64), *(kept[i] for i in order)])
    tiles = table.tile_of_candidates[rows]
    images = table.tile_images[tiles]
    boxes = table.boxes[rows]
    # On an image of one tile the detector itself scales and clips, once.
    joined = (np.diff(table.image_starts) > 1)[images]
    boxes[joined] = _in_image(boxes[joined], table.tiles[tiles[joined]])
    scale = (table.sizes[images] / table.seen_sizes[images]).astype(np.float32)  # (K, 2)
    boxes = _clipped(boxes * np.tile(scale, 2), table.sizes[images])
    return _detections(table, rows, boxes, table.image_ids[images], category_ids)


def tile_detections(
    table: CandidateTable, kept: Sequence[IntArray], category_ids: Sequence[int]
) -> DetectionTable:
    """Kept candidates as detections on tiles, as a run over the tiles as images writes them.

    Args:
        table: The candidates.
        kept: For each tile of the table, best first.
        category_ids: Category id of each class index.

    Returns:
        ``image_ids`` are indices of tiles; boxes in pixels of the tile.

    Raises:
        InputError: A class has no category id, or the detector saw resized images: their tiles are
            none of the images themselves.
    """
    resized = np.flatnonzero((table.sizes != table.seen_sizes).any(axis=1))
    if len(resized):
        image = resized[0]
        raise InputError(
            f"image {table.image_ids[image]} is resized from {table.sizes[image].tolist()} to "
            f"{table.seen_sizes[image].tolist()} for the test, so that its tiles are not those of "
            "the image: without run-time crop images must keep their size"
        )
    rows = np.concatenate([np.zeros(0, np.int64), *kept])
    tiles = table.tile_of_candidates[rows]
    boxes = _clipped(table.boxes[rows], _sides(table.tiles)[tiles])
    return _detections(table, rows, boxes, tiles, category_ids)


class _Part:
    """The candidates of an image or of a tile.

    Args:
        table: All candidates.
        first: First tile.
        last: Last tile, exclusive.
        joined: Candidates of several tiles, clipped and shifted before they are suppressed.
    """

    def __init__(self, table: CandidateTable, first: int, last: int, *, joined: bool) -> None:
        rows = np.arange(table.starts[first], table.starts[last])
        boxes = table.boxes[rows]
        if joined:
            tiles = np.repeat(np.arange(first, last), np.diff(table.starts[first : last + 1]))
            inside = _nonempty(_clipped(boxes, _sides(table.tiles)[tiles]))
            rows, tiles = rows[inside], tiles[inside]
            boxes = _in_image(boxes[inside], table.tiles[tiles])
        self._rows, self._boxes, self._joined = rows, boxes, joined
        self._scores, self._ranks = table.scores[rows], table.ranks[rows]
        self._filter_scores = table.filter_scores[rows]
        self._classes = table.classes[rows]
        self._most = int(self._ranks.max(initial=-1)) + 1
        self._one_class = not self._classes.any()

    def equivalent(self, suppression: Suppression) -> Suppression:
        """The settings that choose the same here, written in one way."""
        return Suppression(
            min(suppression.candidates, self._most),
            NMS_TYPES[1] if self._one_class else suppression.nms,
            suppression.threshold,
            suppression.score_threshold,
        )

    def keep(self, suppression: Suppression, limit: int) -> IntArray:
        """Indices into the table of what stays, best first."""
        chosen = self._ranks < suppression.candidates
        chosen &= self._filter_scores > suppression.score_threshold
        rows = self._rows[chosen]
        boxes = torch.from_numpy(self._boxes[chosen])
        scores = torch.from_numpy(self._scores[chosen])
        classes = torch.from_numpy(self._classes[chosen]).long()
        if suppression.nms == NMS_TYPES[1]:
            classes = torch.zeros_like(classes)
        if self._joined:
            kept = best_unsuppressed(
                boxes, scores, classes, threshold=suppression.threshold, limit=limit
            )
        else:
            kept = batched_nms(boxes, scores, classes, suppression.threshold)[:limit]
        found: IntArray = rows[kept.numpy()]
        return found


def _sides(tiles: IntArray) -> IntArray:
    """Widths and heights, (T, 2)."""
    return tiles[:, 2:] - tiles[:, :2]


def _clipped(boxes: Float32Array, sides: IntArray) -> Float32Array:
    """XYXY boxes (K, 4) inside pictures of given widths and heights, (K, 2)."""
    return np.clip(boxes, np.float32(0), np.tile(sides, 2).astype(np.float32))


def _in_image(boxes: Float32Array, tiles: IntArray) -> Float32Array:
    """Boxes (K, 4) clipped to their tiles (K, 4) and moved to where these lie."""
    return _clipped(boxes, _sides(tiles)) + np.tile(tiles[:, :2], 2).astype(np.float32)


def _nonempty(boxes: Float32Array) -> BoolArray:
    longer = boxes[:, 2:] > boxes[:, :2]
    found: BoolArray = longer[:, 0] & longer[:, 1]
    return found


def _detections(
    table: CandidateTable,
    rows: IntArray,
    boxes: Float32Array,
    image_ids: IntArray,
    category_ids: Sequence[int],
) -> DetectionTable:
    """Columns of those boxes of which something is left."""
    left = _nonempty(boxes)
    classes = table.classes[rows[left]]
    if len(classes) and classes.max() >= len(category_ids):
        raise InputError(
            f"the model predicts class {classes.max()}, but the ground truth has "
            f"{len(category_ids)} categories: is it a model of another data set?"
        )
    corners = boxes[left].astype(np.float64)
    return DetectionTable(
        image_ids=image_ids[left],
        category_ids=np.array(category_ids, np.int64)[classes],
        boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        scores=table.scores[rows[left]].astype(np.float64),
    )
