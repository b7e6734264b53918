"""Tiles once more, slow and plain, from the oracle README "Tile (corner)"."""

import math


def axis(length, tile, overlap):
    """(start, end) of the tiles on one axis."""
    spans, start = [], 0
    while start < max(1, length - overlap):
        first = max(min(start, length - tile), 0)
        spans.append((first, min(first + tile, length)))
        start += tile - overlap
    return spans


def grid(width, height, tile, overlap):
    """Tiles (x1, y1, x2, y2) of an image, rows outer."""
    return [
        [x1, y1, x2, y2]
        for y1, y2 in axis(height, tile[1], overlap[1])
        for x1, x2 in axis(width, tile[0], overlap[0])
    ]


def boxes_in_tile(boxes, tile, keep):
    """(index, box in tile coordinates) of the XYWH boxes that belong to a tile."""
    found = []
    for index, (x, y, w, h) in enumerate(boxes):
        x1, x2 = max(x, tile[0]), min(x + w, tile[2])
        y1, y2 = max(y, tile[1]), min(y + h, tile[3])
        if w <= 0 or h <= 0 or x2 <= x1 or y2 <= y1:
            continue
        if math.sqrt((x2 - x1) * (y2 - y1)) / math.sqrt(w * h) >= keep:
            found.append((index, [x1 - tile[0], y1 - tile[1], x2 - x1, y2 - y1]))
    return found
