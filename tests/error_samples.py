"""Input for tests of error types and the oracle ladder."""

import numpy as np

from evaluation_samples import as_annotations, as_detections, crowded


def scene(truths, results):
    """Contents of a ground-truth file and a results file of one image, categories 1 and 2.

    Args: truths: (category, box, further fields) each; results: (category, box, score) each.
    """
    ground_truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 400, "height": 400}],
        "annotations": [
            {
                "id": k,
                "image_id": 1,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            | (more[0] if more else {})
            for k, (category, box, *more) in enumerate(truths, start=1)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "boat"}],
    }
    found = [
        {"image_id": 1, "category_id": category, "bbox": box, "score": score}
        for category, box, score in results
    ]
    return ground_truth, found


def tables(ground_truth, results):
    """The core values of the two."""
    return as_annotations(ground_truth), as_detections(results)


def crowded_and_removed(seed, share=0.4, **sizes):
    """Random ground truth and detections, and other detections that merging is said to remove."""
    ground_truth, results = crowded(seed, **sizes)
    away = np.random.default_rng(seed).random(len(results)) < share
    kept = [entry for entry, gone in zip(results, away, strict=True) if not gone]
    removed = [entry for entry, gone in zip(results, away, strict=True) if gone]
    return ground_truth, kept, removed
