"""Training on tiles of whole images: which tiles, with which boxes. No pixel is touched here.

The dictionary of a tile names the whole image and has ``corner``, as one of a tile ("corner") file
has, so that all that follows is the same for both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy, xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.core.tiles import assign_boxes_to_tile, tile_grid
from scale_match.data.datasets import is_left_out, with_boxes, xywh_boxes

__all__ = ["TrainingTiles", "tile_dicts"]

_Entry = dict[str, Any]

# Fields in coordinates of the whole image, of which a tile would have a wrong copy.
_DROPPED_FIELDS = ("segmentation", "keypoints")


@dataclass(frozen=True)
class TrainingTiles:
    """How training uses tiles.

    Attributes:
        enabled: Cut whole images into tiles. False also where the annotations are of tiles already.
        tile: (width, height) in pixels.
        overlap: (horizontal, vertical) in pixels.
        keep: See :func:`tile_dicts`.
        empty_share: Share of images or tiles without a box to train on in an epoch, in [0, 1);
            None leaves it to ``filter_empty``.
        together: Tiles of an image that successive batches take, so that it is decoded once for
            them; 1 for a plain random order.
    """

    enabled: bool = False
    tile: tuple[int, int] = (640, 512)
    overlap: tuple[int, int] = (50, 50)
    keep: float = 0.7
    empty_share: float | None = None
    together: int = 4

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "TrainingTiles":
        """The settings of ``SCALE_MATCH.TRAIN_TILES``."""
        node = cfg.SCALE_MATCH.TRAIN_TILES
        return cls(
            enabled=node.ENABLED,
            tile=tuple(node.SIZE),
            overlap=tuple(node.OVERLAP),
            keep=node.KEEP,
            empty_share=None if node.EMPTY_SHARE < 0 else node.EMPTY_SHARE,
            together=node.TOGETHER,
        )

    def select(self, dicts: Sequence[_Entry], *, filter_empty: bool) -> list[_Entry]:
        """The dictionaries to train on.

        Args:
            dicts: Of whole images or tiles, as ``load_dicts`` makes them.
            filter_empty: Leave out those without a box to train on; an ``empty_share`` wins.

        Raises:
            InputError: There are tiles already, or a setting is out of range.
        """
        selected = list(dicts)
        if self.enabled:
            self._check_numbers()
            selected = tile_dicts(dicts, tile=self.tile, overlap=self.overlap, keep=self.keep)
        if filter_empty and self.empty_share is None:
            selected = with_boxes(selected)
        return selected

    def _check_numbers(self) -> None:
        """Refuse numbers that no tile can be cut by, naming the keys."""
        try:
            tile_grid(1, 1, tile=self.tile, overlap=self.overlap)
            assign_boxes_to_tile(np.empty((0, 4)), (0, 0, 1, 1), keep=self.keep)
        except InputError as error:
            raise InputError(
                "SCALE_MATCH.TRAIN_TILES.SIZE, OVERLAP and KEEP (dataloader.train.tiles.tile, "
                f"overlap and keep) cannot be {list(self.tile)}, {list(self.overlap)} and "
                f"{self.keep}: {error}"
            ) from error


def tile_dicts(
    dicts: Sequence[_Entry],
    *,
    tile: tuple[int, int] = (640, 512),
    overlap: tuple[int, int] = (50, 50),
    keep: float = 0.7,
) -> list[_Entry]:
    """Cut data set dictionaries into tiles, as ``storage.tiling`` cuts an annotation file.

    Tiles, their order, their ids (``image_id`` counts up from 0) and the boxes to train on are
    those of the tile file, bit for bit. In one thing they differ: a box that the tile file would
    not have is kept wherever it reaches into a tile, too, so that it need not be background there.
    If training leaves it out by its flags, the piece has ``gt_ignore``, else ``cut``; no size is
    computed from either.

    Args:
        dicts: Detectron2's standard form, of whole images.
        tile: (width, height) in pixels.
        overlap: (horizontal, vertical) in pixels.
        keep: A box belongs to a tile if sqrt(clipped area) / sqrt(area) is at least this.

    Returns:
        A dictionary for each tile with ``corner``, boxes XYWH_ABS in coordinates of the tile.

    Raises:
        InputError: An image is a tile already, or an argument is out of range.
    """
    tiles: list[_Entry] = []
    for entry in dicts:
        if entry.get("corner") is not None:
            raise InputError(
                "the training annotations are of tiles already (they have 'corner' entries): "
                "SCALE_MATCH.TRAIN_TILES.ENABLED (dataloader.train.tiles.enabled) must be False"
            )
        boxes = entry.get("annotations", [])
        coordinates = xywh_boxes(boxes)
        is_region = np.array([is_left_out(box) for box in boxes], np.bool_)
        for corner in tile_grid(entry["width"], entry["height"], tile=tile, overlap=overlap):
            x1, y1, x2, y2 = corner.tolist()
            belongs, clipped = assign_boxes_to_tile(coordinates, corner, keep=keep)
            pieces = _cut(coordinates, (x1, y1, x2, y2))
            reaches = np.flatnonzero((pieces[:, 2:] > 0).all(axis=1))
            cut: dict[int, _Entry] = {
                i: {"gt_ignore": True} if is_region[i] else {"cut": True} for i in reaches.tolist()
            }
            cut |= {i: {} for i in belongs.tolist()}
            pieces[belongs] = clipped
            # In float32, as the authors store them; the tile file has these numbers.
            stored = pieces.astype(np.float32).astype(np.float64).tolist()
            tiles.append(
                {
                    **entry,
                    "image_id": len(tiles),
                    "width": x2 - x1,
                    "height": y2 - y1,
                    "corner": (x1, y1, x2, y2),
                    "annotations": [
                        _piece(boxes[i], stored[i], flags) for i, flags in sorted(cut.items())
                    ],
                }
            )
    return tiles


def _cut(boxes: FloatArray, corner: tuple[int, int, int, int]) -> FloatArray:
    """Boxes, (N, 4) XYWH, cut to a tile and relative to it."""
    x1, y1, x2, y2 = corner
    shifted = xywh_to_xyxy(boxes) - np.array([x1, y1, x1, y1])
    return xyxy_to_xywh(clip_boxes_xyxy(shifted, x2 - x1, y2 - y1))


def _piece(box: Mapping[str, Any], bbox: list[float], flags: Mapping[str, Any]) -> _Entry:
    fields = {key: box[key] for key in box if key not in _DROPPED_FIELDS}
    return {**fields, "bbox": bbox, "bbox_mode": BoxMode.XYWH_ABS, **flags}
