"""An annotation file of the size of COCO's train2017, polygons included, with drawn content."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np

from scale_match.storage.files import replacing

__all__ = ["write_coco_size_file"]

_WIDTH, _HEIGHT = 640, 480  # pixels
_CROWDS = 0.012
_CATEGORIES = 80
# Points of an outline: with these a box takes 520 bytes on average, as in instances_train2017.json.
_MEAN_POINTS = 22
_OUTLINES = 2000
_BLOCK = 20_000  # boxes written at a time

Progress = Callable[[Iterable[int]], Iterable[int]]


def write_coco_size_file(
    path: Path,
    *,
    num_images: int = 118_000,
    num_boxes: int = 860_000,
    seed: int = 0,
    progress: Progress = iter,
) -> None:
    """Write the file; with the default numbers it has about 447 MB.

    Args:
        path: The JSON file to write, whole or not at all.
        num_images: At least 1; their ids are spread out as COCO's are.
        num_boxes: In all images together.
        seed: Of the random generator.
        progress: Wraps the loop over blocks of boxes.
    """
    rng = np.random.default_rng(seed)
    image_ids = np.sort(rng.choice(5 * num_images, num_images, replace=False)) + 1
    outlines = [_outline(rng) for _ in range(_OUTLINES)]
    with replacing(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        file.write(", ".join(map(_image, image_ids.tolist())))
        file.write('], "annotations": [')
        for start in progress(range(0, num_boxes, _BLOCK)):
            file.write(", " if start else "")
            count = min(_BLOCK, num_boxes - start)
            file.write(", ".join(_annotations(rng, start, count, image_ids, outlines)))
        categories = [{"id": k, "name": f"thing {k}"} for k in range(1, _CATEGORIES + 1)]
        file.write('], "categories": ' + msgspec.json.encode(categories).decode() + "}")


def _image(image_id: int) -> str:
    name = f"{image_id:012}.jpg"
    return (
        f'{{"license": 3, "file_name": "{name}", "coco_url": "http://example.org/train2017/{name}",'
        f' "height": {_HEIGHT}, "width": {_WIDTH}, "date_captured": "2013-11-14 11:18:45", '
        f'"flickr_url": "http://example.org/photos/{name}", "id": {image_id}}}'
    )


def _outline(rng: np.random.Generator) -> str:
    """The numbers of a polygon; where its points lie does not matter here."""
    points = rng.uniform(0, _WIDTH, 2 * max(4, int(rng.exponential(_MEAN_POINTS))))
    return ", ".join(f"{value:.2f}" for value in points)


def _annotations(
    rng: np.random.Generator, start: int, count: int, image_ids: np.ndarray, outlines: list[str]
) -> list[str]:
    sides = np.minimum(rng.lognormal(4.0, 1.0, (count, 2)), [_WIDTH - 1, _HEIGHT - 1])
    corners = rng.random((count, 2)) * ([_WIDTH, _HEIGHT] - sides)
    boxes = np.concatenate([corners, sides], axis=1).round(2).tolist()
    images = rng.choice(image_ids, count).tolist()
    crowds = (rng.random(count) < _CROWDS).astype(int).tolist()
    categories = rng.integers(1, _CATEGORIES + 1, count).tolist()
    shapes = rng.integers(0, len(outlines), count).tolist()
    areas = (sides.prod(axis=1) * 0.6).tolist()
    return [
        f'{{"segmentation": [[{outlines[shape]}]], "area": {area:.4f}, "iscrowd": {crowd}, '
        f'"image_id": {image}, "bbox": {box}, "category_id": {category}, "id": {number}}}'
        for number, (shape, area, crowd, image, box, category) in enumerate(
            zip(shapes, areas, crowds, images, boxes, categories, strict=True), start + 1
        )
    ]
