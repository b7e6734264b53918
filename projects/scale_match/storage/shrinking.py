"""Images and boxes reduced by a factor, as Tiny CityPersons is made from CityPersons by 4.

The reduction is exactly by the factor on both axes: pixel (x, y) of the small image averages around
(factor * x, factor * y) of the large one. Where a side is no multiple of the factor its new length
is rounded (half to even), and at the right or lower border at most half a new pixel is cut off or
made up by repeating the last one; so boxes may reach out of the image by half a pixel.
"""

from dataclasses import dataclass
from math import ceil, isfinite
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry, check_distinct_files, refuse_tiles
from scale_match.storage.image_files import Picture
from scale_match.storage.image_jobs import ImageJob, image_path

__all__ = ["Shrink", "shrink_jobs", "shrunk_annotations"]

# Lengths in pixels, for which a number or a flat list of numbers stands.
_LENGTHS = ("bbox", "vis", "size")


@dataclass(frozen=True, slots=True)
class Shrink:
    """Reduces an image, averaging over the pixels that become one (Lanczos window).

    Attributes:
        factor: By which both axes get shorter.
        size: (width, height) of the result.
    """

    factor: float
    size: tuple[int, int]

    def apply(self, picture: Picture) -> Picture:
        """The reduced picture."""
        width, height = (side * self.factor for side in self.size)
        pixels = picture.pixels
        below, right = ceil(height) - pixels.shape[0], ceil(width) - pixels.shape[1]
        if below > 0 or right > 0:
            more = [(0, max(0, below)), (0, max(0, right)), (0, 0)]
            pixels = np.pad(pixels, more[: pixels.ndim], mode="edge")
        large = Image.fromarray(pixels)
        box = (0.0, 0.0, width, height)
        small = large.resize(self.size, Image.Resampling.LANCZOS, box=box)
        return Picture(np.asarray(small), picture.icc_profile)


def shrunk_annotations(raw: Entry, factor: float) -> Entry:
    """The annotations of the reduced images.

    ``bbox``, ``vis``, ``size``, polygons and keypoints are divided by the factor, ``area`` by its
    square; masks in run lengths are left out, because they cannot be reduced exactly.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        factor: At least 1.

    Raises:
        InputError: The factor is out of range, or the file is one of tiles.
    """
    _check(factor)
    refuse_tiles(raw, "shrink the whole images, then cut them into tiles")
    images = []
    for image in raw["images"]:
        width, height = _size(image, factor)
        images.append({**image, "width": width, "height": height})
    boxes = [_shrunk_box(box, factor) for box in raw["annotations"]]
    return {**raw, "images": images, "annotations": boxes}


def shrink_jobs(raw: Entry, factor: float, images: Path, output: Path) -> list[ImageJob]:
    """What to write so that all images are reduced.

    Args:
        raw: The file's content before :func:`shrunk_annotations`.
        factor: At least 1.
        images: Folder of the images.
        output: Folder to write to; names are kept.

    Raises:
        InputError: The factor is out of range, the file is one of tiles, two images have one file,
            or a file_name leads out of the folder.
    """
    _check(factor)
    refuse_tiles(raw, "shrink the whole images, then cut them into tiles")
    check_distinct_files(raw)
    jobs = []
    for image in raw["images"]:
        name = image["file_name"]
        edit = Shrink(float(factor), _size(image, factor))
        outputs = ((image_path(output, name), edit),)
        size = (image["width"], image["height"])
        jobs.append(ImageJob(name, image_path(images, name), size, outputs))
    return jobs


def _check(factor: float) -> None:
    if not (isfinite(factor) and factor >= 1):
        raise InputError(f"factor must be a number of at least 1, got {factor}")


def _size(image: Entry, factor: float) -> tuple[int, int]:
    width, height = (max(1, round(image[side] / factor)) for side in ("width", "height"))
    return width, height


def _shrunk_box(box: Entry, factor: float) -> Entry:
    shrunk = dict(box)
    for field in _LENGTHS:
        if box.get(field) is not None:
            shrunk[field] = _divided(box[field], factor)
    if box.get("area") is not None:
        shrunk["area"] = box["area"] / factor**2
    if "segmentation" in box:
        if isinstance(box["segmentation"], list):
            shrunk["segmentation"] = _divided(box["segmentation"], factor)
        else:
            del shrunk["segmentation"]
    if isinstance(box.get("keypoints"), list):
        shrunk["keypoints"] = [
            value if index % 3 == 2 else value / factor  # x, y, visibility
            for index, value in enumerate(box["keypoints"])
        ]
    return shrunk


def _divided(value: Any, factor: float) -> Any:  # noqa: ANN401 - numbers in nested lists
    if isinstance(value, list):
        return [_divided(part, factor) for part in value]
    return value / factor
