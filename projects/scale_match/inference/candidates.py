"""What a detector proposes before any suppression, recorded in one pass over a data set."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.inference.candidate_sources import RetinaNetCandidates, candidate_source
from scale_match.inference.raw_candidates import CandidateSource, Inputs, RawCandidates
from scale_match.inference.tiled_model import TiledModel

__all__ = [
    "CandidateSource",
    "RawCandidates",
    "RetinaNetCandidates",
    "candidate_source",
    "record_candidates",
]


class _Recorder(nn.Module):
    """Stands in for a detector in a `TiledModel`: keeps the candidates and finds nothing.

    So images are cut, and tiles put into batches, exactly as in inference.
    """

    def __init__(self, source: CandidateSource, *, limit: int, score_threshold: float) -> None:
        super().__init__()
        self._source = source
        self._limit, self._score_threshold = limit, score_threshold
        self._found: list[RawCandidates] = []
        # Joint merging, which has no suppression on tiles, asks for them.
        self.test_nms_thresh, self.max_detections_per_image = 1.0, 1
        self.eval()

    def forward(self, batched_inputs: list[Inputs]) -> list[dict[str, Instances]]:
        self._found += self._source.raw_candidates(
            batched_inputs, limit=self._limit, score_threshold=self._score_threshold
        )
        return [{"instances": _nothing(each["image"])} for each in batched_inputs]

    def take(self) -> list[RawCandidates]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return found


def record_candidates(
    model: TiledModel,
    batches: Iterable[list[Inputs]],
    *,
    limit: int,
    score_threshold: float,
) -> CandidateTable:
    """Runs a detector once over the tiles of a data set and keeps its candidates.

    Args:
        model: The detector in its tiles, in evaluation mode; how it merges does not matter.
        batches: Of a test loader: dicts with ``image_id``, ``image``, ``height`` and ``width``.
        limit: Candidates per level and tile at most.
        score_threshold: Candidates of greater scores are kept.

    Returns:
        The candidates of all images.

    Raises:
        InputError: The detector does not give its candidates, or a box is not finite.
        RuntimeError: The detector is in training mode.
    """
    if model.model.training:
        raise RuntimeError("candidates are recorded in inference: call eval() first")
    recorder = _Recorder(
        candidate_source(model.model), limit=limit, score_threshold=score_threshold
    )
    on_tiles = TiledModel(
        recorder,
        tile=model.tile,
        overlap=model.overlap,
        merge="joint",
        batch_size=model.batch_size,
    )
    rows = _Rows()
    for batch in batches:
        for sample in batch:
            on_tiles([sample])
            height, width = sample["image"].shape[-2:]
            grid = tile_grid(width, height, tile=model.tile, overlap=model.overlap)
            rows.add(sample, grid.tolist(), recorder.take())
    return rows.table(limit, score_threshold)


class _Rows:
    """Gathers the columns of a `CandidateTable` image by image."""

    def __init__(self) -> None:
        self._images: list[tuple[int, int, int, int, int]] = []
        self._tiles: list[tuple[int, list[int], int]] = []
        self._candidates: dict[str, list[Any]] = {name: [] for name in RawCandidates.__slots__}

    def add(self, sample: Inputs, grid: list[list[int]], found: list[RawCandidates]) -> None:
        height, width = sample["image"].shape[-2:]
        wanted = sample.get("width", width), sample.get("height", height)
        for tile, candidates in zip(grid, found, strict=True):
            if not torch.isfinite(candidates.boxes).all():
                raise InputError(
                    f"the model proposes a box that is not finite in image {sample['image_id']}: "
                    "have its weights diverged?"
                )
            self._tiles.append((len(self._images), tile, len(candidates.scores)))
            for name, column in self._candidates.items():
                column.append(getattr(candidates, name).cpu().numpy())
        self._images.append((int(sample["image_id"]), width, height, *wanted))

    def table(self, limit: int, score_threshold: float) -> CandidateTable:
        images = np.array(self._images, np.int64).reshape(-1, 5)
        counts = np.array([count for _, _, count in self._tiles], np.int64)
        columns = self._candidates
        return CandidateTable(
            image_ids=images[:, 0],
            seen_sizes=images[:, 1:3],
            sizes=images[:, 3:5],
            tile_images=np.array([owner for owner, _, _ in self._tiles], np.int64),
            tiles=np.array([tile for _, tile, _ in self._tiles], np.int64).reshape(-1, 4),
            starts=np.concatenate([[0], counts.cumsum()]),
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *columns["boxes"]]),
            scores=np.concatenate([np.zeros(0, np.float32), *columns["scores"]]),
            filter_scores=np.concatenate([np.zeros(0, np.float32), *columns["filter_scores"]]),
            **{
                name: np.concatenate([np.zeros(0, np.int32), *columns[name]], dtype=np.int32)
                for name in ("classes", "levels", "ranks")
            },
            limit=limit,
            score_threshold=score_threshold,
        )


def _nothing(image: Tensor) -> Instances:
    height, width = image.shape[-2:]
    found = Instances((height, width))
    found.pred_boxes = Boxes(image.new_zeros((0, 4), dtype=torch.float32))
    found.scores = image.new_zeros(0, dtype=torch.float32)
    found.pred_classes = image.new_zeros(0, dtype=torch.int64)
    return found
