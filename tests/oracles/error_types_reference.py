"""Types of errors, their fixes and the oracle ladder by plain loops, from the definitions alone.

The judge of scale_match.core.error_types, error_fixes and oracle_ladder: one detection and one
ground truth at a time, on the values as they stand in the JSON files. Slow on purpose.
"""

from itertools import permutations

from oracles import average_precision_reference as reference

TYPES = ("classification", "localisation", "both", "duplicate", "background", "missed")


def evaluate(ground_truth, detections, *, label, max_dets):
    """What became of every box at IoU 0.5.

    Returns: detections (by place in the file): dict of outcome ("tp", "fp", "ignored"; absent
    where it took no part), found_by: annotation place -> detection place, counted: places.
    """
    bounds = reference.SIZE_RANGES[label]
    truths, declared = ground_truth["annotations"], declared_ids(ground_truth)
    counted = {g for g, truth in enumerate(truths) if not reference.is_ignored(truth, bounds)}
    outcomes, found_by = {}, {}
    for image in ground_truth["images"]:
        for category in declared:
            key = image["id"], category
            own = [g for g, truth in enumerate(truths) if place_of(truth) == key]
            found = [d for d, entry in enumerate(detections) if place_of(entry) == key]
            found = sorted(found, key=lambda d: -detections[d]["score"])[:max_dets]
            matrix = [[reference.iou(detections[d], truths[g]) for g in own] for d in found]
            group = [truths[g] for g in own]
            skipped = [g not in counted for g in own]
            codes = reference.match(
                group, [detections[d] for d in found], matrix, skipped, bounds, 0.5, False
            )
            taken = [False] * len(own)
            for d, row, code in zip(found, matrix, codes, strict=True):
                outcomes[d] = ("fp", "tp", "ignored")[code]
                if outcomes[d] == "tp":
                    best = reference.best_overlap(group, row, taken, skipped, 0.5, ignored=False)
                    taken[best] = True
                    found_by[own[best]] = d
    return outcomes, found_by, counted


def label_boxes(ground_truth, detections, *, label, max_dets):
    """Type of each false positive with its ground truth, and of each ground truth that counts.

    Returns: detection place -> (type, annotation place or None), and annotation place ->
    ("found", detection place), ("explained", the best one) or ("missed", None).
    """
    outcomes, found_by, counted = evaluate(ground_truth, detections, label=label, max_dets=max_dets)
    truths = ground_truth["annotations"]
    types, explained = {}, {}
    for d in sorted(outcomes, key=lambda d: rank_of(detections, d)):
        if outcomes[d] != "fp":
            continue
        detection = detections[d]
        near = [g for g in counted if truths[g]["image_id"] == detection["image_id"]]
        types[d] = type_of(
            best_of(detection, truths, near, same=True),
            best_of(detection, truths, near, same=False),
            found_by,
        )
        if types[d][0] in TYPES[:2]:
            explained.setdefault(types[d][1], d)  # the best score comes first
    states = {}
    for g in counted:
        if g in found_by:
            states[g] = "found", found_by[g]
        elif g in explained:
            states[g] = "explained", explained[g]
        else:
            states[g] = "missed", None
    return types, states


def type_of(own, other, found_by):
    """Type and ground truth of a false positive, from the best (IoU, place) of both kinds."""
    if 0.1 <= own[0] < 0.5:
        return "localisation", own[1]
    if other[0] >= 0.5:
        return "classification", other[1]
    if own[0] >= 0.5:
        assert own[1] in found_by
        return "duplicate", own[1]
    if other[0] < 0.1:
        return "background", None
    return "both", other[1]


def average_precision_if_fixed(ground_truth, detections, fixed, *, label, max_dets):
    """AP50 if the given types of errors did not happen."""
    types, states = label_boxes(ground_truth, detections, label=label, max_dets=max_dets)
    truths = ground_truth["annotations"]
    repaired = {}
    for d in sorted(types, key=lambda d: rank_of(detections, d)):
        kind, g = types[d]
        if kind in TYPES[:2] and kind in fixed and states[g][0] != "found":
            repaired.setdefault(g, d)
    curves = []
    for category in declared_ids(ground_truth):
        own = [g for g in states if truths[g]["category_id"] == category]
        if not own:
            continue
        false = [d for d, (kind, _) in types.items() if kind not in fixed]
        false = [d for d in false if detections[d]["category_id"] == category]
        events = [(d, reference.FALSE_POSITIVE) for d in false]
        events += [(states[g][1], reference.TRUE_POSITIVE) for g in own if states[g][0] == "found"]
        events += [(repaired[g], reference.TRUE_POSITIVE) for g in own if g in repaired]
        missed = [g for g in own if states[g][0] == "missed"]
        positives = len(own) - (len(missed) if "missed" in fixed else 0)
        curves.append(curve_of(detections, events, positives))
    return mean_of(curves)


