"""A folder in the form of the downloaded TinyPerson, a few small images in it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 64
SEA = {"id": 1, "name": "sea_person", "supercategory": "person"}
EARTH = {"id": 2, "name": "earth_person", "supercategory": "person"}


def make_tiny_set(folder: Path, *, num_train: int = 3, num_test: int = 2, dense: int = 0) -> Path:
    """Write ``tiny_set`` with raw images and annotations, nothing derived.

    Each image has a person of each category, an ignore region [8, 8, 20, 12] and an uncertain
    one [50, 30, 10, 10]; the first ``dense`` training images have 201 persons more.

    Returns:
        The folder ``tiny_set``.
    """
    root = folder / "tiny_set"
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train", num_train), ("test", num_test)):
        (root / split / "labeled_images").mkdir(parents=True)
        images, boxes = [], []
        for number in range(count):
            name = f"labeled_images/{split}_{number}.jpg"
            pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / name, quality=95)
            images.append({"file_name": name, "height": HEIGHT, "width": WIDTH, "id": number})
            more = 201 if split == "train" and number < dense else 0
            boxes += _boxes(number, len(boxes), more)
        content = {
            "type": "instance", "annotations": boxes, "images": images, "categories": [SEA, EARTH]
        }  # fmt: skip
        (root / f"annotations/tiny_set_{split}.json").write_text(json.dumps(content))
    return root


def _boxes(image: int, first: int, more: int) -> list[dict]:
    kinds = [
        (1, [30.0, 40.0, 4.0, 6.0], {}),
        (2, [70.5, 20.25, 5.0, 7.0], {}),
        (1, [8.0, 8.0, 20.0, 12.0], {"ignore": True}),
        (2, [50.0, 30.0, 10.0, 10.0], {"uncertain": True}),
        *[(1, [float(number % 90), 2.0, 3.0, 3.0], {}) for number in range(more)],
    ]
    flags = {"ignore": False, "uncertain": False, "logo": False, "in_dense_image": more > 0}
    return [
        {
            "id": first + index,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            **flags,
            **own,
        }
        for index, (category, box, own) in enumerate(kinds)
    ]
