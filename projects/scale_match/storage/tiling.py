"""Annotations of whole images to annotations of tiles, the "corner" form of TinyPerson.

Exactly what the authors' offline split writes with ``use_fix_size``
(``../shared/oracle/tiles/README.md``); an axis not longer than the overlap, on which theirs fails,
gets one tile. The form is that of the file: plain dictionaries, so that all their fields survive.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from scale_match.core.boxes import box_areas
from scale_match.core.errors import InputError
from scale_match.core.tiles import assign_boxes_to_tile, tile_grid

__all__ = ["tile_annotations"]

_Entry = dict[str, Any]
_Progress = Callable[[Sequence[_Entry]], Iterable[_Entry]]

# Fields in coordinates of the whole image, of which a tile would have a wrong copy.
_DROPPED_FIELDS = ("segmentation", "keypoints", "num_keypoints")


def tile_annotations(
    raw: _Entry,
    *,
    tile: tuple[int, int] = (640, 512),
    overlap: tuple[int, int] = (50, 50),
    keep: float = 0.7,
    progress: _Progress = iter,
) -> _Entry:
    """Cut every image of a COCO-format file into tiles and give the boxes to them.

    A tile entry has the fields of its image, ``width`` and ``height`` of the tile, and ``corner`` =
    [x1, y1, x2, y2]; the images move to ``old_images``. A box entry has the fields of the box,
    ``bbox`` cut to the tile and relative to it (rounded to float32, as the authors store it),
    ``area`` and ``size`` = sqrt(area) of that; polygons and keypoints are left out. Ids of tiles
    and boxes count up from 0 over the whole data set. Tiles without a box stay.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        tile: (width, height) in pixels.
        overlap: (horizontal, vertical) in pixels; (50, 50) made the published annotations.
        keep: A box belongs to a tile if sqrt(clipped area) / sqrt(area) is at least this.
        progress: Wraps the list of images, to show how far one is.

    Returns:
        The content of the tile file; ``raw`` stays as it is.

    Raises:
        InputError: The file has tiles already, or an argument is out of range.
    """
    if any("corner" in image for image in raw["images"]):
        raise InputError("the annotations are of tiles already (they have 'corner' entries)")
    boxes_of_image: dict[int, list[_Entry]] = {image["id"]: [] for image in raw["images"]}
    for box in raw["annotations"]:
        boxes_of_image[box["image_id"]].append(box)
    tiles: list[_Entry] = []
    annotations: list[_Entry] = []
    for image in progress(raw["images"]):
        boxes = boxes_of_image[image["id"]]
        grid = tile_grid(image["width"], image["height"], tile=tile, overlap=overlap)
        for x1, y1, x2, y2 in grid.tolist():
            corner, tile_id = [x1, y1, x2, y2], len(tiles)
            size = {"width": x2 - x1, "height": y2 - y1}
            tiles.append({**image, "id": tile_id, **size, "corner": corner})
            for box in _boxes_in_tile(boxes, corner, keep):
                annotations.append({**box, "image_id": tile_id, "id": len(annotations)})
    replaced = {"images": tiles, "annotations": annotations, "old_images": raw["images"]}
    return {**raw, **replaced}


def _boxes_in_tile(boxes: list[_Entry], corner: list[int], keep: float) -> Iterator[_Entry]:
    """Copies of the entries that belong to a tile, in order, with the cut box and its area."""
    indices, clipped = assign_boxes_to_tile([box["bbox"] for box in boxes], corner, keep=keep)
    clipped = clipped.astype(np.float32).astype(np.float64)  # (K, 4) XYWH in tile coordinates
    areas = box_areas(clipped)  # (K,)
    sizes = np.sqrt(areas)
    rows = zip(indices.tolist(), clipped.tolist(), areas.tolist(), sizes.tolist(), strict=True)
    for index, box, area, size in rows:
        fields = {key: boxes[index][key] for key in boxes[index] if key not in _DROPPED_FIELDS}
        yield {**fields, "bbox": box, "area": area, "size": size}
