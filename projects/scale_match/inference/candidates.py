"""What a detector proposes before any suppression, recorded in one pass over a data set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from detectron2.modeling import RetinaNet
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.inference.tiled_model import TiledModel

__all__ = [
    "CandidateSource",
    "RawCandidates",
    "RetinaNetCandidates",
    "candidate_source",
    "record_candidates",
]

_Inputs: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RawCandidates:
    """The candidates of one input, level by level, in a level best first; M in all.

    Attributes:
        boxes: XYXY in pixels of the input, not clipped, (M, 4).
        scores: (M,).
        classes: Class indices from 0, (M,).
        levels: Index of the feature level, (M,).
        ranks: Place in the level, from 0, (M,).
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    levels: Tensor
    ranks: Tensor


@runtime_checkable
class CandidateSource(Protocol):
    """What a detector offers to take part in a sweep over test-time settings.

    A detector with this method is used as it is; for detectron2's own see `candidate_source`. Its
    contract: with a limit n and a threshold t the detector suppresses, per class and in the order
    given, exactly the candidates with ``ranks < n`` and ``scores > t``.
    """

    def raw_candidates(
        self, batched_inputs: list[_Inputs], *, limit: int, score_threshold: float
    ) -> list[RawCandidates]:
        """Proposes on each input, without suppressing anything.

        Args:
            batched_inputs: As for the detector.
            limit: Candidates per level at most, the best ones.
            score_threshold: Only candidates of greater scores.

        Returns:
            One for each input.
        """


class RetinaNetCandidates:
    """The candidates of a RetinaNet, as its own inference chooses them.

    Among equal scores those of lower anchors come first. detectron2 leaves that open, and its
    versions differ, so that candidates of equal score at the limit may be others there.

    Args:
        model: Of any pyramid, in evaluation mode when it is called.
    """

    def __init__(self, model: RetinaNet) -> None:
        self._model = model

    def raw_candidates(
        self, batched_inputs: list[_Inputs], *, limit: int, score_threshold: float
    ) -> list[RawCandidates]:
        """See :class:`CandidateSource`."""
        model = self._model
        images = model.preprocess_image(batched_inputs)
        features = model.backbone(images.tensor)
        features = [features[name] for name in model.head_in_features]
        anchors = [level.tensor for level in model.anchor_generator(features)]
        logits, deltas = model.head(features)
        logits = [_per_anchor(level, model.num_classes) for level in logits]
        deltas = [_per_anchor(level, 4) for level in deltas]
        return [
            self._of_image(
                [level[i] for level in logits],
                [level[i] for level in deltas],
                anchors,
                limit,
                score_threshold,
            )
            for i in range(len(batched_inputs))
        ]

    def _of_image(
        self,
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        anchors: Sequence[Tensor],
        limit: int,
        score_threshold: float,
    ) -> RawCandidates:
        """The candidates of one image; R_i anchors on level i, K classes.

        Args:
            logits: Per level, (R_i, K).
            deltas: Per level, (R_i, 4).
            anchors: Per level, (R_i, 4).
            limit: Per level.
            score_threshold: Exclusive.
        """
        parts = []
        for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
            scores = logit.flatten().sigmoid()  # (R_i * K,)
            places = (scores > score_threshold).nonzero()[:, 0]
            order = scores[places].argsort(descending=True, stable=True)[:limit]
            places = places[order]
            owners = places // self._model.num_classes
            parts.append(
                RawCandidates(
                    boxes=self._model.box2box_transform.apply_deltas(delta[owners], anchor[owners]),
                    scores=scores[places],
                    classes=places % self._model.num_classes,
                    levels=torch.full_like(places, level),
                    ranks=torch.arange(len(places), device=places.device),
                )
            )
        return _joined(parts)


def candidate_source(model: nn.Module) -> CandidateSource:
    """The way to get the candidates of a detector.

    Args:
        model: A detectron2 detector.

    Raises:
        InputError: There is no way to get them.
    """
    if isinstance(model, CandidateSource):
        return model
    if isinstance(model, RetinaNet):
        return RetinaNetCandidates(model)
    raise InputError(
        f"{type(model).__name__} does not give its candidates before suppression: a sweep needs a "
        "RetinaNet or a detector with the method raw_candidates"
    )


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

    def forward(self, batched_inputs: list[_Inputs]) -> list[dict[str, Instances]]:
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
    batches: Iterable[list[_Inputs]],
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

    def add(self, sample: _Inputs, grid: list[list[int]], found: list[RawCandidates]) -> None:
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
            **{
                name: np.concatenate([np.zeros(0, np.int32), *columns[name]], dtype=np.int32)
                for name in ("classes", "levels", "ranks")
            },
            limit=limit,
            score_threshold=score_threshold,
        )


def _per_anchor(level: Tensor, width: int) -> Tensor:
    """The head's output (N, A * width, H, W) as (N, H * W * A, width)."""
    batch, _, height, columns = level.shape
    split = level.view(batch, -1, width, height, columns)
    return split.permute(0, 3, 4, 1, 2).reshape(batch, -1, width)


def _joined(parts: Sequence[RawCandidates]) -> RawCandidates:
    return RawCandidates(
        *(torch.cat([getattr(part, name) for part in parts]) for name in RawCandidates.__slots__)
    )


def _nothing(image: Tensor) -> Instances:
    height, width = image.shape[-2:]
    found = Instances((height, width))
    found.pred_boxes = Boxes(image.new_zeros((0, 4), dtype=torch.float32))
    found.scores = image.new_zeros(0, dtype=torch.float32)
    found.pred_classes = image.new_zeros(0, dtype=torch.int64)
    return found
