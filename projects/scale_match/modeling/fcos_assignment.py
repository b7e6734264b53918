"""Which object each location of FCOS has to find.

M objects, R locations over all levels. No matrix of M and R is made: around the centre of an object
there are a few locations of each level that can be its own, and they are found by a division.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scale_match.modeling.fcos_locations import LocationGrid

__all__ = ["assign_objects"]

# Cells on each side of an object's centre where a location is looked for that the usual rule does
# not give it. An object reaches 4 strides from its centre at most, where the ranges are the usual.
_SEARCHED_CELLS = 5


def assign_objects(
    grid: LocationGrid,
    boxes: Tensor,
    *,
    size_ranges: Sequence[tuple[float, float]],
    radius: float,
) -> tuple[Tensor, Tensor]:
    """Decides which object each location has to find.

    1. A location can be an object's own if it lies inside its box and less than ``radius`` strides
       from the centre in x and in y (centre sampling), and if the greatest of its distances to the
       four sides lies in the range of its level. Of several objects it takes the smallest by area,
       exactly, of equal ones the first. (Tian et al., arXiv 2006.09214, section 3.1; mmdetection.)
    2. An object without a location after that, because it is smaller than the grid or because
       smaller ones took all of its own, is given one: the nearest to its centre, on the level
       whose range has half its longer side, that lies in its box or less than ``radius`` strides
       from its centre. Smaller objects choose first. A location is not available if it was given
       to another object in this way, or if it is the nearest to its centre of those that an
       object got by rule 1. So every object keeps one, and none is given another's only one.
       Objects that this leaves without look on the finer levels, one after another, and then on
       the coarser ones. They stay without if all that they could choose there is taken: one
       smaller than a stride has 9 on each level, with a ``radius`` of 1.5.

    A box without an area, with a value that is not finite, or outside of the grid is no object.

    Args:
        grid: The locations, R in all.
        boxes: XYXY_ABS, (M, 4).
        size_ranges: Least and greatest distance of each level in pixels, both inclusive.
        radius: In strides.

    Returns:
        Index of each location's object, M for background, (R,) int64; and whether rule 2 gave the
        location, (R,) booleans.
    """
    sides = boxes.double()[:, 2:] - boxes.double()[:, :2]
    legal = (boxes.isfinite().all(dim=1) & (sides > 0).all(dim=1)).nonzero()[:, 0]
    # From here on an object's index is its rank by area. Differences of two float32 and their
    # products have room in doubles; in float32 areas near 1e8 are all multiples of 8.
    by_area = legal[sides[legal].prod(dim=1).argsort(stable=True)]
    objects = _Objects.of(boxes[by_area].double())
    own = _own_locations(grid, objects, size_ranges, radius)
    owners = torch.full((len(grid),), len(by_area), device=grid.device)
    owners.scatter_reduce_(0, own.locations, own.objects, "amin")
    own = own.subset(owners[own.locations] == own.objects)
    nearest = _nearest_locations(own, len(by_area), len(grid))
    receivers, given = _give_locations(grid, objects, nearest, size_ranges, radius)
    owners[given] = receivers
    forced = torch.zeros_like(owners, dtype=torch.bool)
    forced[given] = True
    return torch.cat([by_area, by_area.new_tensor([len(boxes)])])[owners], forced


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """Boxes in doubles, smallest first.

    Attributes:
        low: Left and upper side, (M, 2).
        high: Right and lower side, (M, 2).
        center: (M, 2).
    """

    low: Tensor
    high: Tensor
    center: Tensor

    @classmethod
    def of(cls, boxes: Tensor) -> Self:
        low, high = boxes[:, :2], boxes[:, 2:]
        return cls(low, high, (low + high) / 2)

    def subset(self, which: Tensor) -> Self:
        return type(self)(self.low[which], self.high[which], self.center[which])


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Objects with locations.

    Attributes:
        objects: Index of the object, (P,).
        locations: Index over the locations of all levels, (P,).
        distances: Square of the distance from the object's centre in px, doubles, (P,).
    """

    objects: Tensor
    locations: Tensor
    distances: Tensor

    def subset(self, which: Tensor) -> Self:
        return type(self)(self.objects[which], self.locations[which], self.distances[which])


def _own_locations(
    grid: LocationGrid,
    objects: _Objects,
    size_ranges: Sequence[tuple[float, float]],
    radius: float,
) -> _Pairs:
    """All pairs of rule 1, before locations choose among objects."""
    parts = []
    per_axis = math.ceil(2 * radius)  # whole numbers in an open interval of this length, at most
    steps = torch.arange(per_axis, device=grid.device)
    for stride, (rows, columns), first, (least, greatest) in zip(
        grid.strides, grid.shapes, grid.firsts, size_ranges, strict=True
    ):
        start = (objects.center / stride - 0.5 - radius).floor() + 1  # (M, 2)
        cells = start[:, :, None] + steps  # (M, 2, n)
        at = (cells + 0.5) * stride
        before, after = at - objects.low[:, :, None], objects.high[:, :, None] - at
        count = torch.tensor([columns, rows], device=grid.device)[:, None]
        fits = (before > 0) & (after > 0) & (cells >= 0) & (cells < count)
        fits &= (at - objects.center[:, :, None]).abs() < radius * stride
        fits_both = fits[:, 1, :, None] & fits[:, 0, None, :]  # (M, n, n): rows, columns
        farthest = torch.maximum(before, after)
        farthest = torch.maximum(farthest[:, 1, :, None], farthest[:, 0, None, :])
        fits_both &= (farthest >= least) & (farthest <= greatest)
        owner, row, column = fits_both.nonzero(as_tuple=True)
        away = (at - objects.center[:, :, None]).square()
        parts.append(
            _Pairs(
                owner,
                first + cells[owner, 1, row].long() * columns + cells[owner, 0, column].long(),
                away[owner, 1, row] + away[owner, 0, column],
            )
        )
    return _Pairs(
        *(torch.cat([getattr(part, name) for part in parts]) for name in _Pairs.__slots__)
    )


