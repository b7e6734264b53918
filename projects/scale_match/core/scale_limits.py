"""Which scales Scale Match may use, and what happens to the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scale_match.core.checks import whole_number
from scale_match.core.errors import InputError
from scale_match.core.records import BoolArray

__all__ = ["ScaleLimits"]


@dataclass(frozen=True)
class ScaleLimits:
    """Which scales are allowed, and what happens to the others.

    The defaults are those of the published experiments, not of the original classes (quirk 29).

    Args:
        scale_range: (low, high); a scale must be strictly between them.
        default_scale: Scale of an image without boxes, of one whose boxes would all vanish, and,
            with ``out_of_range="default"``, of one whose scale is not in the range.
        out_of_range: "clip" sets such a scale to the nearer end, "default" to ``default_scale``.
        max_tries: Draws of sampled Scale Match before ``out_of_range`` applies to the last of them.

    Raises:
        InputError: A value breaks its rule.
    """

    scale_range: tuple[float, float] = (0.1, 1.0)
    default_scale: float = 0.25
    out_of_range: Literal["clip", "default"] = "clip"
    max_tries: int = 5

    def __post_init__(self) -> None:
        # A config hands over a list of its own kind; a tuple travels to worker processes.
        object.__setattr__(self, "scale_range", _checked_range(self.scale_range))
        if not _is_positive(self.default_scale):
            raise InputError(
                f"default_scale must be positive and finite, got {self.default_scale!r}"
            )
        if self.out_of_range not in ("clip", "default"):
            raise InputError(f'out_of_range must be "clip" or "default", got {self.out_of_range!r}')
        whole_number("max_tries", self.max_tries, minimum=1)

    def contains(self, scale: npt.ArrayLike) -> BoolArray:
        """Which scales are inside the range; both ends are outside (quirk 10)."""
        low, high = self.scale_range
        values = np.asarray(scale, dtype=np.float64)
        return np.asarray((low < values) & (values < high))

    def resolve(self, scale: float) -> float:
        """The scale to use where a policy wants ``scale``."""
        low, high = self.scale_range
        if low < scale < high:
            return float(scale)
        if self.out_of_range == "default":
            return self.default_scale
        return float(min(max(scale, low), high))


def _is_positive(value: float) -> bool:
    return isinstance(value, (int, float)) and 0.0 < value < np.inf


def _checked_range(scale_range: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = scale_range
        valid = bool(0.0 <= low < high < np.inf)
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InputError(f"scale_range must be two numbers 0 <= low < high, got {scale_range!r}")
    return float(low), float(high)
