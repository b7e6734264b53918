"""Checks of values that come from outside; each message names the value, the rule, what came."""

from typing import Any

import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray, IntArray

__all__ = [
    "ascending_sizes",
    "box_counts",
    "first_of",
    "ordered_sizes",
    "positive_sizes",
    "whole_number",
]


def whole_number(name: str, value: object, *, minimum: int) -> int:
    """The value as an int.

    Raises:
        InputError: It is not a whole number (a bool is none) or below the minimum.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    if value < minimum:
        raise InputError(f"{name} must be at least {minimum}, got {value}")
    return int(value)


def box_counts(name: str, counts: npt.ArrayLike) -> IntArray:
    """A read-only copy of numbers of boxes as int64, (bins,).

    Raises:
        InputError: They are not a flat list of whole numbers >= 0 with one above 0.
    """
    values = _vector(name, counts)
    if len(values) == 0:
        raise InputError(f"{name} must have at least one entry, got none")
    if values.dtype.kind not in "iu":
        raise InputError(f"{name} must be whole numbers, got {_shown(values)}")
    negative = first_of(values < 0)
    if negative is not None:
        raise InputError(f"{name} must not be negative, got {values[negative]} at index {negative}")
    if not values.any():
        raise InputError(f"{name} must hold at least one box, got {len(values)} empty bins")
    copy = values.astype(np.int64)
    copy.setflags(write=False)
    return copy


def ascending_sizes(name: str, sizes: npt.ArrayLike) -> FloatArray:
    """A read-only copy of sizes in pixels as float64, (N,).

    Raises:
        InputError: They are not a flat list of positive, finite numbers that never descend.
    """
    values = _vector(name, sizes)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{name} must be numbers, got {_shown(values)}")
    unusable = first_of(~(np.isfinite(values) & (values > 0)))
    if unusable is not None:
        raise InputError(
            f"{name} must be positive and finite, got {values[unusable]} at index {unusable}"
        )
    descent = first_of(np.diff(values) < 0)
    if descent is not None:
        raise InputError(
            f"{name} must not descend, got {values[descent]} at index {descent} "
            f"before {values[descent + 1]}"
        )
    copy = values.astype(np.float64)
    copy.setflags(write=False)
    return copy


def positive_sizes(name: str, sizes: npt.ArrayLike) -> FloatArray:
    """The positive ones of sizes of boxes in pixels, in the given order, (N,).

    Raises:
        InputError: A size is not finite, or none is positive.
    """
    values = np.asarray(sizes, dtype=np.float64).reshape(-1)
    unusable = first_of(~np.isfinite(values))
    if unusable is not None:
        raise InputError(f"{name} must be finite, got {values[unusable]} at index {unusable}")
    positive = values[values > 0.0]
    if len(positive) == 0:
        raise InputError(
            f"{name} must hold at least one box of positive size, got none among {len(values)}"
        )
    return positive


def ordered_sizes(name: str, sizes: npt.ArrayLike) -> FloatArray:
    """The positive ones of sizes of boxes in pixels, ascending, (N,); not to be written to.

    Sizes that are ascending already, as a cache has them, are neither copied nor sorted again.

    Raises:
        InputError: A size is not finite, or none is positive.
    """
    values = np.asarray(sizes, dtype=np.float64).reshape(-1)
    # NaN is never >=, so it ends up on the slow way, which names it.
    ascending = len(values) > 0 and bool((values[1:] >= values[:-1]).all())
    if ascending and values[0] > 0.0 and values[-1] < np.inf:
        return values
    return np.sort(positive_sizes(name, values))


def first_of(condition: npt.NDArray[np.bool_]) -> int | None:
    """The first index where a condition holds, (N,); None where it holds nowhere."""
    indices = np.flatnonzero(condition)
    return int(indices[0]) if len(indices) else None


def _vector(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        vector = np.asarray(values)
    except ValueError as error:  # NumPy refuses lists of unequal lengths.
        raise InputError(f"{name} must be a flat list of numbers, got a ragged one") from error
    if vector.ndim != 1:
        raise InputError(f"{name} must be a flat list, got the shape {vector.shape}")
    return vector


def _shown(values: npt.NDArray[Any]) -> str:
    """The first entries of a vector, for a message."""
    listed = ", ".join(repr(value) for value in values[:3].tolist())
    return f"[{listed}, ...]" if len(values) > 3 else f"[{listed}]"
