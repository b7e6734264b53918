"""The one description of a feature pyramid, from which everything else about it is derived."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scale_match.core.errors import InputError

__all__ = ["PyramidLevels"]

# A ResNet's stages res2 .. res5 and their strides; coarser levels are convolved from res5.
_FINEST_STRIDE = 4
_COARSEST_BOTTOM_UP_STRIDE = 32
# p2 .. p5 in Faster R-CNN, whose p6 is for anchors only.
_MOST_POOLED = 4


@dataclass(frozen=True, slots=True)
class PyramidLevels:
    """The levels of a feature pyramid that detect, and their anchors.

    Level k has stride 2^k and is called ``p<k>``, as in detectron2. The default is the pyramid of
    the authors' Adap RetinaNet: strides 4 to 64 and anchors from 8 px on, where the usual
    RetinaNet has strides 8 to 128 (``strides=(8, ..., 128), anchor_scale=4``).

    Sequences of any kind are accepted (configs give lists) and kept as tuples.

    Attributes:
        strides: Strides in pixels, from the finest level on, each twice the one before; the first
            is one of 4, 8, 16, 32.
        anchor_scale: Side of a level's smallest square anchor in units of its stride.
        scales_per_octave: Anchor sizes per level, 2^(1 / scales_per_octave) apart.
        aspect_ratios: Height over width of the anchors; anchors of one size have equal area.

    Raises:
        InputError: A value breaks one of these rules.
    """

    strides: Sequence[int] = (4, 8, 16, 32, 64)
    anchor_scale: float = 2.0
    scales_per_octave: int = 3
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        # Frozen: the only way to normalise what the caller gave.
        object.__setattr__(self, "strides", tuple(self.strides))
        object.__setattr__(self, "aspect_ratios", tuple(float(r) for r in self.aspect_ratios))
        object.__setattr__(self, "anchor_scale", float(self.anchor_scale))
        _check_strides(self.strides)
        if not (math.isfinite(self.anchor_scale) and self.anchor_scale > 0):
            raise InputError(f"`anchor_scale` must be positive, received {self.anchor_scale}")
        if self.scales_per_octave < 1 or self.scales_per_octave != int(self.scales_per_octave):
            raise InputError(
                f"`scales_per_octave` must be a whole number from 1 on, "
                f"received {self.scales_per_octave}"
            )
        if not self.aspect_ratios or not all(
            math.isfinite(ratio) and ratio > 0 for ratio in self.aspect_ratios
        ):
            raise InputError(
                f"`aspect_ratios` must be positive numbers, received {list(self.aspect_ratios)}"
            )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the levels, ``p2`` for stride 4 and so on."""
        return tuple(f"p{_log2(stride)}" for stride in self.strides)

    @property
    def pooled_features(self) -> tuple[str, ...]:
        """The levels that a second stage pools its proposals from, at most the four finest."""
        return self.feature_names[:_MOST_POOLED]

    @property
    def bottom_up_features(self) -> tuple[str, ...]:
        """The ResNet stages that feed the pyramid, ``res2`` for stride 4 up to ``res5``."""
        return tuple(
            f"res{_log2(stride)}" for stride in self.strides if stride <= _COARSEST_BOTTOM_UP_STRIDE
        )

    @property
    def num_extra_levels(self) -> int:
        """Levels coarser than res5, which a convolution with stride 2 makes one from another."""
        return len(self.strides) - len(self.bottom_up_features)

    @property
    def anchor_sizes(self) -> tuple[tuple[float, ...], ...]:
        """Per level the square roots of the anchors' areas in pixels."""
        return tuple(
            tuple(
                self.anchor_scale * stride * 2 ** (k / self.scales_per_octave)
                for k in range(self.scales_per_octave)
            )
            for stride in self.strides
        )

    @property
    def num_anchors(self) -> int:
        """Anchors at each position of a level."""
        return self.scales_per_octave * len(self.aspect_ratios)


def _check_strides(strides: Sequence[int]) -> None:
    allowed_first = [_FINEST_STRIDE << k for k in range(4)]
    if not strides or strides[0] not in allowed_first:
        raise InputError(
            f"`strides` must start at one of {allowed_first}, received {list(strides)}"
        )
    if any(stride != strides[0] << k for k, stride in enumerate(strides)):
        raise InputError(f"`strides` must double from level to level, received {list(strides)}")


def _log2(stride: int) -> int:
    return int(stride).bit_length() - 1
