"""The locations of FCOS, one for each cell of each level, and the objects that a level is for."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.structures import Boxes
from torch import Tensor

from scale_match.core.errors import InputError

__all__ = ["LocationGrid", "level_ranges"]

# Greatest distance to a side on a level in strides of it, of the authors' Adap FCOS.
_RANGE_IN_STRIDES = 4


@dataclass(frozen=True, slots=True, eq=False)
class LocationGrid:
    """The locations of all levels: level by level, row by row, column by column; R in all.

    A location lies in the centre of its cell, at ((column + 0.5) * stride, (row + 0.5) * stride) in
    continuous pixels (FCOS paper, arXiv 1904.01355, section 3.1).

    Attributes:
        strides: Of the levels, powers of two.
        shapes: Rows and columns of the levels.
        device: Of the tensors that are made.
    """

    strides: Sequence[int]
    shapes: Sequence[tuple[int, int]]
    device: torch.device

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Locations of each level."""
        return [rows * columns for rows, columns in self.shapes]

    @property
    def firsts(self) -> list[int]:
        """Index of the first location of each level."""
        return [sum(self.sizes[:level]) for level in range(len(self.sizes))]

    def level_centers(self) -> list[Tensor]:
        """Per level the locations, x and y in pixels, (H_i * W_i, 2)."""
        centers = []
        for stride, (rows, columns) in zip(self.strides, self.shapes, strict=True):
            y = (torch.arange(rows, device=self.device) + 0.5) * stride
            x = (torch.arange(columns, device=self.device) + 0.5) * stride
            centers.append(torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=1))
        return centers

    def location_strides(self) -> Tensor:
        """The stride of each location, (R,)."""
        strides = torch.tensor(self.strides, dtype=torch.float32, device=self.device)
        return strides.repeat_interleave(torch.tensor(self.sizes, device=self.device))

    def level_cells(self) -> list[Boxes]:
        """Per level the cells, squares of a stride around the locations, XYXY_ABS."""
        return [
            Boxes(torch.cat([centers - stride / 2, centers + stride / 2], dim=1))
            for stride, centers in zip(self.strides, self.level_centers(), strict=True)
        ]


def level_ranges(
    strides: Sequence[int], given: Sequence[Sequence[float]] = ()
) -> tuple[tuple[float, float], ...]:
    """Least and greatest distance in px from a location to a side of its box, for each level.

    Args:
        strides: Of the levels.
        given: The ranges; empty for up to four strides of each level, which gives (-1, 16),
            (16, 32), (32, 64), (64, 128) and (128, inf) at strides 4 to 64.

    Raises:
        InputError: There is not one range for each level, each higher than the one before.
    """
    if not len(given):
        limits = [float(_RANGE_IN_STRIDES * stride) for stride in strides[:-1]]
        return tuple(zip([-1.0, *limits], [*limits, math.inf], strict=True))
    pairs = [tuple(float(value) for value in each) for each in given]
    legal = (
        len(pairs) == len(strides)
        and all(len(pair) == 2 and pair[0] < pair[1] for pair in pairs)
        and all(below[1] < above[1] for below, above in itertools.pairwise(pairs))
    )
    if not legal:
        raise InputError(
            "size_ranges (SCALE_MATCH.FCOS.SIZE_RANGES) must be a least and a greatest distance, "
            f"ascending, for each of the {len(strides)} levels, received "
            f"{[list(each) for each in given]}; leave them empty for four strides of each level"
        )
    return tuple((low, high) for low, high in pairs)
