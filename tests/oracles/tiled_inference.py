"""Detection on tiles, written from the definition: one tile, one box, one pair at a time.

Detections are tuples (x1, y1, x2, y2, score, class) in pixels.
"""


def offsets(length, side, overlap):
    """Where tiles start on an axis (oracle/tiles, `runtime`)."""
    starts, start = [], 0
    while start < max(1, length - overlap):
        starts.append(max(0, min(start, length - side)))
        start += side - overlap
    return starts


def tiles_of(width, height, tile, overlap):
    return [
        (x, y, min(x + tile[0], width), min(y + tile[1], height))
        for y in offsets(height, tile[1], overlap[1])
        for x in offsets(width, tile[0], overlap[0])
    ]


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (areas - w * h)


def suppress(detections, threshold, limit):
    """Greedy per class, best first, equal scores in the order given."""
    kept = []
    for each in sorted(detections, key=lambda d: -d[4]):  # sorted() is stable
        if all(iou(each, k) <= threshold for k in kept if k[5] == each[5]):
            kept.append(each)
    return kept[:limit]


def clip(detections, width, height):
    """Boxes inside the image; those of which nothing is left are gone."""
    clipped = [
        (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height), score, label)
        for x1, y1, x2, y2, score, label in detections
    ]
    return [d for d in clipped if d[2] > d[0] and d[3] > d[1]]


def detect(candidates, size, *, tile, overlap, threshold, limit, per_tile=None):
    """Detections of an image of size (width, height).

    Args:
        candidates: Function from a tile to the detector's candidates in tile coordinates, before
            suppression and clipping.
        per_tile: (threshold, limit) of the detector's own suppression on each tile; None for one
            suppression over all.
    """
    tiles = tiles_of(*size, tile, overlap)
    if len(tiles) == 1:
        found = suppress(candidates(tiles[0]), *(per_tile or (threshold, limit)))[:limit]
        return clip(found, *size)
    merged = []
    for x, y, right, bottom in tiles:
        found = candidates((x, y, right, bottom))
        if per_tile:
            found = suppress(found, *per_tile)
        for x1, y1, x2, y2, score, label in clip(found, right - x, bottom - y):
            merged.append((x1 + x, y1 + y, x2 + x, y2 + y, score, label))
    return suppress(merged, threshold, limit)
