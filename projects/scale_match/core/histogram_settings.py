"""How the sizes of a target are turned into its histogram: all settings in one value."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy.typing as npt

from scale_match.core.checks import whole_number
from scale_match.core.counted_sizes import standardised_sizes
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram

__all__ = ["HistogramSettings"]


@dataclass(frozen=True)
class HistogramSettings:
    """Settings of a target's histogram; see :meth:`SizeHistogram.from_sizes`.

    Attributes:
        bins: Number of all bins.
        log: Whether the inner bins have equal widths in ln(size).
        except_rate: Share of the boxes in head and tail; None means 2 / bins.
        mu_sigma: Mean and deviation, in pixels, that the sizes are moved to before they are
            counted, both > 0; None leaves them as they are.

    Raises:
        InputError: ``bins`` or ``mu_sigma`` breaks its rule; the rest is checked with the sizes.
    """

    bins: int = 100
    log: bool = False
    except_rate: float | None = None
    mu_sigma: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        whole_number("bins", self.bins, minimum=1)
        if self.mu_sigma is not None:
            # A config hands over a list of its own kind.
            object.__setattr__(self, "mu_sigma", _mean_and_deviation(self.mu_sigma))

    @property
    def rate(self) -> float:
        """The share of head and tail as a number."""
        # In this order of operations, as in SizeHistogram.from_sizes.
        return (1 / self.bins) * 2 if self.except_rate is None else self.except_rate

    def histogram(self, sizes: npt.ArrayLike) -> SizeHistogram:
        """Count sizes.

        Args:
            sizes: (N,) in pixels, in any order.

        Raises:
            InputError: A setting or a size breaks its rule.
        """
        if self.mu_sigma is not None:
            sizes = standardised_sizes(sizes, self.mu_sigma)
        return SizeHistogram.from_sizes(
            sizes, bins=self.bins, log=self.log, except_rate=self.except_rate
        )


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    try:
        mean, deviation = (float(value) for value in values)
    except (TypeError, ValueError):
        mean = deviation = math.nan
    if not (0.0 < mean < math.inf and 0.0 < deviation < math.inf):
        raise InputError(
            f"mu_sigma must be a mean and a deviation in pixels, both positive, got {values!r}"
        )
    return mean, deviation
