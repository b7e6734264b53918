"""The files of the Scale Match oracle as the tests want them."""

import functools
import json

import numpy as np

from scale_match.core.records import AnnotationTable
from scale_match.core.scale_limits import ScaleLimits


@functools.cache
def read_json(path):
    return json.loads(path.read_text())


def annotation_table(annotations):
    """COCO annotations as a table; a flag that is missing is false."""
    count = len(annotations)

    def flags(key):
        return np.array([bool(entry.get(key, False)) for entry in annotations], dtype=np.bool_)

    boxes = np.array([entry["bbox"] for entry in annotations], dtype=np.float64).reshape(count, 4)
    return AnnotationTable(
        ids=np.arange(count),
        image_ids=np.array([entry.get("image_id", 1) for entry in annotations], dtype=np.int64),
        category_ids=np.ones(count, dtype=np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        iscrowd=flags("iscrowd"),
        ignore=flags("ignore"),
        uncertain=flags("uncertain"),
    )


@functools.cache
def read_images(path):
    """(image entry, (N, 4) XYWH boxes without crowd and ignored ones) of each image of a file."""
    content = read_json(path)
    boxes = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        if not entry.get("iscrowd") and not entry.get("ignore"):
            boxes[entry["image_id"]].append(entry["bbox"])
    return [(image, np.array(boxes[image["id"]]).reshape(-1, 4)) for image in content["images"]]


def forcing(draws, tries):
    """A target and uniform numbers that make sampled Scale Match draw exactly these sizes.

    Each size is a bin without width; a bin between two sizes is empty. After the last size it is
    drawn again.

    Returns:
        Counts, edges, and (tries, 2) uniform numbers.
    """
    draws = [*draws, *[draws[-1]] * (tries - len(draws))]
    sizes = sorted(set(draws))
    counts = [1, *[0, 1] * (len(sizes) - 1)]
    edges = np.repeat(sizes, 2)
    chosen = [(sizes.index(size) + 0.5) / len(sizes) for size in draws]
    return counts, edges, np.array([(r, 0.5) for r in chosen])


def limits_of(entry):
    """The limits that an entry names, in our words; what it does not name is as published."""
    return ScaleLimits(
        scale_range=entry.get("scale_range", (0.1, 1.0)),
        default_scale=entry.get("default_scale", 0.25),
        out_of_range="clip" if entry.get("out_scale_deal", "clip") == "clip" else "default",
        max_tries=entry.get("max_sample_try", 5),
    )


def inclusive_to_xywh(corners):
    """Boxes with inclusive corners, as in the edge cases, (N, 4) XYXY -> (N, 4) XYWH."""
    boxes = np.array(corners, dtype=np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1.0], axis=1)


def kolmogorov_smirnov(sample, other):
    """Largest distance between the distributions of two samples, at all their jumps."""
    points = np.concatenate([sample, other])
    first = np.searchsorted(np.sort(sample), points, side="right") / len(sample)
    second = np.searchsorted(np.sort(other), points, side="right") / len(other)
    return float(np.abs(first - second).max())


def distance_to_cdf(sample, cdf):
    """Kolmogorov-Smirnov distance between a sample and a continuous distribution function."""
    ordered = np.sort(sample)
    values, count = cdf(ordered), len(ordered)
    above = np.arange(1, count + 1) / count - values
    below = values - np.arange(count) / count
    return float(max(above.max(), below.max()))