def _nearest_locations(own: _Pairs, num_objects: int, num_locations: int) -> Tensor:
    """Of each object the nearest of its locations, of equals the first; R without one, (M,)."""
    least = own.distances.new_full((num_objects,), math.inf)
    least.scatter_reduce_(0, own.objects, own.distances, "amin")
    of_nearest = own.subset(own.distances == least[own.objects])
    nearest = torch.full((num_objects,), num_locations, device=own.objects.device)
    return nearest.scatter_reduce_(0, of_nearest.objects, of_nearest.locations, "amin")


def _give_locations(
    grid: LocationGrid,
    objects: _Objects,
    nearest: Tensor,
    size_ranges: Sequence[tuple[float, float]],
    radius: float,
) -> tuple[Tensor, Tensor]:
    """Rule 2: who is given a location, and which one, both (F',).

    `nearest` says who has a location already, and which one is not available to others.
    """
    taken = torch.zeros(len(grid) + 1, dtype=torch.bool, device=grid.device)
    taken[nearest] = True
    without = (nearest == len(grid)).nonzero()[:, 0]
    levels = _levels_of(objects.subset(without), size_ranges)
    receivers, given = [without[:0]], [without[:0]]
    count = len(grid.shapes)
    for shift in (0, *range(-1, -count, -1), *range(1, count)):
        if not len(without):
            break
        asks = ((levels + shift >= 0) & (levels + shift < count)).nonzero()[:, 0]
        locations, distances = _choices(
            grid, objects.subset(without[asks]), levels[asks] + shift, radius
        )
        distances = distances.masked_fill(taken[locations], math.inf)
        # The nearest first, of equals the first, and those that are not to be had last.
        locations = locations.gather(1, distances.argsort(dim=1, stable=True))
        turn, place = _choose_in_turn(locations, distances.isfinite().sum(dim=1), len(grid))
        receivers.append(without[asks[turn]])
        given.append(locations[turn, place])
        taken[given[-1]] = True
        left = torch.ones_like(without, dtype=torch.bool)
        left[asks[turn]] = False
        without, levels = without[left], levels[left]
    return torch.cat(receivers), torch.cat(given)


def _levels_of(objects: _Objects, size_ranges: Sequence[tuple[float, float]]) -> Tensor:
    """The level whose range has half the longer side, the last one for more, (M,)."""
    greatest = torch.tensor([high for _, high in size_ranges], device=objects.center.device)
    half = (objects.high - objects.low).amax(dim=1) / 2
    return torch.searchsorted(greatest.double(), half).clamp(max=len(greatest) - 1)


def _choices(
    grid: LocationGrid, objects: _Objects, levels: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """The locations around each of F objects on a level, (F,).

    Returns:
        Their indices in ascending order, (F, n); and the squares of their distances in px, inf for
        what rule 2 does not allow, (F, n) doubles.
    """
    stride = torch.tensor(grid.strides, device=grid.device)[levels][:, None, None]
    count = torch.tensor(grid.shapes, device=grid.device).flip(1)[levels][:, :, None]
    first = torch.tensor(grid.firsts, device=grid.device)[levels]
    steps = torch.arange(-_SEARCHED_CELLS, _SEARCHED_CELLS + 1, device=grid.device)
    cells = (objects.center[:, :, None] / stride - 0.5).round() + steps  # (F, 2, k)
    at = (cells + 0.5) * stride
    away = (at - objects.center[:, :, None]).abs()
    inside = (at > objects.low[:, :, None]) & (at < objects.high[:, :, None])
    near, exists = away < radius * stride, (cells >= 0) & (cells < count)
    legal = inside[:, 1, :, None] & inside[:, 0, None, :]  # (F, k, k): rows, columns
    legal |= near[:, 1, :, None] & near[:, 0, None, :]
    legal &= exists[:, 1, :, None] & exists[:, 0, None, :]
    squares = away.square()
    distances = squares[:, 1, :, None] + squares[:, 0, None, :]
    cells = cells.clamp(min=0).minimum(count - 1).long()
    rows, columns = cells[:, 1, :, None], cells[:, 0, None, :]
    locations = first[:, None, None] + rows * count[:, 0, :, None] + columns
    return locations.flatten(1), distances.masked_fill(~legal, math.inf).flatten(1)


def _choose_in_turn(
    locations: Tensor, num_choices: Tensor, num_locations: int
) -> tuple[Tensor, Tensor]:
    """What F objects get that choose one after another, each the first of its choices still free.

    All ask at once for the first of their choices; who is refused, because an earlier object asks
    for the same, asks for the next. When nobody is refused everyone has what it would have got in
    its turn: an earlier object is never refused for a later one's sake.

    Args:
        locations: Each object's choices, best first, (F, n).
        num_choices: How many of them count, (F,).
        num_locations: More than the largest index.

    Returns:
        The objects that get one, and the place of it among their choices, both (F',).
    """
    turns = torch.arange(len(locations), device=locations.device)
    place = torch.zeros_like(turns)
    while True:
        asks = turns[place < num_choices]
        wanted = locations[asks, place[asks]]
        first = turns.new_full((num_locations,), len(turns))
        first.scatter_reduce_(0, wanted, asks, "amin")
        refused = asks[first[wanted] != asks]
        if not len(refused):
            return asks, place[asks]
        place[refused] += 1
