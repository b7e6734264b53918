"""Files to be scored, made in a temporary folder."""

import gzip
import json

from evaluation_samples import crowded


def write(path, value):
    """A JSON file, packed where its name ends in .gz."""
    data = json.dumps(value).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def crowded_files(folder, seed=0, **options):
    """Ground truth and detections of ``evaluation_samples.crowded``; some are undeclared."""
    ground_truth, results = crowded(seed, **options)
    return write(folder / "gt.json", ground_truth), write(folder / "dt.json", results)


def whole_image_file(width=100, height=80, **fields):
    """Content of a ground-truth file: two images, a box in the first."""
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": width, "height": height},
            {"id": 2, "file_name": "b.jpg", "width": width, "height": height},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "buoy"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [50, 20, 10, 10], "iscrowd": 0}
        ],
    } | fields


def found(image_id, box, score=0.5, category_id=1):
    """An entry of a results file."""
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
