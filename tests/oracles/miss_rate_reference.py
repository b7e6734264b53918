"""Miss rate by plain loops, written from the evaluation oracle's README and nothing else.

The judge of scale_match.core.miss_rate: one detection, one ground truth, one threshold at a time,
on the values as they stand in the JSON files. Slow on purpose.
"""

import math

SIZE_RANGES = {
    "tiny1": (2, 8),
    "tiny2": (8, 12),
    "tiny3": (12, 20),
    "tiny": (2, 20),
    "small": (20, 32),
    "All": (-1, 1e10),
}
IOU_THRESHOLDS = (0.25, 0.5, 0.75)
FPPI_POINTS = (
    *(0.010000000000000004, 0.01778279410038924, 0.031622776601683826, 0.05623413251903498),
    *(0.10000000000000016, 0.1778279410038926, 0.3162277660168386, 0.5623413251903504),
    1.0000000000000027,
)
MAX_DETECTIONS = 1000

FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = range(3)


def evaluate(ground_truth, detections, *, id_zero_bug=False):
    """Values by key ``<size range>_<100 IoU>``.

    Returns: dictionaries MR, counts, and points: key -> one list of nine per category.
    """
    images = sorted(image["id"] for image in ground_truth["images"])
    categories = sorted(category["id"] for category in ground_truth["categories"])
    groups = {(c, i): ([], []) for c in categories for i in images}
    for truth in ground_truth["annotations"]:
        groups[truth["category_id"], truth["image_id"]][0].append(truth)
    for detection in detections:
        if detection["category_id"] in categories:
            groups[detection["category_id"], detection["image_id"]][1].append(detection)
    groups = {
        key: (truths, sorted(found, key=lambda d: -d["score"])[:MAX_DETECTIONS])
        for key, (truths, found) in groups.items()
    }
    overlaps = {
        key: [[intersection(d, g) for g in truths] for d in found]
        for key, (truths, found) in groups.items()
    }
    result = {"MR": {}, "points": {}, "counts": {}}
    for label, bounds in SIZE_RANGES.items():
        for threshold in IOU_THRESHOLDS:
            points, counts = [], {"npos": 0, "tp": 0, "fp": 0, "ignored": 0}
            for category in categories:
                scored, positives = [], 0
                for image in images:
                    truths, found = groups[category, image]
                    skipped = [is_ignored(truth, bounds) for truth in truths]
                    rows = [
                        (detection, row)
                        for detection, row in zip(found, overlaps[category, image], strict=True)
                        if is_used(detection, bounds)
                    ]
                    outcomes = match(truths, rows, skipped, threshold, id_zero_bug)
                    positives += skipped.count(False)
                    scored += [(d["score"], o) for (d, _), o in zip(rows, outcomes, strict=True)]
                scored.sort(key=lambda pair: -pair[0])
                outcomes = [outcome for _, outcome in scored]
                counts["npos"] += positives
                counts["tp"] += outcomes.count(TRUE_POSITIVE)
                counts["fp"] += outcomes.count(FALSE_POSITIVE)
                counts["ignored"] += outcomes.count(IGNORED)
                points.append(misses(outcomes, positives, len(images)) if positives else [-1.0] * 9)
            key = f"{label}_{round(100 * threshold)}"
            measured = [miss for line in points if line[0] >= 0 for miss in line]
            result["MR"][key] = geometric_mean(measured) if measured else -1.0
            result["points"][key] = points
            result["counts"][key] = counts
    return result


def intersection(detection, truth):
    (x1, y1, w1, h1), (x2, y2, w2, h2) = detection["bbox"], truth["bbox"]
    width = min(x1 + w1, x2 + w2) - max(x1, x2)
    height = min(y1 + h1, y2 + h2) - max(y1, y2)
    return width * height if width > 0 and height > 0 else 0.0


def area(entry):
    return entry["bbox"][2] * entry["bbox"][3]


def is_used(detection, bounds):
    return bounds[0] / 1.25 <= math.sqrt(area(detection)) < bounds[1] * 1.25


def is_ignored(truth, bounds):
    size = truth.get("size", math.sqrt(truth["area"]))
    flagged = truth.get("ignore") or truth.get("uncertain")
    return bool(flagged) or visibility(truth) < 0.65 or size < bounds[0] or size > bounds[1]


def visibility(truth):
    if "vis_ratio" in truth:
        return truth["vis_ratio"]
    if "vis" in truth and area(truth) > 0:
        return truth["vis"][2] / truth["bbox"][2] * (truth["vis"][3] / truth["bbox"][3])
    return 1.0


def match(truths, rows, skipped, threshold, id_zero_bug):
    """The outcome of each detection of one image and category."""
    taken = [False] * len(truths)
    outcomes = []
    for detection, shared in rows:
        best, largest = None, threshold
        for g, truth in enumerate(truths):
            if skipped[g] or taken[g] or not shared[g]:
                continue
            iou = shared[g] / (area(detection) + area(truth) - shared[g])
            if iou >= largest:  # of equal ones the later
                best, largest = g, iou
        if best is not None:
            taken[best] = True
            spoiled = id_zero_bug and truths[best]["id"] == 0
            outcomes.append(FALSE_POSITIVE if spoiled else TRUE_POSITIVE)
        elif any(
            skipped[g] and is_forgiven(detection, truth, shared[g], threshold)
            for g, truth in enumerate(truths)
        ):
            outcomes.append(IGNORED)
        else:
            outcomes.append(FALSE_POSITIVE)
    return outcomes


def is_forgiven(detection, region, shared, threshold):
    if not shared:
        return False
    share = shared / area(detection)
    return share >= threshold or share / (1 + share) * (1 + region["area"] / area(detection)) > 0.5


def misses(outcomes, positives, num_images):
    """Miss rate at the nine points."""
    recall, fppi, true, false = [], [], 0, 0
    for outcome in outcomes:
        true += outcome == TRUE_POSITIVE
        false += outcome == FALSE_POSITIVE
        recall.append(true / positives)
        fppi.append(false / num_images)
    if not recall:
        return [1.0] * len(FPPI_POINTS)
    result = []
    for point in FPPI_POINTS:
        within = [k for k, value in enumerate(fppi) if value <= point]
        result.append(1 - recall[within[-1] if within else -1])
    return result


def geometric_mean(values):
    if 0 in values:
        return 0.0
    return math.exp(sum(map(math.log, values)) / len(values))
