"""The rows of a sweep: from candidates to detections to scores, without the model."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.core.protocol import NONE
from scale_match.core.records import IntArray
from scale_match.engine.protocol import model_protocol
from scale_match.engine.sweep_crops import Crop, RunTimeCrop, TilesAsImages
from scale_match.engine.sweep_model import DetectorRun
from scale_match.engine.sweep_settings import RowSettings, SweepSettings
from scale_match.inference.candidate_replay import NMS_TYPES, Suppression, keep_best
from scale_match.scoring.files import SCORES_FILE, write_scores
from scale_match.scoring.inputs import ScoringInputs
from scale_match.scoring.protocol_files import PROTOCOL_FILE, write_protocol
from scale_match.scoring.scores import Scores, ScoringOptions, score
from scale_match.storage.annotations import read_annotations
from scale_match.storage.results import write_detections

__all__ = ["RowScorer"]

TILES_FILE = "tiles.json"


class RowScorer:
    """Scores every row of a sweep.

    Args:
        run: The detector, for what its config says; it does not run.
        settings: With score thresholds.
        output: Folder for ``tiles.json``, ``rows/`` and ``detections/``.
        write: Whether to write a scores file for each row, with its detections and its protocol.

    Raises:
        InputError: The ground truth is of tiles already, or cannot be read; or there are rows
            without run-time crop, and images are resized or share a file name.
    """

    def __init__(
        self, run: DetectorRun, settings: SweepSettings, output: Path, *, write: bool
    ) -> None:
        self._run, self._settings, self._output, self._write = run, settings, output, write
        self._annotations = read_annotations(run.annotations)
        self._with_miss_rate = write or any(name.startswith("MR") for name in settings.metrics)
        self._test_scale = model_protocol(run.model, run.mapper)["test_scale"]
        if any(image.corner is not None for image in self._annotations.images):
            raise InputError(
                f"{run.annotations} is a tile file; a sweep needs the whole images, which it cuts "
                "into tiles itself"
            )
        if "no" in settings.crop:
            self._check_tiles_as_images()

    def _check_tiles_as_images(self) -> None:
        """Refuses early what would keep tiles from being images of their own."""
        times = Counter(image.file_name for image in self._annotations.images)
        name, most = max(times.items(), key=itemgetter(1), default=("", 0))
        if most > 1:
            raise InputError(
                f"{self._run.annotations}: {most} images have the file name {name!r}, by which the "
                "tiles of an image are known when they are merged: use --crop yes"
            )
        if self._test_scale not in (1, None):
            raise InputError(
                f"the config resizes images for the test ({self._test_scale}), so that its tiles "
                "are not those of the images themselves: use --crop yes, or leave their size "
                "(SCALE_MATCH.DATA.RESIZE False)"
            )

    def rows(self, table: CandidateTable) -> Iterator[tuple[RowSettings, Scores]]:
        """All rows with their scores; not in the order of the table.

        Args:
            table: Candidates for all of the settings.

        Raises:
            InputError: A class has no category, or a file cannot be written.
        """
        total = len(list(self._settings.rows()))
        crops = {name: self._crop(name) for name in self._settings.crop}
        with tqdm(total=total, desc="rows", unit="row") as progress:
            for row, crop, kept in self._detection_sets(table, crops):
                detections = crop.detections(table, kept)
                if self._write:
                    path = self._output / "detections" / f"{row.set_label}.json"
                    write_detections(path, detections)
                    inputs = crop.load(path)
                else:
                    inputs = crop.inputs(detections)
                for max_dets in self._settings.max_dets:
                    of_row = replace(row, max_dets=max_dets)
                    yield of_row, self._score(of_row, inputs)
                    progress.update()

    def _crop(self, name: str) -> Crop:
        if name == "yes":
            return RunTimeCrop(self._run, self._annotations)
        return TilesAsImages(self._run, self._annotations, self._output / TILES_FILE)

    def _detection_sets(
        self, table: CandidateTable, crops: Mapping[str, Crop]
    ) -> Iterator[tuple[RowSettings, Crop, list[IntArray]]]:
        """Settings but for ``max_dets``, with the candidates kept on each image or tile."""
        settings = self._settings
        thresholds = itertools.product(settings.nms_thresholds, settings.score_thresholds)
        for (name, crop), (threshold, least) in itertools.product(crops.items(), thresholds):
            # Together, since many of these choose the same of most images.
            suppressions = [
                Suppression(number, nms, threshold, least)
                for nms, number in itertools.product(settings.nms, settings.candidates)
            ]
            parts = len(table.image_ids) if crop.joint else len(table.tiles)
            title = f"crop {name}, NMS {threshold:g}"
            kept = keep_best(
                table,
                suppressions,
                limit=max(settings.max_detections),
                joint=crop.joint,
                indices=tqdm(range(parts), desc=title, leave=False),
            )
            for each, lists in zip(suppressions, kept, strict=True):
                for limit in settings.max_detections:
                    yield RowSettings(name, each, limit, 0), crop, [k[:limit] for k in lists]

    def _score(self, row: RowSettings, inputs: ScoringInputs) -> Scores:
        options = ScoringOptions(max_dets=(row.max_dets,), miss_rate=self._with_miss_rate)
        entries = self._protocol(row)
        scores = score(inputs, options, entries)
        if self._write:
            folder = self._output / "rows" / row.label
            write_protocol(folder / PROTOCOL_FILE, entries)
            write_scores(folder / SCORES_FILE, scores)
        return scores

    def _protocol(self, row: RowSettings) -> dict[str, Any]:
        """What a run with these settings says of itself (``engine.protocol``)."""
        part, limit = row.suppression, row.max_detections
        entries: dict[str, Any] = {
            "max_per_image": limit,
            "max_per_tile": NONE,
            "candidates_per_level": part.candidates,
            "score_threshold": part.score_threshold,
            "test_scale": self._test_scale,
        }
        if part.nms == NMS_TYPES[1]:
            entries["nms_type"] = part.nms  # no entry of a run: its suppression is per class
        if row.crop == "yes":
            return entries | {
                "tile_size": list(self._run.model.tile),
                "tile_overlap": list(self._run.model.overlap),
                "merge": "joint",
                "merge_threshold": part.threshold,
                "nms_threshold": NONE,
            }
        of_tiling = ("tile_size", "tile_overlap", "merge", "merge_threshold")
        return entries | dict.fromkeys(of_tiling, NONE) | {"nms_threshold": part.threshold}
