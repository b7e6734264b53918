"""The files of the merging oracle as core values, without the readers of the package."""

import json

import numpy as np

from scale_match.core.records import Annotations, DetectionTable, ImageRecord


def read_detections(path):
    rows = json.loads(path.read_text())
    return DetectionTable(
        image_ids=np.array([row["image_id"] for row in rows], dtype=np.int64),
        category_ids=np.array([row["category_id"] for row in rows], dtype=np.int64),
        boxes=np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4),
        scores=np.array([row["score"] for row in rows], dtype=np.float64),
    )


def read_tile_annotations(path):
    """Tiles and old images; no ground truth, which merging does not look at."""
    content = json.loads(path.read_text())
    return Annotations(
        source=path.name,
        images=tuple(_image(entry) for entry in content["images"]),
        categories=(),
        table=None,
        old_images=tuple(_image(entry) for entry in content["old_images"]),
    )


def _image(entry):
    corner = entry.get("corner")
    return ImageRecord(
        entry["id"],
        entry["file_name"],
        entry["width"],
        entry["height"],
        None if corner is None else tuple(corner),
    )
