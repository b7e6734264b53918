"""Gaussian Scale Match (GSM): source sizes mapped onto a log-normal distribution, in order."""

import math
from dataclasses import dataclass

from scale_match.core.scale_policy import MonotoneScaleMatch

__all__ = ["GaussianScaleMatch"]


@dataclass(frozen=True, eq=False)
class GaussianScaleMatch(MonotoneScaleMatch):
    """Gaussian Scale Match (README 1.6b): as monotone Scale Match, but linear in ln(size).

    Made by ``from_sizes`` from a :class:`~scale_match.core.gaussian_target.GaussianTarget` and
    either the sizes of all boxes of the source or, the authors' default, one mean size per image
    (:func:`~scale_match.core.histogram.counted_image_sizes`).
    """

    @staticmethod
    def interpolate(size: float, source: tuple[float, float], target: tuple[float, float]) -> float:
        """See :meth:`MonotoneScaleMatch.interpolate`; linear in the logarithms of both."""
        width = math.log(source[1] / source[0])
        if width <= 0.0 or size <= source[0]:
            return target[0]
        if size >= source[1]:
            return target[1]  # exp(ln(x)) may miss x by rounding
        inside = math.log(size / source[0]) / width
        return float(target[0] * (target[1] / target[0]) ** inside)
