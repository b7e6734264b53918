"""AP and AR by plain loops, written from the evaluation oracle's README and nothing else.

The judge of scale_match.core.average_precision: one detection, one ground truth, one threshold at
a time, on the values as they stand in the JSON files. Slow on purpose.
"""

import bisect
from itertools import accumulate

SIZE_RANGES = {
    "all": (1, 1e10),
    "tiny": (1, 400),
    "tiny1": (1, 64),
    "tiny2": (64, 144),
    "tiny3": (144, 400),
    "small": (400, 1024),
    "reasonable": (1024, 1e10),
}
IOU_THRESHOLDS = (0.25, 0.5, 0.75)
# The doubles of numpy.linspace(0, 1, 101).
RECALL_LEVELS = [k * 0.01 for k in range(100)] + [1.0]

FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = range(3)


def evaluate(ground_truth, detections, *, max_dets, id_zero_bug=False):
    """Values by key ``<size range>_<100 IoU>``.

    Returns: dictionaries AP, AR, counts, and precision: key -> category id -> 101 values.
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
        key: (truths, sorted(found, key=lambda d: -d["score"])[:max_dets])
        for key, (truths, found) in groups.items()
    }
    overlaps = {
        key: [[iou(d, g) for g in truths] for d in found] for key, (truths, found) in groups.items()
    }
    result = {"AP": {}, "AR": {}, "counts": {}, "precision": {}}
    for threshold in IOU_THRESHOLDS:
        for label, bounds in SIZE_RANGES.items():
            key = f"{label}_{round(100 * threshold)}"
            curves, recalls, counts = {}, [], {"npos": 0, "tp": 0, "fp": 0, "ignored": 0}
            for category in categories:
                scored, positives = [], 0
                for image in images:
                    truths, found = groups[category, image]
                    matrix = overlaps[category, image]
                    skipped = [is_ignored(truth, bounds) for truth in truths]
                    outcomes = match(truths, found, matrix, skipped, bounds, threshold, id_zero_bug)
                    positives += skipped.count(False)
                    scored += [(d["score"], o) for d, o in zip(found, outcomes, strict=True)]
                scored.sort(key=lambda pair: -pair[0])
                outcomes = [outcome for _, outcome in scored]
                counts["npos"] += positives
                counts["tp"] += outcomes.count(TRUE_POSITIVE)
                counts["fp"] += outcomes.count(FALSE_POSITIVE)
                counts["ignored"] += outcomes.count(IGNORED)
                if positives:
                    curves[category], recall = curve(outcomes, positives)
                    recalls.append(recall)
            values = [value for points in curves.values() for value in points]
            result["AP"][key] = sum(values) / len(values) if values else -1
            result["AR"][key] = sum(recalls) / len(recalls) if recalls else -1
            result["counts"][key] = counts
            result["precision"][key] = curves
    return result


def iou(detection, truth):
    (x1, y1, w1, h1), (x2, y2, w2, h2) = detection["bbox"], truth["bbox"]
    width = min(x1 + w1, x2 + w2) - max(x1, x2)
    height = min(y1 + h1, y2 + h2) - max(y1, y2)
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    union = w1 * h1 + w2 * h2 - intersection
    return intersection / (w1 * h1 if truth["iscrowd"] else union)


def iod(overlap, detection, truth):
    area = detection["bbox"][2] * detection["bbox"][3]
    if area == 0:
        return float("nan")
    return overlap / (1 + overlap) * (1 + truth["area"] / area)


def is_ignored(truth, bounds):
    flagged = truth.get("ignore") or truth["iscrowd"] or truth.get("uncertain")
    return bool(flagged) or truth["area"] < bounds[0] or truth["area"] > bounds[1]


def match(truths, found, overlaps, skipped, bounds, threshold, id_zero_bug):
    """The outcome of each detection of one image and category."""
    threshold = min(threshold, 1 - 1e-10)
    taken = [False] * len(truths)
    outcomes = []
    for detection, row in zip(found, overlaps, strict=True):
        area = detection["bbox"][2] * detection["bbox"][3]
        unmatched = IGNORED if area < bounds[0] or area > bounds[1] else FALSE_POSITIVE
        best = best_overlap(truths, row, taken, skipped, threshold, ignored=False)
        if best is not None:
            taken[best] = True
            spoiled = id_zero_bug and truths[best]["id"] == 0
            outcomes.append(unmatched if spoiled else TRUE_POSITIVE)
            continue
        best = best_overlap(truths, row, taken, skipped, threshold, ignored=True)
        if best is None:
            best = best_share(detection, truths, row, skipped, threshold)
        if best is None:
            outcomes.append(unmatched)
        else:
            taken[best] = True
            outcomes.append(IGNORED)
    return outcomes


def best_overlap(truths, row, taken, skipped, threshold, *, ignored):
    """The ground truth of the largest IoU, the later of equal ones; crowds are never taken."""
    best, largest = None, threshold
    for g, truth in enumerate(truths):
        free = not taken[g] or truth["iscrowd"]
        if skipped[g] == ignored and free and row[g] >= largest:
            best, largest = g, row[g]
    return best


def best_share(detection, truths, row, skipped, threshold):
    """The ignored ground truth of the largest IoD, the first of equal ones, taken or not."""
    shares = [(iod(row[g], detection, truths[g]), g) for g in range(len(truths)) if skipped[g]]
    passing = [(share, -g) for share, g in shares if share >= threshold]
    return -max(passing)[1] if passing else None


def curve(outcomes, positives):
    """Precision at the recall levels, and the last recall."""
    if not outcomes:
        return [0.0] * len(RECALL_LEVELS), 0.0
    true = list(accumulate(int(outcome == TRUE_POSITIVE) for outcome in outcomes))
    false = list(accumulate(int(outcome == FALSE_POSITIVE) for outcome in outcomes))
    recall = [t / positives for t in true]
    precision = [t / (t + f + 2.0**-52) for t, f in zip(true, false, strict=True)]
    envelope = list(accumulate(reversed(precision), max))[::-1]
    points = [bisect.bisect_left(recall, level) for level in RECALL_LEVELS]
    return [envelope[p] if p < len(envelope) else 0.0 for p in points], recall[-1]
