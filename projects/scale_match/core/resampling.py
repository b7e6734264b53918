"""Resamples of a set of images, and intervals from what was measured on them.

A bootstrap draws as many images as there are, with replacement, and measures again; done many
times, the spread of the values says how much the choice of test images matters. A resample is kept
as *weights*: how often it holds each image.

I images, B resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray

__all__ = [
    "LARGEST_WEIGHT",
    "LEVEL",
    "Interval",
    "WeightArray",
    "image_weights",
    "interval",
    "intervals",
]

WeightArray = npt.NDArray[np.int16]

LEVEL = 0.95

LARGEST_WEIGHT = 127
"""More copies of an image than any resample of two or more images will ever hold."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        standard_error: Standard deviation of the samples; 0 if there is only one.
        num_used: Resamples in which there was something to measure.
        num_left_out: Resamples in which there was not.

    Example:
        >>> Interval(0.01, 0.04, 0.01, 1000, 0).excludes_zero
        True
    """

    low: float
    high: float
    standard_error: float
    num_used: int
    num_left_out: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; for intervals of differences."""
        return self.low > 0 or self.high < 0


def image_weights(num_images: int, *, resamples: int, seed: int) -> WeightArray:
    """How often each image occurs in each resample: a function of the arguments and nothing else.

    Two evaluations over the same images get the same resamples, so their values can be paired. The
    first n of many resamples are those that asking for n gives.

    Args:
        num_images: I.
        resamples: B.
        seed: Any number that is not negative.

    Returns:
        (I, B); each column adds up to I.

    Raises:
        InputError: If there is no resample, or the seed is negative.
    """
    if resamples < 1:
        raise InputError(f"a bootstrap needs at least one resample; received {resamples}")
    if seed < 0:
        raise InputError(f"the seed of a bootstrap must not be negative; received {seed}")
    weights = np.zeros((num_images, resamples), dtype=np.int16)
    generator = np.random.default_rng(seed)
    for column in weights.T if num_images else ():
        drawn = generator.integers(num_images, size=num_images)
        column[:] = np.bincount(drawn, minlength=num_images)
    return weights


def interval(samples: FloatArray, level: float = LEVEL) -> Interval | None:
    """The percentile interval of one value.

    Args:
        samples: The value in each resample, NaN where there was nothing to measure, (B,).
        level: Share of the samples inside.

    Returns:
        The interval; None if no resample had anything to measure.

    Raises:
        InputError: If the level is not between 0 and 1.

    Example:
        >>> interval(np.linspace(0.0, 1.0, 1001), level=0.5).high
        0.75
    """
    if not 0 < level < 1:
        raise InputError(f"the level of an interval must be between 0 and 1; received {level}")
    used = samples[~np.isnan(samples)]
    if not len(used):
        return None
    tail = 50 * (1 - level)  # percent
    low, high = np.percentile(used, [tail, 100 - tail]).tolist()
    spread = float(used.std(ddof=1)) if len(used) > 1 else 0.0
    return Interval(low, high, spread, len(used), len(samples) - len(used))


def intervals(
    samples: Mapping[str, FloatArray], level: float = LEVEL
) -> dict[str, Interval | None]:
    """The percentile interval of each of several values.

    Args:
        samples: Key -> (B,), as :func:`interval` takes them.
        level: Share of the samples inside.

    Returns:
        Key -> its interval, None where no resample had anything to measure.

    Raises:
        InputError: If the level is not between 0 and 1.
    """
    return {key: interval(values, level) for key, values in samples.items()}
