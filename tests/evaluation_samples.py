"""Ground truth and detections for tests of the evaluation, in the form of the JSON files."""

import numpy as np

from scale_match.core.records import (
    Annotations,
    AnnotationTable,
    CategoryRecord,
    DetectionTable,
    ImageRecord,
)

_SIDES = (0, 1, 3, 4, 6, 8, 9, 12, 15, 20, 24, 32, 40)  # pixels; many equal IoUs, exact bounds


def crowded(seed, *, images=4, truths=40, detections=160, span=70, odd_areas=True, ignored=0.1):
    """Random boxes on a grid, close together, with equal scores, crowds and ignored regions.

    Args: odd_areas: let area fields differ from w*h; ignored: share of boxes with `ignore`.

    Returns: the content of a ground-truth file and of a results file.
    """
    rng = np.random.default_rng(seed)
    boxes = _boxes(rng, truths, span)
    factors = rng.choice([0.05, 0.25, 0.5, 1.0, 1.0, 1.5], truths) if odd_areas else np.ones(truths)
    ground_truth = {
        "images": [
            {"id": int(i), "file_name": f"{i}.jpg", "width": span + 40, "height": span + 40}
            for i in 5 + 3 * rng.permutation(images)
        ],
        "annotations": [
            {
                "id": k,
                "image_id": int(5 + 3 * rng.integers(images)),
                "category_id": int(rng.choice([2, 2, 7])),
                "bbox": box,
                "area": float(factor * box[2] * box[3]),
                "iscrowd": int(rng.random() < 0.08),
                "ignore": bool(rng.random() < ignored),
                "uncertain": bool(rng.random() < 0.05),
            }
            for k, (box, factor) in enumerate(zip(boxes, factors, strict=True))
        ],
        "categories": [{"id": c, "name": f"kind {c}"} for c in (7, 2, 4)],
    }
    results = []
    for box in _boxes(rng, detections, span):
        near = ground_truth["annotations"][rng.integers(truths)]
        copied = rng.random() < 0.7
        shift = rng.integers(-3, 4, 4)
        shift[2:] = np.maximum(shift[2:], -np.array(near["bbox"][2:]))
        moved = [int(v) for v in near["bbox"] + shift]
        results.append(
            {
                "image_id": near["image_id"],
                "category_id": int(rng.choice([near["category_id"], 2, 4, 9])),
                "bbox": moved if copied else box,
                "score": float(rng.integers(1, 20) / 20),
            }
        )
    return ground_truth, results


def _boxes(rng, count, span):
    corners = rng.integers(0, span, (count, 2))
    return np.concatenate([corners, rng.choice(_SIDES, (count, 2))], axis=1).tolist()


def as_annotations(ground_truth):
    """The core value of a ground-truth file's content."""
    entries = ground_truth["annotations"]

    def column(name, dtype, default=0):
        return np.array([entry.get(name, default) for entry in entries], dtype)

    return Annotations(
        source="gt.json",
        images=tuple(
            ImageRecord(image["id"], image["file_name"], image["width"], image["height"])
            for image in ground_truth["images"]
        ),
        categories=tuple(CategoryRecord(c["id"], c["name"]) for c in ground_truth["categories"]),
        table=AnnotationTable(
            ids=column("id", np.int64),
            image_ids=column("image_id", np.int64),
            category_ids=column("category_id", np.int64),
            boxes=column("bbox", np.float64).reshape(-1, 4),
            areas=column("area", np.float64),
            iscrowd=column("iscrowd", np.bool_),
            ignore=column("ignore", np.bool_),
            uncertain=column("uncertain", np.bool_),
        ),
    )


def as_detections(results):
    """The core value of a results file's content."""

    def column(name, dtype):
        return np.array([entry[name] for entry in results], dtype)

    return DetectionTable(
        image_ids=column("image_id", np.int64),
        category_ids=column("category_id", np.int64),
        boxes=column("bbox", np.float64).reshape(-1, 4),
        scores=column("score", np.float64),
    )


def one_image(truths, results, *, side=400):
    """Annotations and detections of one image and category, from short lists.

    Args: truths: (box, fields that differ from an ordinary object's) each; results: (box, score).
    """
    ground_truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": side, "height": side}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3]} | more
            for k, (box, more) in enumerate(truths, start=1)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    found = [
        {"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in results
    ]
    return as_annotations(ground_truth), as_detections(found)
