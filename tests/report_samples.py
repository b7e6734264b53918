"""Small evaluations and scores files, for the tests of the report."""

from pathlib import Path

import numpy as np

from scale_match.core.ap_result import ApResult
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.records import (
    Annotations,
    AnnotationTable,
    CategoryRecord,
    DetectionTable,
    ImageRecord,
)
from scale_match.scoring.files import write_scores
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.storage.annotations import read_annotations
from scale_match.storage.results import write_detections
from toy import make_toy_dataset


def truth_of(boxes, *, num_images=1, categories=(1,), ignored=()) -> Annotations:
    """Ground truth from rows of image id, category id, x, y, w, h; `ignored` are row numbers."""
    rows = np.asarray(boxes, dtype=np.float64).reshape(-1, 6)
    flags = np.isin(np.arange(len(rows)), list(ignored))
    none = np.zeros(len(rows), dtype=np.bool_)
    return Annotations(
        "truth",
        tuple(ImageRecord(i, f"{i}.jpg", 200, 100) for i in range(1, num_images + 1)),
        tuple(CategoryRecord(c, f"class{c}") for c in categories),
        AnnotationTable(
            ids=np.arange(1, len(rows) + 1),
            image_ids=rows[:, 0].astype(np.int64),
            category_ids=rows[:, 1].astype(np.int64),
            boxes=rows[:, 2:],
            areas=rows[:, 4] * rows[:, 5],
            iscrowd=none,
            ignore=flags,
            uncertain=none,
        ),
    )


def detections_of(boxes) -> DetectionTable:
    """Detections from rows of image id, category id, x, y, w, h, score."""
    rows = np.asarray(boxes, dtype=np.float64).reshape(-1, 7)
    return DetectionTable(
        image_ids=rows[:, 0].astype(np.int64),
        category_ids=rows[:, 1].astype(np.int64),
        boxes=rows[:, 2:6],
        scores=rows[:, 6],
    )


def evaluated(truth: Annotations, detections: DetectionTable, max_dets=(200,)) -> ApResult:
    return evaluate_average_precision(truth, detections, max_dets=max_dets)


def jittered(truth: Annotations, seed: int, *, false_per_image: int = 3) -> DetectionTable:
    """Most objects found, with moved boxes, and some boxes at random places."""
    generator = np.random.default_rng(seed)
    table = truth.table
    kept = generator.random(len(table)) < 0.8
    boxes = table.boxes[kept] + generator.normal(0, 1.0, (int(kept.sum()), 4))
    images = [image.image_id for image in truth.images for _ in range(false_per_image)]
    extra = np.column_stack(
        [generator.uniform(0, 80, (len(images), 2)), generator.uniform(5, 20, (len(images), 2))]
    )
    boxes = np.concatenate([boxes, extra])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1.0)
    classes = generator.choice([c.category_id for c in truth.categories], len(images))
    return DetectionTable(
        image_ids=np.concatenate([table.image_ids[kept], images]),
        category_ids=np.concatenate([table.category_ids[kept], classes]),
        boxes=boxes,
        scores=generator.random(len(boxes)).round(3),
    )


def make_run(
    folder: Path,
    *,
    name: str = "run",
    seed: int = 0,
    options: ScoringOptions | None = None,
    protocol: dict | None = None,
    blocks: dict | None = None,
    categories: int = 1,
) -> tuple[Path, Path]:
    """A scores file of jittered detections on toy images; the file and the image folder."""
    annotations, images = folder / "annotations.json", folder / "images"
    if not annotations.exists():
        make_toy_dataset(folder, categories=categories)
    detections = folder / f"{name}_detections.json"
    write_detections(detections, jittered(read_annotations(annotations), seed))
    path = folder / f"{name}.json"
    write_scores(path, score(load_inputs(annotations, detections), options, protocol), blocks)
    return path, images
