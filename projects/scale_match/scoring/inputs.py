"""What a score is computed from: ground truth and detections, merged from tiles if need be."""

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.merging import merge_tile_results
from scale_match.core.records import Annotations, DetectionTable
from scale_match.storage.annotations import read_annotations
from scale_match.storage.fingerprints import content_sha256
from scale_match.storage.results import read_detections

__all__ = ["MERGE_RULES", "MERGE_THRESHOLD", "ScoringInputs", "load_inputs", "table_inputs"]

MERGE_RULES = ("class-agnostic", "per-class")
MERGE_THRESHOLD = 0.5
"""IoU from which on the merging of tiles suppresses, with the +1 convention, as the authors'."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoringInputs:
    """Ground truth and detections of whole images, and where they came from.

    Hashes are those of the unpacked content, so that a file and its ``.gz`` have the same one.

    Attributes:
        annotations: Ground truth of whole images.
        detections: Of whole images, merged if they were found on tiles, without those of
            undeclared categories.
        gt_path: Absolute; None where the ground truth did not come from a file.
        dt_path: Likewise.
        gt_sha256: Hexadecimal SHA-256; None likewise.
        dt_sha256: Likewise.
        tiles: The tile ("corner") file, if the detections were found on tiles.
        tile_detections: They as they stand in the file, in coordinates of the tiles.
        tiles_path: Absolute; None without tiles.
        tiles_sha256: Likewise.
        merge: One of ``MERGE_RULES``; None without tiles.
        num_dropped: Detections, after merging, whose category the ground truth does not declare.
        warnings: Sentences for the user.
    """

    annotations: Annotations
    detections: DetectionTable
    gt_path: Path | None = None
    dt_path: Path | None = None
    gt_sha256: str | None = None
    dt_sha256: str | None = None
    tiles: Annotations | None = None
    tile_detections: DetectionTable | None = None
    tiles_path: Path | None = None
    tiles_sha256: str | None = None
    merge: str | None = None
    num_dropped: int = 0
    warnings: tuple[str, ...] = ()


def load_inputs(
    gt: str | os.PathLike[str],
    dt: str | os.PathLike[str],
    *,
    tiles: str | os.PathLike[str] | None = None,
    merge: str = "class-agnostic",
) -> ScoringInputs:
    """Read ground truth and detections, and merge these if they were found on tiles.

    Args:
        gt: COCO-format ground truth of whole images, packed by gzip or not.
        dt: COCO results, packed or not; with ``tiles`` their image ids are those of tiles.
        tiles: A tile ("corner") file, as the split of TinyPerson writes.
        merge: "class-agnostic", one suppression over all detections of an image as the authors'
            merge, or "per-class", the same within each category. Read with ``tiles`` only.

    Returns:
        What can be scored.

    Raises:
        InputError: A file is missing or broken, detections are of images that the ground truth
            (or the tile file) does not list, none of them has a declared category, or the tiles
            are not of these images.
    """
    annotations = read_annotations(gt)
    if tiles is None:
        found, on_tiles, corners = read_detections(dt, annotations), None, None
    else:
        corners = _read_tiles(tiles, annotations)
        on_tiles = read_detections(dt, corners)
        found = _merged(on_tiles, corners, annotations, merge)
    inputs = table_inputs(annotations, found, source=str(dt))
    return replace(
        inputs,
        gt_path=Path(gt).absolute(),
        dt_path=Path(dt).absolute(),
        gt_sha256=content_sha256(gt),
        dt_sha256=content_sha256(dt),
        tiles=corners,
        tile_detections=on_tiles,
        tiles_path=None if tiles is None else Path(tiles).absolute(),
        tiles_sha256=None if tiles is None else content_sha256(tiles),
        merge=None if tiles is None else merge,
        warnings=(*_tile_warnings(annotations, corners), *inputs.warnings),
    )


def table_inputs(
    annotations: Annotations, detections: DetectionTable, *, source: str = "detections in memory"
) -> ScoringInputs:
    """What can be scored of ground truth and detections that are in memory.

    Args:
        annotations: Ground truth.
        detections: Of these images; those of categories that ``annotations`` does not declare are
            dropped and counted.
        source: Name of the detections, for messages.

    Returns:
        Without paths and hashes.

    Raises:
        InputError: There are detections, but none of a declared category.
    """
    declared = sorted(category.category_id for category in annotations.categories)
    stays = np.isin(detections.category_ids, declared)
    num_dropped = len(stays) - int(stays.sum())
    if not num_dropped:
        return ScoringInputs(annotations, detections, warnings=annotations.notes)
    unknown = sorted(set(detections.category_ids[~stays].tolist()))
    named = (
        f"category ids {_listed(unknown)}, but {annotations.source} declares {_listed(declared)}"
    )
    if num_dropped == len(stays):
        raise InputError(
            f"{source}: none of the {len(stays)} detections has a declared category; they have "
            f"{named} (are these detections of another data set?)"
        )
    kept = DetectionTable(
        image_ids=detections.image_ids[stays],
        category_ids=detections.category_ids[stays],
        boxes=detections.boxes[stays],
        scores=detections.scores[stays],
    )
    dropped = f"{source}: {num_dropped} of the {len(stays)} detections are dropped: they have "
    return ScoringInputs(
        annotations, kept, num_dropped=num_dropped, warnings=(*annotations.notes, dropped + named)
    )


def _read_tiles(path: str | os.PathLike[str], annotations: Annotations) -> Annotations:
    """A tile file, which must be of the images that the ground truth lists."""
    if any(image.corner is not None for image in annotations.images):
        raise InputError(
            f"{annotations.source} is a tile file itself; with tiles the ground truth must be that "
            "of the whole images"
        )
    tiles = read_annotations(path)
    names = {image.image_id: image.file_name for image in annotations.images}
    for image in tiles.old_images:
        known = names.get(image.image_id, image.file_name)
        if PurePosixPath(known).name != PurePosixPath(image.file_name).name:
            raise InputError(
                f"{path}: old image id {image.image_id} has file_name {image.file_name!r}, which "
                f"must be {known!r} as in {annotations.source} (are these tiles of another data "
                "set?)"
            )
    return tiles


def _merged(
    detections: DetectionTable, tiles: Annotations, annotations: Annotations, merge: str
) -> DetectionTable:
    if merge not in MERGE_RULES:
        raise InputError(f"merge must be one of {', '.join(MERGE_RULES)}, received {merge!r}")
    merged = merge_tile_results(
        detections, tiles, threshold=MERGE_THRESHOLD, class_aware=merge == "per-class"
    )
    known = [image.image_id for image in annotations.images]
    unknown = merged.image_ids[~np.isin(merged.image_ids, known)]
    if len(unknown):
        raise InputError(
            f"{tiles.source}: there are detections on tiles of the image {unknown[0]}, which "
            f"{annotations.source} does not list (are these tiles of another data set?)"
        )
    return merged


def _tile_warnings(annotations: Annotations, tiles: Annotations | None) -> list[str]:
    if tiles is None:
        return []
    tiled = {image.image_id for image in tiles.old_images}
    absent = sum(image.image_id not in tiled for image in annotations.images)
    if not absent:
        return []
    return [
        f"{absent} of the {len(annotations.images)} images of {annotations.source} have no tiles "
        f"in {tiles.source}: they count as images without detections"
    ]


def _listed(ids: list[int]) -> str:
    """The first ids of a list, for a message."""
    return ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "") or "none"
