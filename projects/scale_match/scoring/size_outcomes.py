"""How many objects of each size were found and missed. N objects, B bins."""

from dataclasses import dataclass

import numpy as np

from scale_match.core.ap_result import ApResult
from scale_match.core.errors import InputError
from scale_match.core.records import AnnotationTable, FloatArray, IntArray

__all__ = ["SizeOutcomes", "find_size_outcomes", "size_edges"]

_SMALLEST = 0.5  # pixels; a log axis has no place for an object of size 0
_MOST_BINS = 40


@dataclass(frozen=True, slots=True, eq=False)
class SizeOutcomes:
    """Numbers of objects by size, sqrt(area) in pixels.

    Attributes:
        edges: Bounds of the bins, of equal width on a log axis, (B + 1,).
        found: Objects found with at least the operating score, (B,).
        found_below: Objects that only a lower score or a detection beyond the limit finds, (B,).
        missed: Objects that no detection finds, (B,).
    """

    edges: FloatArray
    found: IntArray
    found_below: IntArray
    missed: IntArray

    @property
    def objects(self) -> IntArray:
        """All objects, (B,)."""
        return self.found + self.found_below + self.missed


def find_size_outcomes(
    result: ApResult,
    truth: AnnotationTable,
    key: str,
    *,
    max_dets: int,
    min_score: float,
    edges: FloatArray,
) -> SizeOutcomes:
    """Count the objects of each size that were found and missed.

    Args:
        result: An evaluation.
        truth: The ground truth that was evaluated.
        key: Size range and IoU, for example ``all_50``.
        max_dets: Detections of an image and category that take part.
        min_score: Operating score.
        edges: As of :func:`size_edges`, (B + 1,); sizes beyond them belong to the outermost bins.

    Returns:
        The numbers.

    Raises:
        InputError: If the key was not evaluated.
    """
    r, t = result.place(key)
    record = result.record
    counted = record.counted[r]
    found_by = record.found_by[r, t]  # (G,), -1 where not found
    found = found_by >= 0
    # found_by is -1 where there is no detection: the last of these, which never takes part.
    taking_part = np.append((record.ranks < max_dets) & (record.scores >= min_score), False)
    certain = taking_part[found_by]
    bins = _bins(np.sqrt(truth.areas[record.target_rows]), edges)

    def histogram(chosen: np.ndarray) -> IntArray:
        return np.bincount(bins[counted & chosen], minlength=len(edges) - 1)

    return SizeOutcomes(
        edges=edges,
        found=histogram(certain),
        found_below=histogram(found & ~certain),
        missed=histogram(~found),
    )


def size_edges(sizes: FloatArray, *, bins_per_octave: int = 3) -> FloatArray:
    """Bounds of bins of equal width on a log axis, whole octaves that hold all sizes.

    Args:
        sizes: sqrt(area) in pixels, (N,); those below half a pixel count as half a pixel.
        bins_per_octave: Bins between a size and twice that size; fewer where there would be more
            than 40 bins in all.

    Returns:
        (B + 1,), at least one octave; 8 to 16 pixels if there is no size.

    Raises:
        InputError: If `bins_per_octave` is below 1.
    """
    if bins_per_octave < 1:
        raise InputError(f"`bins_per_octave` must be at least 1, but is {bins_per_octave}")
    if not len(sizes):
        sizes = np.array([8.0])
    logs = np.log2(np.maximum(sizes, _SMALLEST))
    low = np.floor(logs.min())
    octaves = max(int(np.ceil(logs.max() - low)), 1)
    per_octave = max(min(bins_per_octave, _MOST_BINS // octaves), 1)
    edges: FloatArray = np.exp2(low + np.arange(octaves * per_octave + 1) / per_octave)
    return edges


def _bins(sizes: FloatArray, edges: FloatArray) -> IntArray:
    """The bin of each size; a size on an edge belongs to the bin above it, (N,)."""
    places = np.searchsorted(edges, sizes, side="right") - 1
    bins: IntArray = np.clip(places, 0, len(edges) - 2)
    return bins
