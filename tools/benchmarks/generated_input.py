"""Ground truth and detections of any number of images, in the manner of TinyPerson's test set.

Objects per image are spread widely, sizes are log-normal around 12 pixels, some boxes are large
ignored regions. Seven in ten detections are somewhere near an object, mostly several of them near
the same one, the others anywhere. Numbers have all the digits of single precision, as detectors
write them. The content depends on the numbers of images and objects and on the seed only.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from scale_match.core.records import FloatArray, IntArray
from scale_match.storage.files import replacing, write_bytes

__all__ = ["write_generated_input"]

_WIDTH, _HEIGHT = 1920, 1080  # pixels
_MEDIAN_SIZE = 12.0  # pixels
_NEAR_OBJECTS = 0.7
_IGNORED, _UNCERTAIN = 0.04, 0.02

Progress = Callable[[Iterable[int]], Iterable[int]]


def write_generated_input(
    folder: Path,
    *,
    num_images: int,
    num_objects: int,
    detections_per_image: int,
    seed: int = 0,
    progress: Progress = iter,
) -> tuple[Path, Path]:
    """Write a ground-truth file and a results file.

    Args:
        folder: Where to write ``gt.json`` and ``dt.json``.
        num_images: At least 1.
        num_objects: In all images together.
        detections_per_image: In every image.
        seed: Of the random generator.
        progress: Wraps the loop over images.

    Returns:
        The two paths.
    """
    rng = np.random.default_rng(seed)
    boxes, flags = _objects(rng, num_objects)
    images = _image_of_each(rng, num_images, num_objects)
    gt_path, dt_path = folder / "gt.json", folder / "dt.json"
    write_bytes(gt_path, msgspec.json.encode(_ground_truth(images, boxes, flags, num_images)))
    starts = np.searchsorted(images, np.arange(num_images + 1))
    # Image by image, because the whole list would need gigabytes.
    with replacing(dt_path) as temporary, temporary.open("wb") as file:
        file.write(b"[")
        for image in progress(range(num_images)):
            own = boxes[starts[image] : starts[image + 1]]
            entries = _detections(rng, image + 1, own, detections_per_image)
            file.write(b"," if image and entries else b"")
            file.write(msgspec.json.encode(entries)[1:-1])
        file.write(b"]")
    return gt_path, dt_path


def _objects(rng: np.random.Generator, count: int) -> tuple[FloatArray, IntArray]:
    """Boxes XYWH (N, 4) and flags (N,): 1 ignored region, 2 uncertain, 0 neither."""
    flags = rng.choice(3, count, p=[1 - _IGNORED - _UNCERTAIN, _IGNORED, _UNCERTAIN])
    sizes = np.clip(_MEDIAN_SIZE * np.exp(0.7 * rng.standard_normal(count)), 2, 300)
    sizes[flags == 1] *= 10
    stretch = np.exp(0.4 * rng.standard_normal(count))
    sides = np.stack([sizes / stretch, sizes * stretch], axis=1)
    corners = rng.random((count, 2)) * np.maximum([_WIDTH, _HEIGHT] - sides, 1)
    return _single(np.concatenate([corners, sides], axis=1)), flags


def _image_of_each(rng: np.random.Generator, num_images: int, num_objects: int) -> IntArray:
    """Index of the image of each object, ascending, (N,)."""
    weights = np.exp(1.2 * rng.standard_normal(num_images))
    chosen = rng.choice(num_images, num_objects, p=weights / weights.sum())
    return np.sort(chosen).astype(np.int64)


def _ground_truth(
    images: IntArray, boxes: FloatArray, flags: IntArray, num_images: int
) -> dict[str, list[dict[str, Any]]]:
    """The content of the ground-truth file."""
    return {
        "images": [
            {"id": k, "file_name": f"{k:06}.jpg", "width": _WIDTH, "height": _HEIGHT}
            for k in range(1, num_images + 1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image + 1,
                "category_id": 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "ignore": flag == 1,
                "uncertain": flag == 2,
            }
            for number, (image, box, flag) in enumerate(
                zip(images.tolist(), boxes.tolist(), flags.tolist(), strict=True), start=1
            )
        ],
        "categories": [{"id": 1, "name": "person"}],
    }


def _detections(
    rng: np.random.Generator, image_id: int, objects: FloatArray, count: int
) -> list[dict[str, Any]]:
    """The detections of one image."""
    boxes, _ = _objects(rng, count)
    scores = rng.random(count) ** 3
    if len(objects):
        near = rng.random(count) < _NEAR_OBJECTS
        original = objects[rng.integers(len(objects), size=count)]
        sides = original[:, 2:] * np.exp(0.15 * rng.standard_normal((count, 2)))
        shift = 0.2 * original[:, 2:] * rng.standard_normal((count, 2))
        moved = np.concatenate([original[:, :2] + shift, sides], axis=1)
        boxes = np.where(near[:, np.newaxis], moved, boxes)
        scores = np.where(near, np.sqrt(scores), scores)
    return [
        {"image_id": image_id, "category_id": 1, "bbox": box, "score": score}
        for box, score in zip(_single(boxes).tolist(), _single(scores).tolist(), strict=True)
    ]


def _single(values: npt.NDArray[np.float64]) -> FloatArray:
    """Rounded to single precision."""
    return values.astype(np.float32).astype(np.float64)
