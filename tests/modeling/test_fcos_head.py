"""The head of FCOS: shapes, names of its weights, and what it says before training."""

import pytest
import torch

from scale_match.modeling.fcos_head import FCOSHead

torch.set_num_threads(1)

SHAPES = [(8, 12), (4, 6), (2, 3)]


def small_head(**arguments):
    torch.manual_seed(0)
    settings = {
        "channels": 32,
        "num_levels": 3,
        "num_classes": 5,
        "num_convs": 2,
        "norm": "",
        "prior_prob": 0.01,
        "min_distance": -1.5,
    }
    return FCOSHead(**{**settings, **arguments})


def features(scale=1.0):
    draw = torch.Generator().manual_seed(0)
    return [scale * torch.randn(2, 32, *shape, generator=draw) for shape in SHAPES]


def test_every_location_has_logits_distances_and_centerness():
    out = small_head()(features())

    sizes = [rows * columns for rows, columns in SHAPES]
    assert [level.shape for level in out.logits] == [(2, size, 5) for size in sizes]
    assert [level.shape for level in out.distances] == [(2, size, 4) for size in sizes]
    assert [level.shape for level in out.centerness] == [(2, size, 1) for size in sizes]


def test_locations_follow_row_by_row():
    head = small_head()
    maps = {}
    head.cls_score.register_forward_hook(lambda *call: maps.setdefault(len(maps), call[2]))

    out = head(features())

    for level, (rows, columns) in enumerate(SHAPES):
        row, column = rows - 1, columns - 2
        expected = maps[level][1, :, row, column]
        assert torch.equal(out.logits[level][1, row * columns + column], expected)


def test_weights_have_the_names_of_detectron2s_heads():
    names = [name for name, _ in small_head().named_parameters()]

    layers = ("cls_subnet.0", "cls_subnet.2", "bbox_subnet.0", "bbox_subnet.2")
    layers += ("cls_score", "bbox_pred", "ctrness")
    expected = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert names == [*expected, "scales.0.scale", "scales.1.scale", "scales.2.scale"]
    assert {name for name, _ in small_head(norm="GN").named_parameters()} >= {
        "cls_subnet.1.weight",
        "cls_subnet.3.weight",
        "bbox_subnet.4.bias",
    }


def test_it_begins_with_the_prior_and_boxes_of_two_strides():
    out = small_head()(features(scale=0.1))

    scores = torch.cat(out.logits, dim=1).sigmoid()
    assert scores.mean().item() == pytest.approx(0.01, rel=0.05)
    assert torch.allclose(torch.cat(out.distances, dim=1), torch.tensor(1.0), atol=0.05)
    assert torch.cat(out.centerness, dim=1).abs().max() < 0.05


def test_each_level_has_a_factor_for_its_distances_alone():
    head = small_head()
    before = head(features())
    torch.nn.init.constant_(head.scales[1].scale, 2.0)

    after = head(features())

    assert torch.equal(after.distances[0], before.distances[0])
    assert torch.allclose(after.distances[1], 2 * before.distances[1])
    assert all(map(torch.equal, after.logits, before.logits))


@pytest.mark.parametrize("least", [0.0, -1.5])
def test_distances_have_a_lower_limit(least):
    head = small_head(min_distance=least)
    torch.nn.init.normal_(head.bbox_pred.weight, std=30.0)

    distances = torch.cat(head(features()).distances, dim=1)

    assert distances.min().item() == least
    assert distances.max().item() > 1


def test_centerness_comes_from_the_box_branch():
    head = small_head()

    sum(level.sum() for level in head(features()).centerness).backward()

    assert head.bbox_subnet[0].weight.grad is not None
    assert head.cls_subnet[0].weight.grad is None


def test_outputs_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        out = small_head()(features())

    levels = [*out.logits, *out.distances, *out.centerness]
    assert {level.dtype for level in levels} == {torch.float32}
