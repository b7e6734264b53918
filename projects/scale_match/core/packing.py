"""Rectangles side by side on a canvas."""

from collections.abc import Sequence

import numpy as np

from scale_match.core.records import IntArray

__all__ = ["pack"]


def pack(sizes: Sequence[tuple[int, int]], canvas: tuple[int, int]) -> IntArray:
    """Places of rectangles in rows: each goes, in order, into the first row that has room for it.

    A row is as high as its first rectangle; a new one is opened below the last while there is room.

    Args:
        sizes: Height and width of each rectangle, in pixels; high ones first wastes least.
        canvas: Height and width in pixels.

    Returns:
        x and y of the top left corners, (N, 2); -1, -1 for a rectangle that found no room.

    >>> pack([(4, 6), (3, 6), (2, 4)], (8, 10)).tolist()
    [[0, 0], [0, 4], [6, 0]]
    """
    places = np.full((len(sizes), 2), -1, dtype=np.int64)
    rows: list[tuple[int, int, int]] = []  # Top, height, and where the free part starts.
    for index, (height, width) in enumerate(sizes):
        for number, (top, row_height, start) in enumerate(rows):
            if height <= row_height and start + width <= canvas[1]:
                places[index] = start, top
                rows[number] = top, row_height, start + width
                break
        else:
            top = sum(rows[-1][:2]) if rows else 0
            if top + height <= canvas[0] and width <= canvas[1]:
                places[index] = 0, top
                rows.append((top, height, width))
    return places
