"""Annotations of whole images to annotations of tiles, the "corner" form of TinyPerson.

Exactly what the authors' offline split writes with ``use_fix_size``
(``../shared/oracle/tiles/README.md``); an axis not longer than the overlap, on which theirs fails,
gets one tile. The form is that of the file: plain dictionaries, so that all their fields survive.

A tile file names the whole images, and no image need be cut on disk. For programs that cannot read
such files the tiles can be written as images of their own (:func:`tile_image_files`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scale_match.core.boxes import box_areas
from scale_match.core.errors import InputError
from scale_match.core.tiles import assign_boxes_to_tile, tile_grid
from scale_match.storage.coco_entries import check_distinct_files
from scale_match.storage.image_files import Picture
from scale_match.storage.image_jobs import Edit, ImageJob, image_path

__all__ = ["Crop", "tile_annotations", "tile_image_files"]

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


@dataclass(frozen=True, slots=True)
class Crop:
    """Cuts one tile out.

    Attributes:
        corner: (x1, y1, x2, y2) in the image, x2 and y2 exclusive.
    """

    corner: tuple[int, int, int, int]

    def apply(self, picture: Picture) -> Picture:
        """The pixels of the tile."""
        x1, y1, x2, y2 = self.corner
        return Picture(picture.pixels[y1:y2, x1:x2], picture.icc_profile)


def tile_image_files(tiled: _Entry, images: Path, output: Path) -> tuple[_Entry, list[ImageJob]]:
    """Turn a tile file into one whose tiles are image files.

    A tile at (x1, y1, x2, y2) of ``beach/a.jpg`` is called ``beach/a_x1_y1_x2_y2.jpg``. Its entry
    has that ``file_name`` and no ``corner``, because nothing is left to cut; ``tile_of`` holds both
    of the whole image. ``old_images`` goes, too.

    Args:
        tiled: As from :func:`tile_annotations`.
        images: Folder of the whole images.
        output: Folder to write the tiles to.

    Returns:
        The content of the annotation file, and what to write; each whole image is decoded once.

    Raises:
        InputError: Two images have one file, two tiles would, or a file_name leads out of the
            folder.
    """
    check_distinct_files({"images": tiled["old_images"]})
    outputs: dict[str, list[tuple[Path, Edit | None]]] = {}
    entries = []
    for tile in tiled["images"]:
        whole, corner = tile["file_name"], tile["corner"]
        path = PurePosixPath(whole)
        numbers = "_".join(str(number) for number in corner)
        name = str(path.with_name(f"{path.stem}_{numbers}{path.suffix}"))
        fields = {key: tile[key] for key in tile if key != "corner"}
        entries.append(
            {**fields, "file_name": name, "tile_of": {"file_name": whole, "corner": corner}}
        )
        x1, y1, x2, y2 = corner
        outputs.setdefault(whole, []).append((image_path(output, name), Crop((x1, y1, x2, y2))))
    content = {key: tiled[key] for key in tiled if key != "old_images"}
    content["images"] = entries
    check_distinct_files(content)
    jobs = [
        ImageJob(
            name=image["file_name"],
            source=image_path(images, image["file_name"]),
            size=(image["width"], image["height"]),
            outputs=tuple(outputs[image["file_name"]]),
        )
        for image in tiled["old_images"]
    ]
    return content, jobs
