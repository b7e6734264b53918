"""The two ways of using tiles, as far as files and scores are concerned.

With run-time crop detections are of images. Without it they are of tiles, as a run over a tile file
would write them, and are merged afterwards as the authors merge result files.
"""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from scale_match.core.candidates import CandidateTable
from scale_match.core.merging import merge_tile_results
from scale_match.core.records import Annotations, DetectionTable, IntArray
from scale_match.core.tiles import tile_grid
from scale_match.engine.sweep_model import DetectorRun
from scale_match.inference.candidate_replay import image_detections, tile_detections
from scale_match.scoring.inputs import (
    MERGE_RULES,
    MERGE_THRESHOLD,
    ScoringInputs,
    load_inputs,
    table_inputs,
)
from scale_match.storage.annotations import read_annotations, read_raw_coco
from scale_match.storage.files import write_json
from scale_match.storage.fingerprints import content_sha256
from scale_match.storage.tiling import tile_annotations

__all__ = ["Crop", "RunTimeCrop", "TilesAsImages"]


class Crop(Protocol):
    """A way of using tiles.

    Attributes:
        joint: Whether the tiles of an image are suppressed together.
    """

    joint: bool

    def detections(self, table: CandidateTable, kept: list[IntArray]) -> DetectionTable:
        """What a run would write, from the candidates kept on each image or tile."""

    def inputs(self, detections: DetectionTable) -> ScoringInputs:
        """What is scored, from what would be written."""

    def load(self, path: Path) -> ScoringInputs:
        """The same, from what was written."""


class RunTimeCrop:
    """Detections of images.

    Args:
        run: The detector and its test set.
        annotations: Its ground truth.
    """

    joint = True

    def __init__(self, run: DetectorRun, annotations: Annotations) -> None:
        self._run, self._annotations = run, annotations
        self._gt_sha256 = content_sha256(run.annotations)

    def detections(self, table: CandidateTable, kept: list[IntArray]) -> DetectionTable:
        """See :class:`Crop`."""
        return image_detections(table, kept, self._run.category_ids)

    def inputs(self, detections: DetectionTable) -> ScoringInputs:
        """See :class:`Crop`."""
        return replace(
            table_inputs(self._annotations, detections),
            gt_path=self._run.annotations,
            gt_sha256=self._gt_sha256,
        )

    def load(self, path: Path) -> ScoringInputs:
        """See :class:`Crop`."""
        return load_inputs(self._run.annotations, path)


class TilesAsImages:
    """Detections of tiles, merged afterwards.

    Args:
        run: The detector and its test set.
        annotations: Its ground truth.
        tiles_path: Where the annotations of its tiles are written, for whoever wants to merge or
            to run the detector on them.

    Raises:
        InputError: The file cannot be written.
    """

    joint = False

    def __init__(self, run: DetectorRun, annotations: Annotations, tiles_path: Path) -> None:
        self._run, self._path = run, tiles_path
        self._on_images = RunTimeCrop(run, annotations)
        model = run.model
        self._first: dict[int, int] = {}  # id of the first tile of each image
        number = 0
        for image in annotations.images:
            self._first[image.image_id] = number
            size = image.width, image.height
            number += len(tile_grid(*size, tile=model.tile, overlap=model.overlap))
        raw = read_raw_coco(run.annotations)
        write_json(tiles_path, tile_annotations(raw, tile=model.tile, overlap=model.overlap))
        self._tiles = read_annotations(tiles_path)
        self._sha256 = content_sha256(tiles_path)

    def detections(self, table: CandidateTable, kept: list[IntArray]) -> DetectionTable:
        """See :class:`Crop`."""
        found = tile_detections(table, kept, self._run.category_ids)
        first = np.array([self._first[each] for each in table.image_ids.tolist()], np.int64)
        # The number of a tile in its image counts from the image's first tile.
        ids = np.arange(len(table.tiles)) - table.image_starts[table.tile_images]
        ids += first[table.tile_images]
        return replace(found, image_ids=ids[found.image_ids])

    def inputs(self, detections: DetectionTable) -> ScoringInputs:
        """See :class:`Crop`."""
        merged = merge_tile_results(detections, self._tiles, threshold=MERGE_THRESHOLD)
        return replace(
            self._on_images.inputs(merged),
            tiles=self._tiles,
            tile_detections=detections,
            tiles_path=self._path,
            tiles_sha256=self._sha256,
            merge=MERGE_RULES[0],
        )

    def load(self, path: Path) -> ScoringInputs:
        """See :class:`Crop`."""
        return load_inputs(self._run.annotations, path, tiles=self._path, merge=MERGE_RULES[0])
