"""Which location finds which object: the definition, torchvision, and the promise to tiny ones."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection import FCOS

from oracles import fcos_reference
from scale_match.modeling.fcos_assignment import assign_objects
from scale_match.modeling.fcos_locations import LocationGrid, level_ranges

torch.set_num_threads(1)

STRIDES = (4, 8, 16)
RANGES = level_ranges(STRIDES)
WIDTH, HEIGHT = 96, 64
GRID = LocationGrid(
    STRIDES, [(-(-HEIGHT // s), -(-WIDTH // s)) for s in STRIDES], torch.device("cpu")
)
CENTERS = torch.cat(GRID.level_centers())


def assigned(boxes, ranges=RANGES, radius=1.5, grid=GRID):
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return assign_objects(grid, boxes, size_ranges=ranges, radius=radius)


def locations_of(owners, index):
    """Where an object is to be found: (x, y) of its locations."""
    return [tuple(at) for at in CENTERS[owners == index].tolist()]


def boxes_around(centers, sides):
    centers, sides = torch.as_tensor(centers), torch.as_tensor(sides)
    return torch.cat([centers - sides / 2, centers + sides / 2], dim=1)


def random_boxes(number, least, most, seed, spread=1.0):
    """Boxes anywhere, also across the border, with sides from least to most."""
    draw = torch.Generator().manual_seed(seed)
    sides = least + torch.rand(number, 2, generator=draw) * (most - least)
    centers = torch.rand(number, 2, generator=draw) * torch.tensor([WIDTH, HEIGHT]) * spread
    return boxes_around(centers, sides)


def test_an_object_has_the_locations_around_its_centre():
    owners, forced = assigned([[10.0, 10.0, 30.0, 26.0]])

    # Centre (20, 18). Stride 4: less than 6 px from it, x in (14, 26), y in (12, 24), and no side
    # farther than 16 px: all of 14 (excluded), 18, 22 in x and 14, 18, 22 in y.
    # Stride 8: less than 12 px, and a side of 16 to 32 px away: none but those at x 12 and 28.
    expected = [(x, y) for y in (14, 18, 22) for x in (18, 22)]
    assert locations_of(owners, 0) == [*expected, *[(x, y) for y in (12, 20) for x in (12, 28)]]
    assert not forced.any()
    assert (owners == 1).sum() == len(GRID) - 10


def test_a_location_takes_the_smaller_object():
    owners, _ = assigned([[8.0, 8.0, 28.0, 28.0], [15.0, 15.0, 21.0, 21.0]])

    assert locations_of(owners, 1) == [(18, 18)]
    assert (18, 18) not in locations_of(owners, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_areas_are_compared_exactly(order):
    """In float32 1e8 minus these areas, as detectron2 has it, is the same number."""
    boxes = [[10.0, 10.0, 20.0, 20.0], [10.0, 10.0, 20.0, 20.0 + 2**-19]]
    smaller = 0 if order == 1 else 1

    owners, forced = assigned(boxes[::order])

    assert (owners == smaller).sum() == 3
    assert (owners == 1 - smaller).sum() == forced.sum() == 1


def test_of_equal_areas_the_first_wins():
    owners, forced = assigned([[10.0, 10.0, 18.0, 16.0], [10.0, 10.0, 16.0, 18.0]])

    assert (owners[~forced] == 1).sum() < (owners[~forced] == 0).sum()
    assert (owners == 0).any()
    assert (owners == 1).any()


@pytest.mark.parametrize(
    "boxes",
    [
        random_boxes(1, 2, 40, seed=0),
        random_boxes(12, 2, 6, seed=1),
        random_boxes(25, 4, 40, seed=2),
        random_boxes(12, 40, 90, seed=3),
        random_boxes(60, 2, 5, seed=4, spread=0.3),
        random_boxes(40, 2, 60, seed=5, spread=0.4),
        random_boxes(30, 2, 12, seed=6).round(),
        (random_boxes(40, 2, 12, seed=7, spread=0.4) * 2).round() / 2,
        random_boxes(12, 3, 8, seed=8).repeat(3, 1),
        boxes_around(torch.rand(12, 2) * 60, torch.tensor([[2.0, 50.0], [60.0, 2.5]]).repeat(6, 1)),
        torch.zeros(0, 4),
    ],
    ids=[
        *("one", "tiny", "mixed", "large", "crowd of tiny", "crowd", "whole pixels", "half pixels"),
        *("each three times", "thin", "none"),
    ],
)
@pytest.mark.parametrize("radius", [1.5, 1.0])
def test_it_is_what_the_definition_says(boxes, radius):
    # In eighths of a pixel, so that no distance is rounded and equal ones are equal.
    boxes = (boxes * 8).round() / 8

    owners, forced = assigned(boxes, radius=radius)

    expected, expected_forced = fcos_reference.assign(
        STRIDES, GRID.shapes, boxes.double().tolist(), RANGES, radius
    )
    assert owners.tolist() == [len(boxes) if m is None else m for m in expected]
    assert forced.tolist() == expected_forced


@pytest.mark.parametrize("seed", range(5))
def test_it_is_torchvisions_where_the_rules_agree(seed):
    """Without rule 2, and for boxes of clearly different areas; torchvision's ranges are wider."""
    boxes = random_boxes(30, 6, 80, seed)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sort()
    boxes = boxes[areas.indices[torch.cat([torch.tensor([True]), areas.values.diff() > 16])]]
    boxes = boxes[torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed))]
    ranges = [(0.0, 32.0), (32.0, 64.0), (64.0, float("inf"))]
    anchors = torch.cat([cells.tensor for cells in GRID.level_cells()])
    stand_in = SimpleNamespace(
        center_sampling_radius=1.5,
        head=SimpleNamespace(compute_loss=lambda targets, outputs, anchors, matched: matched),
    )

    owners, forced = assigned(boxes, ranges)

    (theirs,) = FCOS.compute_loss(stand_in, [{"boxes": boxes}], {}, [anchors], GRID.sizes)
    theirs[theirs < 0] = len(boxes)
    assert (owners[~forced] < len(boxes)).sum() > 100
    assert torch.equal(owners[~forced], theirs[~forced])


