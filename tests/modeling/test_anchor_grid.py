"""Labels from the pairs that overlap equal those from the matrix of all pairs."""

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, pairwise_iou

from scale_match.modeling import anchor_grid
from scale_match.modeling.anchor_grid import AnchorGrid
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.matcher import OverlapMatcher

RETINANET = {"thresholds": [0.4, 0.5], "labels": [0, -1, 1], "allow_low_quality_matches": True}
RPN = {
    "thresholds": [0.3, 0.7],
    "labels": [0, -1, 1],
    "allow_low_quality_matches": True,
    "min_low_quality_iou": 0.3,
}
WIDTH, HEIGHT = 160, 96


def anchors_of(levels=None, width=WIDTH, height=HEIGHT, offset=0.0):
    levels = PyramidLevels() if levels is None else levels
    generator = DefaultAnchorGenerator(
        sizes=[list(sizes) for sizes in levels.anchor_sizes],
        aspect_ratios=list(levels.aspect_ratios),
        strides=list(levels.strides),
        offset=offset,
    )
    # A backbone rounds up where a stride does not divide the image.
    features = [torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in levels.strides]
    return generator(features), [levels.num_anchors] * len(levels.strides)


def random_boxes(number, seed, largest=20.0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(number, 2, generator=generator) * torch.tensor([WIDTH, HEIGHT])
    sides = 2 + (largest - 2) * torch.rand(number, 2, generator=generator)
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=1)


def assert_equal_to_the_matrix(boxes, rules, anchors=None, cell_anchors=None):
    if anchors is None:
        anchors, cell_anchors = anchors_of()
    matcher = OverlapMatcher(**rules)
    expected = matcher(pairwise_iou(Boxes(boxes), Boxes.cat(anchors)))
    matches, labels = matcher.match_grid(anchors, cell_anchors, Boxes(boxes))
    assert torch.equal(matches, expected[0])
    assert torch.equal(labels, expected[1])
    assert (matches.dtype, labels.dtype) == (torch.int64, torch.int8)
    return labels


@pytest.mark.parametrize("rules", [RETINANET, RPN], ids=["retinanet", "rpn"])
@pytest.mark.parametrize("seed", range(4))
def test_random_boxes(rules, seed):
    labels = assert_equal_to_the_matrix(random_boxes(40, seed), rules)
    assert {-1, 0, 1} == set(labels.unique().tolist())


@pytest.mark.parametrize("rules", [RETINANET, RPN], ids=["retinanet", "rpn"])
def test_large_boxes(rules):
    assert_equal_to_the_matrix(random_boxes(15, 7, largest=300.0), rules)


def test_a_crowd_of_equal_and_half_pixel_boxes_ties_as_in_the_matrix():
    boxes = random_boxes(300, 3).mul(2).round().div(2)
    boxes = torch.cat([boxes, boxes[:100], boxes[50:90]])
    assert_equal_to_the_matrix(boxes, RETINANET)


def test_boxes_that_are_anchors_tie_between_anchors():
    anchors, _ = anchors_of()
    boxes = torch.cat([anchors[0].tensor[600:660], anchors[2].tensor[20:40]])
    # Shifted by half a stride: two anchors are equally good.
    boxes = torch.cat([boxes, boxes + torch.tensor([2.0, 0.0, 2.0, 0.0])])
    assert_equal_to_the_matrix(boxes, RETINANET)


DEGENERATE = {
    "a point": [10.0, 10.0, 10.0, 10.0],
    "a line": [10.0, 10.0, 30.0, 10.0],
    "outside": [-50.0, -50.0, -40.0, -45.0],
    "far outside": [1e6, 1e6, 1e6 + 5, 1e6 + 5],
    "touching an edge of the anchors": [-8.0, 0.0, -4.0, 4.0],
    "a hundredth of a pixel": [40.0, 40.0, 40.01, 40.01],
    "everything": [-1000.0, -1000.0, 1000.0, 1000.0],
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("rules", [RETINANET, RPN], ids=["retinanet", "rpn"])
def test_a_degenerate_box_alone_and_among_others(name, rules):
    box = torch.tensor([DEGENERATE[name]])
    assert_equal_to_the_matrix(box, rules)
    others = random_boxes(5, 1)
    assert_equal_to_the_matrix(torch.cat([others[:2], box, others[2:]]), rules)


def test_without_boxes_every_anchor_is_background():
    labels = assert_equal_to_the_matrix(torch.zeros(0, 4), RETINANET)
    assert not labels.any()


@pytest.mark.parametrize(
    "size",
    [(64, 64), (65, 70), (4, 4), (640, 8), (8, 640)],
    ids=lambda size: "x".join(map(str, size)),
)
def test_images_of_any_size(size):
    anchors, cell_anchors = anchors_of(width=size[0], height=size[1])
    assert_equal_to_the_matrix(random_boxes(30, 5), RETINANET, anchors, cell_anchors)


@pytest.mark.parametrize(
    "levels",
    [
        PyramidLevels(strides=(8, 16, 32, 64, 128), anchor_scale=4),
        PyramidLevels(scales_per_octave=1),
        PyramidLevels(strides=(4,), aspect_ratios=(1.0,), scales_per_octave=1),
    ],
    ids=["usual", "one size", "one anchor"],
)
def test_other_pyramids(levels):
    assert_equal_to_the_matrix(random_boxes(30, 5), RETINANET, *anchors_of(levels, offset=0.5))


def test_chunks_of_boxes_change_nothing(monkeypatch):
    boxes = torch.cat([random_boxes(60, 2), random_boxes(5, 3, largest=200.0)])
    monkeypatch.setattr(anchor_grid, "_CHUNK_PAIRS", 500)
    assert_equal_to_the_matrix(boxes, RETINANET)
    assert len(list(AnchorGrid(*anchors_of()).met_by(boxes))) > 10


def test_a_tiny_box_is_compared_with_few_anchors():
    grid = AnchorGrid(*anchors_of(width=640, height=512))
    boxes = torch.tensor([[100.0, 100.0, 108.0, 108.0]])
    (pairs,) = grid.met_by(boxes)
    assert len(grid) == 245520
    assert len(pairs.iou) < 1000


def test_low_quality_matches_start_at_the_given_iou():
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 10.0, 10.0]]))]
    box = Boxes(torch.tensor([[0.0, 0.0, 5.0, 5.0]]))  # IoU 0.25
    rules = {**RPN, "min_low_quality_iou": 0.25}
    assert OverlapMatcher(**rules).match_grid(anchors, [1], box)[1].tolist() == [1]
    rules = {**RPN, "min_low_quality_iou": 0.26}
    assert OverlapMatcher(**rules).match_grid(anchors, [1], box)[1].tolist() == [0]


def test_anchors_that_are_no_grid_are_refused():
    anchors = [Boxes(torch.rand(12, 4) * 50)]
    with pytest.raises(ValueError, match="12 anchors with 2 a cell are not a regular grid"):
        AnchorGrid(anchors, [2])
