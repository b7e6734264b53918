"""Scale Match once more, slow and plain: one box, one bin, one draw at a time.

Written from the rules of the oracle README "Scale-match" (variant v1 with the advised fixes), with
nothing but the standard library and no line in common with the package.
"""

import math


def histogram(sizes, bins, log=False, except_rate=None):
    """Counts and edges as lists (rule 1.2)."""
    values = sorted(math.log(size) if log else size for size in sizes if size > 0)
    rate = (1 / bins) * 2 if except_rate is None else except_rate
    if rate == 0:
        counts, edges = _equal_bins(values, bins)
    else:
        low, high = int(len(values) * rate / 2), int(len(values) * (1 - rate / 2))
        counts, edges = _equal_bins(values[low:high], bins - 2)
        counts = [low, *counts, len(values) - high]
        edges = [values[0], *edges, values[-1]]
    return counts, [math.exp(edge) if log else edge for edge in edges]


def _equal_bins(values, bins):
    low, high = values[0], values[-1]
    edges = [low + (high - low) / bins * k for k in range(bins)] + [high]
    counts = [0] * bins
    for value in values:
        inside = [k for k in range(bins) if edges[k] <= value < edges[k + 1]]
        counts[inside[0] if inside else bins - 1] += 1
    return counts, edges


def draw(counts, edges, r, u):
    """One size from two uniform numbers (rule 1.3)."""
    total, chosen = 0.0, len(counts) - 1
    for k, count in enumerate(counts):
        total += count / sum(counts)
        if r <= total + 1e-6:
            chosen = k
            break
    return edges[chosen] + u * (edges[chosen + 1] - edges[chosen])


def cdf(counts, edges, x):
    """Share of the sizes up to x: every bin gives the part of it that lies below x."""
    below = 0.0
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if x >= high:
            below += count
        elif x > low:
            below += count * (x - low) / (high - low)
    return below / sum(counts)


def standardised(sizes, mean, deviation):
    """Sizes moved to a mean and a deviation before they are counted (rule 1.2, step 5)."""
    centre = sum(sizes) / len(sizes)
    spread = math.sqrt(sum((size - centre) ** 2 for size in sizes) / len(sizes))
    return [max((size - centre) / spread * deviation + mean, 1.0) for size in sizes]


def source_edges(sizes, cumulative):
    """Edges of the source for MSM (rule 1.6)."""
    ordered = sorted(sizes)
    edges = [ordered[0]]
    edges += [ordered[min(int(share * len(ordered)), len(ordered) - 1)] for share in cumulative]
    edges[-1] = max(edges[-1], ordered[-1])
    return edges


def monotone_size(size, source, target):
    """Target size of a source size (rule 1.6; quirks 2, 3, 4 fixed)."""
    if size > source[-1]:
        return target[-1]
    if size < source[0]:
        return target[0]
    k = next(k for k in range(len(source) - 1) if size <= source[k + 1] + 1e-6)
    if source[k + 1] == source[k]:
        return target[k]
    part = min((size - source[k]) / (source[k + 1] - source[k]), 1.0)
    return target[k] + part * (target[k + 1] - target[k])


def sampled_scale(size, draws, scale_range, default_scale, out_of_range):
    """Scale of SM from the sizes that it draws, one after the other (rule 1.5)."""
    low, high = scale_range
    for drawn in draws:
        scale = drawn / size
        if low < scale < high:
            return scale
    if out_of_range == "default":
        return default_scale
    return high if scale >= high else low


def decide(boxes, width, height, scale_of_size, default_scale):
    """New size, kept boxes, fall-back and source size of an image (rules 1.4 and 1.7, v1)."""
    corners, logs = [], []
    for x, y, w, h in boxes:
        x1, x2 = (min(max(value, 0), width - 1) for value in (x, x + w - 1))
        y1, y2 = (min(max(value, 0), height - 1) for value in (y, y + h - 1))
        counts = x2 > x1 and y2 > y1
        corners.append((x1, y1, x2, y2) if counts else None)
        if counts:
            logs.append(math.log(math.sqrt((x2 - x1 + 1) * (y2 - y1 + 1))))
    counted = [corner is not None for corner in corners]
    if not logs:
        return _new_size(default_scale, width, height), counted, False, None
    before = math.exp(sum(logs) / len(logs))
    size = _new_size(scale_of_size(before), width, height)
    keep = [
        corner is not None
        and (corner[2] - corner[0]) * size[1] / width >= 1
        and (corner[3] - corner[1]) * size[0] / height >= 1
        for corner in corners
    ]
    if any(keep):
        return size, keep, False, before
    return _new_size(default_scale, width, height), counted, True, before


def _new_size(scale, width, height):
    return max(round(scale * height), 1), max(round(scale * width), 1)