@pytest.mark.parametrize("side", [2.0, 2.5, 3.0, 5.0])
def test_every_object_gets_a_location_less_than_a_stride_away_wherever_it_lies(side):
    shift = torch.arange(0, 4, 0.25)
    offsets = torch.cartesian_prod(shift, shift)  # (256, 2)
    corners = 20 + 20 * torch.cartesian_prod(torch.arange(16), torch.arange(16))
    grid = LocationGrid(STRIDES, [(384 // s, 384 // s) for s in STRIDES], torch.device("cpu"))
    boxes = boxes_around(corners + offsets, [[side, side]])

    owners, forced = assigned(boxes, grid=grid)

    assert owners.unique().tolist() == list(range(257))
    assert 0 < forced.sum() < 256 or side == 5.0
    found = torch.cat(grid.level_centers())[forced]
    away = (found - (corners + offsets)[owners[forced]]).abs()
    assert (away <= 2).all()


def test_a_tiny_object_gets_the_nearest_location():
    # Between the locations (18, 18) and (22, 18); no location lies in the box.
    owners, forced = assigned([[18.5, 17.0, 20.5, 19.0]])

    assert locations_of(owners, 0) == [(18, 18)]
    assert forced.sum() == 1


def test_a_long_object_looks_on_its_own_level():
    owners, forced = assigned([[33.0, 4.0, 35.0, 60.0]])

    # Half of 56 px: stride 8, whose columns lie at 28 and 36; 2 px to the side of the centre.
    assert locations_of(owners, 0) == [(36, 28)]
    assert forced.sum() == 1


def test_two_tiny_objects_at_one_location_get_one_each():
    larger, smaller = [19.0, 19.0, 21.25, 21.0], [19.25, 19.0, 21.0, 21.0]

    owners, forced = assigned([larger, smaller])

    # All four neighbours of (20, 20) are near; the smaller chooses first, and of equals the first.
    assert locations_of(owners, 1) == [(22, 18)]
    assert locations_of(owners, 0) == [(22, 22)]
    assert forced.sum() == 2


def test_nobody_loses_its_only_location():
    # The first has (18, 18) alone; the second lies nearest to it, but not on it.
    first, second = [17.0, 17.0, 19.5, 19.5], [18.25, 18.25, 20.0, 20.0]

    owners, forced = assigned([first, second])

    assert locations_of(owners, 0) == [(18, 18)]
    assert locations_of(owners, 1) == [(22, 18)]
    assert CENTERS[forced].tolist() == [[22, 18]]


def test_a_tiny_object_takes_the_nearest_of_a_large_ones_locations():
    large, tiny = [4.0, 4.0, 32.0, 32.0], [18.25, 18.25, 20.5, 20.5]

    owners, forced = assigned([large, tiny])

    without = assigned([large])[0]
    # (18, 18) is the large one's nearest
    assert locations_of(owners, 1) == [(22, 18)]
    assert set(locations_of(owners, 0)) == set(locations_of(without, 0)) - {(22, 18)}
    assert forced.sum() == 1


def test_an_object_under_smaller_ones_gets_one_of_its_own():
    small = boxes_around([[x, y] for y in (14.0, 18, 22) for x in (14.0, 18, 22)], [[3.0, 3.0]])
    large = torch.tensor([[9.0, 9.0, 27.0, 27.0]])
    alone = assigned(large)[0]

    owners, forced = assigned(torch.cat([large, small]))

    assert (alone == 0).sum() == 9
    assert owners.unique().tolist() == list(range(11))
    assert locations_of(owners, 0) == [(18, 10)]  # the nearest of equals; the 9 are only ones
    assert forced.sum() == 1


def test_copies_of_an_object_share_its_locations():
    owners, _ = assigned([[10.0, 10.0, 18.0, 16.0]] * 3)

    assert owners.unique().tolist() == [0, 1, 2, 3]


def test_more_objects_than_places_leave_some_without_but_nothing_else():
    owners, forced = assigned([[19.0, 19.0, 21.0, 21.0]] * 50)

    # 4 locations less than 6 px away at stride 4 (14 to 26, open), and so on at strides 8 and 16.
    assert forced.sum() == len(owners.unique()) - 1
    assert 20 < forced.sum() < 50
    assert owners[forced].unique().tolist() == list(range(int(forced.sum())))


@pytest.mark.parametrize(
    "box",
    [
        [20.0, 20.0, 20.0, 30.0],
        [20.0, 20.0, 20.0, 20.0],
        [30.0, 30.0, 20.0, 20.0],
        [500.0, 20.0, 505.0, 25.0],
        [-50.0, -50.0, -45.0, -45.0],
        [float("nan"), 20.0, 25.0, 25.0],
        [10.0, 10.0, float("inf"), 20.0],
        [-float("inf"), 10.0, float("inf"), 20.0],
    ],
    ids=["no width", "point", "turned round", "right", "above", "nan", "infinite", "everywhere"],
)
def test_what_is_no_object_gets_nothing_and_changes_nothing(box):
    others = [[10.0, 12.0, 17.0, 30.0], [40.0, 20.0, 42.0, 22.0]]

    owners, forced = assigned([box, *others])

    expected, expected_forced = assigned(others)
    assert torch.equal(owners, expected + 1)
    assert torch.equal(forced, expected_forced)


def test_objects_across_the_border_have_locations_inside():
    owners, _ = assigned([[-10.0, -10.0, 1.0, 1.0], [95.5, 63.0, 120.0, 90.0], [-1.5, 20, 0.5, 22]])

    assert owners.unique().tolist() == [0, 1, 2, 3]


class LargestTensor(TorchDispatchMode):
    """Notes the largest number of elements that any operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else [made]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return made


@pytest.mark.parametrize(("least", "most"), [(2, 2.01), (2, 20), (2, 200)])
def test_a_thousand_objects_all_get_locations_without_a_matrix(least, most):
    strides = (4, 8, 16, 32, 64)
    grid = LocationGrid(strides, [(448 // s, 640 // s) for s in strides], torch.device("cpu"))
    boxes = random_boxes(1000, least, most, seed=0)
    sides = boxes[:, 2:] - boxes[:, :2]
    boxes = boxes_around((boxes[:, :2] + sides / 2) * (640 / WIDTH), sides)

    with LargestTensor() as largest:
        owners, _ = assigned(boxes, level_ranges(strides), grid=grid)

    assert owners.unique().tolist() == list(range(1001))
    assert len(grid) == 23870
    assert largest.elements < len(boxes) * len(grid) / 100
