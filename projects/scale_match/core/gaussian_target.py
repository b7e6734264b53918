"""The distribution that Gaussian Scale Match aims at: ln(size) is normal (README 1.6b).

It needs no target file: ``mu`` and ``sigma`` are mean and standard deviation of ln(size in pixels).
The bins hold about equal shares; what lies between their edges is interpolated in ln(size).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from scale_match.core.checks import ascending_sizes, whole_number
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray

__all__ = ["GaussianTarget", "log_moments"]

_NORMAL = NormalDist()
# The analytic edges are those of so many ideal samples: the outer ones lie at the probabilities
# 0.5 / SAMPLES and 1 - 0.5 / SAMPLES.
SAMPLES = 2000
# Less than this above `min_size` is no distribution to aim at any more.
_MIN_SHARE = 1e-9
_MAX_LOG = 700.0  # exp() of more is not a number


@dataclass(frozen=True, eq=False)
class GaussianTarget:
    """Edges in pixels and the shares between them; see :meth:`analytic` and :meth:`from_sample`.

    Args:
        edges: (bins + 1,) in pixels, ascending.
        probabilities: Share of the objects in each bin, (bins,), with the sum 1.
    """

    edges: FloatArray
    probabilities: FloatArray

    @classmethod
    def analytic(
        cls, mu: float, sigma: float, *, bins: int = 100, min_size: float = 0.0
    ) -> "GaussianTarget":
        """Edges at exact quantiles: at 0.5 / n, 1 / bins, 2 / bins, ..., 1 - 0.5 / n, n = 2000.

        Args:
            mu: Mean of ln(size).
            sigma: Standard deviation of ln(size), > 0.
            bins: Number of bins, at most 2000.
            min_size: In pixels; the part of the distribution up to it is left out, and the
                quantiles are those of the rest. 0 leaves nothing out.

        Raises:
            InputError: A value breaks its rule, or nothing of the distribution is left.

        >>> GaussianTarget.analytic(0.0, 1.0, bins=2).edges.round(3).tolist()
        [0.031, 1.0, 32.484]
        """
        _check(mu, sigma, bins, min_size)
        if bins > SAMPLES:
            raise InputError(f"bins must be at most {SAMPLES} for gsm, got {bins}")
        left_out = _NORMAL.cdf((math.log(min_size) - mu) / sigma) if min_size > 0.0 else 0.0
        if 1.0 - left_out < _MIN_SHARE:
            raise InputError(
                f"min_size must leave a part of the distribution with mu {mu} and sigma {sigma}, "
                f"got {min_size} pixels"
            )
        inner = [k / bins for k in range(1, bins)]
        shares = [0.5 / SAMPLES, *inner, 1.0 - 0.5 / SAMPLES]
        quantiles = [_NORMAL.inv_cdf(left_out + (1.0 - left_out) * share) for share in shares]
        edges = _sizes(np.array(quantiles), mu, sigma)
        return cls(ascending_sizes("edges", edges), np.full(bins, 1.0 / bins))

    @classmethod
    def from_sample(
        cls,
        sample: npt.ArrayLike,
        mu: float,
        sigma: float,
        *,
        bins: int = 100,
        min_size: float = 0.0,
    ) -> "GaussianTarget":
        """Edges at every ``ceil(n / bins)``-th of n sorted samples, as in the authors' code.

        Where n is not a multiple of ``bins`` the last bin holds the rest; where fewer bins are
        enough for all samples, there are fewer (quirk 21; the map of sizes is the same).

        Args:
            sample: Standard normal numbers, in any order.
            mu: Mean of ln(size).
            sigma: Standard deviation of ln(size), > 0.
            bins: Number of bins.
            min_size: In pixels; samples of this size and below are left out (the authors give its
                logarithm, quirk 22). 0 leaves nothing out.

        Raises:
            InputError: A value breaks its rule, or fewer than two samples are left.
        """
        _check(mu, sigma, bins, min_size)
        numbers = np.asarray(sample, dtype=np.float64).reshape(-1)
        if not np.isfinite(numbers).all():
            raise InputError("the normal sample must hold finite numbers only, got NaN or infinity")
        logs = np.sort(numbers * sigma + mu)
        if min_size > 0.0:
            logs = logs[logs > math.log(min_size)]
        count = len(logs)
        if count < 2:
            raise InputError(
                "the normal sample must hold at least 2 numbers whose sizes are above min_size "
                f"{min_size}, got {count} of {len(numbers)}"
            )
        step = -(-count // bins)
        starts = np.arange(0, count, step)
        lengths = np.diff(np.append(starts, count))
        edges = _sizes(np.append(logs[starts], logs[-1]), 0.0, 1.0)
        return cls(ascending_sizes("edges", edges), lengths / count)

    @property
    def running_sum(self) -> FloatArray:
        """Running double sum of the probabilities, (bins,); the last may miss 1 by rounding."""
        return np.cumsum(self.probabilities)

    def cdf(self, x: FloatArray) -> FloatArray:
        """Share of the sizes up to x: straight lines in ln(size) between the edges.

        Args:
            x: Sizes in pixels, > 0.
        """
        knots = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        return np.asarray(np.interp(np.log(x), np.log(self.edges), knots / knots[-1]))


def log_moments(sizes: npt.ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation of ln(size): the ``mu`` and ``sigma`` of these sizes.

    Args:
        sizes: (N,) in pixels, > 0.

    Raises:
        InputError: All sizes are equal, so there is no deviation.

    >>> log_moments([1.0, math.e**2])
    (1.0, 1.0)
    """
    logs = np.log(np.asarray(sizes, dtype=np.float64))
    deviation = float(logs.std())
    if not deviation > 0.0:
        raise InputError(
            "gsm cannot take mu and sigma from a target whose sizes are all equal; give mu_sigma"
        )
    return float(logs.mean()), deviation


def _check(mu: float, sigma: float, bins: int, min_size: float) -> None:
    whole_number("bins", bins, minimum=1)
    if not (math.isfinite(mu) and math.isfinite(sigma) and sigma > 0.0):
        raise InputError(
            "mu_sigma must be the mean and the positive deviation of ln(size) for gsm, "
            f"got {mu} and {sigma}"
        )
    if not math.isfinite(min_size):
        raise InputError(f"min_size must be a finite number of pixels, got {min_size}")


def _sizes(quantiles: FloatArray, mu: float, sigma: float) -> FloatArray:
    logs = quantiles * sigma + mu
    if np.abs(logs).max() > _MAX_LOG:
        raise InputError(
            f"mu_sigma must give sizes that are numbers, but exp({logs[np.abs(logs).argmax()]:g}) "
            "is none; mu and sigma are those of ln(size)"
        )
    return np.asarray(np.exp(logs))