def shares(value_of):
    """Mean gain of each type over all orders of fixing them; value_of(set of types) is AP."""
    values = {}
    gains = dict.fromkeys(TYPES, 0.0)
    orders = list(permutations(TYPES))
    for order in orders:
        for k, kind in enumerate(order):
            before, after = frozenset(order[:k]), frozenset(order[: k + 1])
            for choice in (before, after):
                if choice not in values:
                    values[choice] = value_of(choice)
            gains[kind] += values[after] - values[before]
    return {kind: gain / len(orders) for kind, gain in gains.items()}


def ladder_value(ground_truth, detections, removed, perfect, *, label, max_dets):
    """AP50 with the named rungs perfect; removed: results that merging took away."""
    outcomes, _, counted = evaluate(ground_truth, detections, label=label, max_dets=max_dets)
    truths = ground_truth["annotations"]
    pool = detections + removed
    together, _, _ = evaluate(ground_truth, pool, label=label, max_dets=len(pool))
    order = sorted(together, key=lambda d: rank_of(pool, d))
    taken, could = {}, set()
    for place, d in enumerate(order):
        if d >= len(detections) and "merging" not in perfect:
            continue
        better = [e for e in order[:place] if e < len(detections)]
        better = [e for e in better if place_of(pool[e]) == place_of(pool[d])]
        if outcomes.get(d) == "ignored" or (len(better) >= max_dets and "limit" not in perfect):
            continue
        ignored = outcomes.get(d, together[d]) == "ignored"
        choices = choices_of(pool[d], truths, counted, () if ignored else perfect)
        if choices:
            could.add(d)
        free = [g for g in choices if g not in taken]
        if free:
            taken[free[0]] = d
    gone = could if "merging" in perfect else set(taken.values())
    false = [d for d, outcome in outcomes.items() if outcome == "fp" and d not in gone]
    curves = []
    for category in declared_ids(ground_truth):
        own = [g for g in counted if truths[g]["category_id"] == category]
        if not own:
            continue
        own_false = [d for d in false if detections[d]["category_id"] == category]
        events = [(d, reference.FALSE_POSITIVE) for d in own_false]
        events += [(taken[g], reference.TRUE_POSITIVE) for g in own if g in taken]
        curves.append(curve_of(pool, events, len(own)))
    return mean_of(curves)


def choices_of(detection, truths, counted, perfect):
    """The ground truth that a detection may take, the best first."""
    choices = []
    for g in counted:
        if truths[g]["image_id"] != detection["image_id"]:
            continue
        iou = reference.iou(detection, truths[g])
        same = truths[g]["category_id"] == detection["category_id"]
        least = 0.1 if "localisation" in perfect else 0.5
        if iou >= least and (same or "classification" in perfect):
            choices.append((not same, -iou, -truths[g]["category_id"], -g))
    return [-g for *_, g in sorted(choices)]


def curve_of(detections, events, positives):
    """Interpolated precision of (detection place, outcome); 1 where nothing is to be found."""
    if not positives:
        return [1.0] * 101
    events = sorted(events, key=lambda event: rank_of(detections, event[0]))
    return reference.curve([outcome for _, outcome in events], positives)[0]


def mean_of(curves):
    values = [value for points in curves for value in points]
    return sum(values) / len(values) if values else -1


def best_of(detection, truths, near, *, same):
    """Largest IoU and its ground truth; of equal ones the later category, then the later box."""
    ranked = [
        (reference.iou(detection, truths[g]), truths[g]["category_id"], g)
        for g in near
        if (truths[g]["category_id"] == detection["category_id"]) == same
    ]
    iou, _, g = max(ranked, default=(0.0, 0, None))
    return iou, g


def declared_ids(ground_truth):
    return sorted(category["id"] for category in ground_truth["categories"])


def place_of(entry):
    return entry["image_id"], entry["category_id"]


def rank_of(detections, d):
    """Order in the curves: score, then image id, then place in the file."""
    return -detections[d]["score"], detections[d]["image_id"], d
