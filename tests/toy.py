"""Tiny annotated images made in a temporary folder, for the tests of every layer."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

# One colour per category, cyclic; far from the grey ground.
_COLOURS = np.array([[220, 40, 40], [40, 200, 60], [50, 80, 230]], dtype=np.uint8)


def make_toy_dataset(
    folder: Path,
    *,
    num_images: int = 4,
    width: int = 128,
    height: int = 96,
    boxes_per_image: int = 5,
    seed: int = 0,
    categories: int = 1,
) -> tuple[Path, Path]:
    """Write ``annotations.json`` and JPEGs with coloured rectangles on a noisy grey ground.

    Boxes lie inside the image, have sides of 6 to 30 % of it, whole-pixel corners, and may overlap.
    Image, annotation and category ids count up from 1; no ignore, uncertain or crowd flag is set.

    Args:
        folder: Made where it is missing.
        num_images: Number of images, all of one size.
        width: Width of each image in pixels.
        height: Height of each image in pixels.
        boxes_per_image: Number of boxes on each image; may be 0.
        seed: Equal seeds give equal files.
        categories: Number of categories; box k of an image has category 1 + k % categories.

    Returns:
        The annotation file and the image folder.
    """
    generator = np.random.default_rng(seed)
    image_dir = folder / "images"
    image_dir.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        pixels = generator.integers(90, 131, (height, width, 3), dtype=np.uint8)
        for index, box in enumerate(_boxes(generator, boxes_per_image, width, height)):
            x, y, w, h = box
            pixels[y : y + h, x : x + w] = _COLOURS[index % categories % len(_COLOURS)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1 + index % categories,
                    "bbox": [float(value) for value in box],
                    "area": float(w * h),
                    "iscrowd": 0,
                    "ignore": False,
                    "uncertain": False,
                }
            )
        file_name = f"{image_id:04d}.jpg"
        Image.fromarray(pixels).save(image_dir / file_name, quality=95)
        images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
    names = [{"id": index, "name": f"class{index}"} for index in range(1, categories + 1)]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": names}))
    return path, image_dir


def _boxes(generator: np.random.Generator, count: int, width: int, height: int) -> list[list[int]]:
    """Whole-pixel XYWH boxes inside the image, (count, 4)."""
    image_size = np.array([width, height])
    sizes = np.maximum((generator.uniform(0.06, 0.30, (count, 2)) * image_size).astype(int), 1)
    corners = (generator.random((count, 2)) * (image_size - sizes)).astype(int)
    return np.concatenate([corners, sizes], axis=1).tolist()
