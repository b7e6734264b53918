"""Small data sets, sound and broken, for the tests of the data doctor."""

import json

import numpy as np
from PIL import Image

from scale_match.core.data_summary import Objects
from scale_match.core.records import AnnotationTable, CategoryRecord, ImageRecord


def table_of(rows, **columns):
    """A table of rows (id, image id, category id, x, y, w, h); other columns by name."""
    values = np.array(rows, np.float64).reshape(-1, 7)
    boxes = values[:, 3:]
    none = np.zeros(len(values), np.bool_)
    given = {
        "areas": boxes[:, 2] * boxes[:, 3],
        "sizes": np.sqrt(np.abs(boxes[:, 2] * boxes[:, 3])),
        "iscrowd": none,
        "ignore": none,
        "uncertain": none,
        **{name: np.array(column) for name, column in columns.items()},
    }
    ids = [values[:, k].astype(np.int64) for k in range(3)]
    return AnnotationTable(*ids, boxes, **given)


def images_of(*sides):
    """Images 1, 2, ... of these (width, height)."""
    return tuple(ImageRecord(k, f"{k}.jpg", w, h) for k, (w, h) in enumerate(sides, start=1))


def categories_of(*names):
    """Categories 1, 2, ... of these names."""
    return tuple(CategoryRecord(k, name) for k, name in enumerate(names, start=1))


def objects_of(boxes, sides=(640, 480), *, rows=None, categories=None):
    """Objects of category 1 on image 0 of (width, height), unless said otherwise."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    rows = np.zeros(len(boxes), np.int64) if rows is None else np.array(rows)
    categories = np.ones(len(boxes), np.int64) if categories is None else np.array(categories)
    return Objects(boxes, rows, categories, np.array(sides, np.float64).reshape(-1, 2))


def random_objects(seed, count, *, sides=(640, 480), low=4.0, high=60.0):
    """Objects inside one image, sizes even on a log axis."""
    generator = np.random.default_rng(seed)
    wh = np.exp(generator.uniform(np.log(low), np.log(high), (count, 2)))
    xy = generator.uniform(0, 1, (count, 2)) * (np.array(sides) - wh)
    return objects_of(np.concatenate([xy, wh], axis=1), sides)


def image(image_id, name, width=100, height=80, **fields):
    return {"id": image_id, "file_name": name, "width": width, "height": height, **fields}


def box(box_id, image_id, bbox, category=1, **fields):
    return {
        "id": box_id,
        "image_id": image_id,
        "category_id": category,
        "bbox": bbox,
        "iscrowd": 0,
        **fields,
    }


def write_data(folder, images, boxes, categories=None):
    """An annotation file ``gt.json`` with these entries."""
    categories = [{"id": 1, "name": "person"}] if categories is None else categories
    path = folder / "gt.json"
    content = {"images": images, "annotations": boxes, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def write_image(path, width=100, height=80):
    """A noisy image of that size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
