import pytest
import torch
from detectron2.structures import Boxes, Instances

from scale_match.modeling.anchor_grid import AnchorGrid
from scale_match.modeling.ignored_regions import anchors_inside, boxes_inside, split_regions


def grid_of(*anchors):
    """Anchors of 4 x 4 px at one row of cells, 4 px apart."""
    return AnchorGrid([Boxes(torch.tensor(anchors, dtype=torch.float32))], [1])


ROW = [[4.0 * column, 0.0, 4.0 * column + 4, 4.0] for column in range(5)]


def regions(*boxes):
    return Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))


@pytest.mark.parametrize(
    ("region", "least", "expected"),
    [
        ([4, 0, 12, 4], 0.5, [0, 1, 1, 0, 0]),
        # half of the first and of the last: not more than half
        ([2, 0, 10, 4], 0.5, [0, 1, 0, 0, 0]),
        ([1.9, 0, 10.1, 4], 0.5, [1, 1, 1, 0, 0]),
        ([0, 0, 20, 2.1], 0.5, [1, 1, 1, 1, 1]),
        ([0, 0, 20, 1.9], 0.5, [0, 0, 0, 0, 0]),
        ([3, 0, 9, 1], 0.0, [1, 1, 1, 0, 0]),
        ([-99, -99, 999, 999], 0.9, [1, 1, 1, 1, 1]),
        ([50, 50, 60, 60], 0.0, [0, 0, 0, 0, 0]),
    ],
)
def test_an_anchor_is_inside_by_the_share_of_its_own_area(region, least, expected):
    assert anchors_inside(grid_of(*ROW), regions(region), least).int().tolist() == expected
    assert boxes_inside(regions(*ROW), regions(region), least).int().tolist() == expected


def test_what_two_regions_cover_is_not_added_up():
    halves = [0, 0, 2, 4], [2, 0, 4, 4]
    assert not anchors_inside(grid_of(*ROW), regions(*halves)).any()
    assert not boxes_inside(regions(*ROW), regions(*halves)).any()


def test_without_regions_no_anchor_is_inside():
    assert anchors_inside(grid_of(*ROW), regions()).tolist() == [False] * 5
    assert boxes_inside(regions(*ROW), regions()).tolist() == [False] * 5


def test_no_box_and_a_box_without_area_are_inside_of_nothing():
    everything = regions([-99, -99, 99, 99])
    assert boxes_inside(regions(), everything).tolist() == []
    assert boxes_inside(regions([3, 3, 3, 9]), everything).tolist() == [False]


def test_ground_truth_is_taken_apart_by_class():
    truth = Instances((9, 9))
    truth.gt_boxes = regions([0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3])
    truth.gt_classes = torch.tensor([0, -1, 4])

    objects, ignored = split_regions(truth)

    assert objects.gt_classes.tolist() == [0, 4]
    assert objects.gt_boxes.tensor[:, 2].tolist() == [1, 3]
    assert ignored.tensor.tolist() == [[0, 0, 2, 2]]
