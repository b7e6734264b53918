"""What locations have to predict: literal distances and centerness, labels, regions to ignore."""

import math

import pytest
import torch
from detectron2.structures import Boxes, Instances

from scale_match.core.errors import InputError
from scale_match.modeling.fcos_locations import LocationGrid, level_ranges
from scale_match.modeling.fcos_targets import label_locations

torch.set_num_threads(1)

GRID = LocationGrid((4, 8), [(8, 12), (4, 6)], torch.device("cpu"))
CENTERS = torch.cat(GRID.level_centers())


def targets_of(boxes, classes, ignore_overlap=0.5):
    instances = Instances((32, 48))
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return label_locations(
        GRID,
        instances,
        num_classes=3,
        size_ranges=level_ranges((4, 8)),
        radius=1.5,
        ignore_overlap=ignore_overlap,
    )


def test_locations_lie_in_the_centres_of_their_cells():
    assert [centers[0].tolist() for centers in GRID.level_centers()] == [[2, 2], [4, 4]]
    assert CENTERS[[1, 12, 95, 96 + 7]].tolist() == [[6, 2], [2, 6], [46, 30], [12, 12]]
    assert GRID.firsts == [0, 96]
    assert len(GRID) == 120
    assert GRID.location_strides()[[0, 95, 96, 119]].tolist() == [4, 4, 8, 8]
    assert GRID.level_cells()[1].tensor[7].tolist() == [8, 8, 16, 16]


def test_targets_of_an_object_are_these():
    targets = targets_of([[12.0, 13.0, 20.0, 22.0]], [2])

    # Centre (16, 17.5), less than 6 px from it and inside: x 14 and 18, y 14 and 18.
    assert CENTERS[targets.positives].tolist() == [[14, 14], [18, 14], [14, 18], [18, 18]]
    assert targets.labels[targets.positives].tolist() == [2] * 4
    assert (targets.labels == 3).sum() == len(GRID) - 4
    pixels = [[2, 1, 6, 8], [6, 1, 2, 8], [2, 5, 6, 4], [6, 5, 2, 4]]
    assert torch.equal(targets.distances, torch.tensor(pixels) / 4.0)
    first, last = math.sqrt(2 / 6 * (1 / 8)), math.sqrt(2 / 6 * (4 / 5))
    assert targets.centerness.tolist() == pytest.approx([first, first, last, last])


def test_distances_are_in_strides_of_the_level():
    targets = targets_of([[0.0, 0.0, 48.0, 32.0]], [0])

    assert (targets.positives >= 96).all()  # more than 16 px to a side: the level of stride 8
    (middle,) = (CENTERS[targets.positives] == torch.tensor([20, 12])).all(dim=1).nonzero()[:, 0]
    assert targets.distances[middle].tolist() == [20 / 8, 12 / 8, 28 / 8, 20 / 8]


def test_a_location_outside_of_its_box_has_negative_distances_and_full_centerness():
    targets = targets_of([[19.5, 19.25, 21.5, 21.25]], [1])

    assert CENTERS[targets.positives].tolist() == [[22, 22]]
    assert targets.distances.tolist() == [[2.5 / 4, 2.75 / 4, -0.5 / 4, -0.75 / 4]]
    assert targets.centerness.tolist() == [1]
    assert targets.labels[targets.positives].tolist() == [1]


def test_an_image_without_objects_is_background():
    targets = targets_of([], [])

    assert (targets.labels == 3).all()
    assert targets.distances.shape == (0, 4)
    assert len(targets.positives) == len(targets.centerness) == 0


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_background_in_a_region_has_no_label(share):
    person, region = [16.0, 8.0, 22.0, 14.0], [9.0, 3.0, 30.5, 21.0]

    plain, masked = targets_of([person], [1]), targets_of([region, person], [-1, 1], share)

    cells = torch.cat([cells.tensor for cells in GRID.level_cells()])
    sides = torch.minimum(cells[:, 2:], torch.tensor(region[2:])) - torch.maximum(
        cells[:, :2], torch.tensor(region[:2])
    )
    shares = sides.clamp(min=0).prod(dim=1) / (cells[:, 2:] - cells[:, :2]).prod(dim=1)
    inside = (shares > share) & (plain.labels == 3)
    assert 20 < inside.sum() < 60
    assert torch.equal(masked.labels, plain.labels.masked_fill(inside, -1))
    assert torch.equal(masked.positives, plain.positives)
    assert torch.equal(masked.distances, plain.distances)
    assert len(plain.positives) > 0


def test_regions_alone_leave_nothing_to_learn_in_them():
    targets = targets_of([[-9.0, -9.0, 99.0, 99.0]], [-1])

    assert (targets.labels == -1).all()
    assert len(targets.positives) == 0


def test_ranges_are_four_strides_unless_others_are_given():
    inf = math.inf
    adap = ((-1, 16), (16, 32), (32, 64), (64, 128), (128, inf))
    assert level_ranges((4, 8, 16, 32, 64)) == adap
    assert level_ranges((4, 8, 16)) == ((-1, 16), (16, 32), (32, inf))
    assert level_ranges((4,)) == ((-1, inf),)
    assert level_ranges((4, 8), [[-1, 10], [8, 1e8]]) == ((-1, 10), (8, 1e8))


@pytest.mark.parametrize(
    "ranges",
    [
        [[-1, 16]],
        [[-1, 16], [16, 32], [32, 64]],
        [[-1, 16], [16, 16]],
        [[-1, 32], [0, 32]],
        [[-1, 16, 20], [16, 32]],
        [[-1, 16], [16, math.nan]],
    ],
    ids=["too few", "too many", "empty", "not ascending", "three numbers", "nan"],
)
def test_illegal_ranges_are_refused(ranges):
    message = r"SIZE_RANGES\) must be .* for each of the 2 levels, received \[\[-1, .*leave them"
    with pytest.raises(InputError, match=message):
        level_ranges((4, 8), ranges)
