"""The sizes that Scale Match counts in an annotation file: of boxes, or one for each image."""

import numpy as np
import numpy.typing as npt

from scale_match.core.boxes import box_sizes
from scale_match.core.checks import positive_sizes
from scale_match.core.errors import InputError
from scale_match.core.records import AnnotationTable, FloatArray, IntArray

__all__ = ["counted_sizes", "image_sizes", "standardised_sizes"]


def counted_sizes(table: AnnotationTable) -> FloatArray:
    """Sizes of the boxes that count for a histogram (README 1.1).

    Args:
        table: Ground truth of a whole file.

    Returns:
        (N,) in pixels, > 0, in file order: neither crowd nor ignored boxes; uncertain ones count.
    """
    sizes = box_sizes(table.boxes[~(table.iscrowd | table.ignore)])
    return sizes[sizes > 0.0]


def image_sizes(sizes: npt.ArrayLike, image_ids: IntArray) -> FloatArray:
    """Geometric mean of the sizes of each image (README 1.6b), in order of the image ids.

    Images without a box of positive size are left out (quirk 20).

    Args:
        sizes: sqrt(w * h) in pixels of the boxes that count, (N,); not clipped to the image.
        image_ids: The image of each box, (N,).

    Returns:
        (M,) in pixels, M the number of images left.

    >>> image_sizes([4.0, 25.0, 16.0, 0.0], np.array([1, 2, 1, 3])).round(6).tolist()
    [8.0, 25.0]
    """
    values = np.asarray(sizes, dtype=np.float64)
    positive = values > 0.0
    if not positive.any():
        return np.empty(0)
    order = np.argsort(image_ids[positive], kind="stable")
    ids, logs = image_ids[positive][order], np.log(values[positive][order])
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    lengths = np.diff(np.append(starts, len(ids)))
    return np.asarray(np.exp(np.add.reduceat(logs, starts) / lengths))


def standardised_sizes(sizes: npt.ArrayLike, mu_sigma: tuple[float, float]) -> FloatArray:
    """Sizes moved to a given mean and deviation, at least 1 pixel (README 1.2, step 5).

    Args:
        sizes: (N,) in pixels; those that are not positive do not count.
        mu_sigma: Mean and standard deviation of the result in pixels, before sizes under 1 pixel
            become 1.

    Returns:
        (M,) in pixels, in the order of the sizes that count.

    Raises:
        InputError: No size counts, or all are equal and so have no deviation to change.

    >>> standardised_sizes([2.0, 4.0], (10.0, 3.0)).tolist()
    [7.0, 13.0]
    """
    values = positive_sizes("sizes", sizes)
    mean, deviation = mu_sigma
    spread = float(values.std())
    if not spread > 0.0:
        raise InputError(
            f"mu_sigma {mean:g} {deviation:g} cannot be reached: all {len(values)} sizes are equal"
        )
    moved: FloatArray = np.maximum((values - values.mean()) / spread * deviation + mean, 1.0)
    return moved
