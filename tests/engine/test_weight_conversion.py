import pytest
import torch
from torchvision.models import resnet18, resnet50

from engine.weight_samples import STRIDES, detector, fill, state_of, unequal
from oracles import foreign_checkpoints as foreign
from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.weight_conversion import (
    HeadLayout,
    convert_weights,
    layout_of,
    zoo_weights,
)

SIZES = [[8 * 2 ** (k / 3) * stride / 4 for k in range(3)] for stride in STRIDES]


@pytest.fixture(scope="module")
def models():
    """A model of each kind as it is when the file is written; nobody changes them."""
    return {kind: detector(kind) for kind in ("retinanet", "fcos", "faster_rcnn")}


def load(content, path, model, **options):
    torch.save(content, path)
    checkpointer = AtomicCheckpointer(model)
    checkpointer.load(path, checkpointables=[], **options)
    return checkpointer.report


MMDETECTION_HEADS = {
    "retinanet": foreign.mmdetection_retinanet_head,
    "fcos": foreign.mmdetection_fcos_head,
    "faster_rcnn": foreign.mmdetection_faster_rcnn_head,
}


@pytest.mark.parametrize("kind", MMDETECTION_HEADS)
def test_a_checkpoint_of_mmdetection_gives_the_same_model_to_the_last_bit(models, tmp_path, kind):
    state = state_of(models[kind])
    file = foreign.mmdetection_file(state, "small", MMDETECTION_HEADS[kind](state))
    other = detector(kind, seed=1)
    assert unequal(state, other.state_dict())
    report = load(file, tmp_path / "epoch_12.pth", other, all_needed=True)
    assert unequal(state, other.state_dict()) == []
    assert report.naming == "mmdetection"
    assert (report.dropped, report.missing, report.unused) == ((), (), ())
    image = [{"image": torch.rand(3, 64, 64) * 255, "height": 64, "width": 64}]
    with torch.no_grad():
        first, second = models[kind](image)[0]["instances"], other(image)[0]["instances"]
    assert len(first)
    assert torch.equal(first.pred_boxes.tensor, second.pred_boxes.tensor)
    assert torch.equal(first.scores, second.scores)


def test_a_checkpoint_of_maskrcnn_benchmark_gives_the_same_faster_rcnn(models, tmp_path):
    state = state_of(models["faster_rcnn"])
    head = foreign.benchmark_faster_rcnn_head(state)
    other = detector("faster_rcnn", seed=1)
    report = load(foreign.benchmark_file(state, "small", head), tmp_path / "w.pth", other)
    different = unequal(state, other.state_dict())
    # The variances were given and have lost an epsilon in float32.
    assert all(name.endswith(("running_var", "num_batches_tracked")) for name in different)
    for name in different:
        torch.testing.assert_close(state[name], other.state_dict()[name], rtol=0, atol=1e-6)
    assert report.naming == "maskrcnn_benchmark"
    assert (report.dropped, report.missing, report.unused) == ((), (), ())
    assert "x2 - x1 + 1" in report.describe()


def test_a_checkpoint_of_maskrcnn_benchmark_gives_the_same_retinanet(tmp_path):
    # The coarsest level of the authors' model is pooled, and its anchors lie half a stride off.
    options = {"extra_levels": "max_pool", "offset": 0.5}
    model, other = detector("retinanet", **options), detector("retinanet", seed=1, **options)
    state = state_of(model)
    head = foreign.benchmark_retinanet_head(state)
    head |= foreign.benchmark_cell_anchors(STRIDES, SIZES, (0.5, 1.0, 2.0))
    report = load(foreign.benchmark_file(state, "small", head), tmp_path / "w.pth", other)
    for name in unequal(state, other.state_dict()):
        # Boxes had been multiplied by 10 or 5.
        assert name.endswith(("running_var", "num_batches_tracked")) or "bbox_pred" in name
        torch.testing.assert_close(state[name], other.state_dict()[name], rtol=2e-7, atol=1e-6)
    assert (report.dropped, report.missing, report.unused) == ((), (), ())


def test_an_fcos_of_maskrcnn_benchmark_gives_what_means_the_same(models, tmp_path):
    state = state_of(models["fcos"])
    file = foreign.benchmark_file(state, "small", foreign.benchmark_fcos_head(state))
    other = detector("fcos", seed=1)
    before = state_of(other)
    report = load(file, tmp_path / "w.pth", other)
    after = other.state_dict()
    left_out = {name for name in after if name.startswith(("head.bbox_pred", "head.scales"))}
    left_out |= {"head.ctrness.weight", "head.ctrness.bias"}
    assert set(report.missing) == left_out
    assert unequal({name: before[name] for name in left_out}, after) == []
    towers = [name for name in after if "subnet" in name or "cls_score" in name]
    assert unequal({name: state[name] for name in towers}, after) == []
    assert "left out: its boxes are exp(x)" in report.describe()
    assert "the branch of the classes" in report.describe()
    with pytest.raises(InputError, match=r"nothing may start anew here: no head\.bbox_pred"):
        load(file, tmp_path / "w.pth", other, all_needed=True)


def meta(**changes):
    head = {"norm_on_bbox": True, "centerness_on_reg": True, **changes}
    text = (
        "model = dict(type='FCOS', bbox_head=dict(type='FCOSHead', strides=[4, 8, 16, 32, 64], "
        "regress_ranges=((-1, 16), (16, 32), (32, 64), (64, 128), (128, 1e8)), "
        f"norm_on_bbox={head['norm_on_bbox']}, centerness_on_reg={head['centerness_on_reg']}))\n"
    )
    return {"config": text}


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({}, set()),
        ({"norm_on_bbox": False}, {"head.bbox_pred", "head.scales"}),
        ({"centerness_on_reg": False}, {"head.ctrness"}),
    ],
)
def test_an_fcos_of_mmdetection_is_taken_by_what_its_config_says(
    models, tmp_path, changes, left_out
):
    state = state_of(models["fcos"])
    head = foreign.mmdetection_fcos_head(state)
    report = load(
        foreign.mmdetection_file(state, "small", head, meta(**changes)),
        tmp_path / "w.pth",
        detector("fcos", seed=1),
    )
    assert {".".join(name.split(".")[:2]) for name in report.missing} == left_out


@pytest.mark.parametrize("depth", [18, 50])
def test_imagenet_weights_of_torchvision_give_the_same_features(tmp_path, depth):
    network = {18: resnet18, 50: resnet50}[depth]().eval()
    fill(network, 3)
    model = detector("retinanet", depth=depth, norm="FrozenBN")
    report = load(network.state_dict(), tmp_path / "resnet.pth", model)
    assert report.naming == "torchvision"
    assert (report.unused, report.dropped) == ((), ())
    assert all(not name.startswith("backbone.bottom_up") for name in report.missing)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features = model.backbone.bottom_up(image)
        x = network.maxpool(network.relu(network.bn1(network.conv1(image))))
        for stage in range(1, 5):
            x = getattr(network, f"layer{stage}")(x)
            torch.testing.assert_close(features[f"res{stage + 1}"], x, rtol=1e-3, atol=1e-3)


def test_the_oracle_writes_what_torchvision_does():
    state = state_of(detector("retinanet", depth=18))
    with torch.device("meta"):
        names = set(resnet18().state_dict())
    assert set(foreign.torchvision_file(state, 18)) == names


def test_what_torchvision_expects_of_the_input_is_said(tmp_path):
    state = foreign.torchvision_file(state_of(detector("retinanet")), "small")
    text = load(state, tmp_path / "resnet.pth", detector("retinanet")).describe()
    assert "channels in the order RGB, this model has BGR (INPUT.FORMAT; model.inp" in text
    assert "a pixel mean of [123.675, 116.28, 103.53], this model has [103.53, " in text
    assert "a pixel standard deviation of [58.395, 57.12, 57.375], this model" in text


def test_what_backbones_of_detectron2s_zoo_expect_of_the_input():
    name = "backbone.bottom_up.res2.0.conv2.weight"
    resnet, resnext = {name: torch.zeros(4, 4, 3, 3)}, {name: torch.zeros(8, 2, 3, 3)}
    msra = zoo_weights(resnet, author="Caffe2").facts
    assert (msra["input_format"], msra["pixel_std"]) == ("BGR", [1.0, 1.0, 1.0])
    assert msra["stride_in_1x1"] is True
    assert zoo_weights(resnet, author="torchvision").facts["input_format"] == "RGB"
    assert zoo_weights(resnext, author="Caffe2").facts == {"family": ""}
    assert zoo_weights(resnet, author="somebody").facts == {"family": ""}


def test_weights_trained_with_batch_statistics_keep_their_variance_when_frozen(tmp_path):
    trained = detector("retinanet", norm="BN")
    AtomicCheckpointer(trained, tmp_path).save("trained")
    frozen = detector("retinanet", seed=1, norm="FrozenBN")
    AtomicCheckpointer(frozen).load(tmp_path / "trained.pth", checkpointables=[])
    state = trained.state_dict()
    assert (
        unequal({n: v for n, v in state.items() if "tracked" not in n}, frozen.state_dict()) == []
    )


def test_anchors_pass_from_ratio_and_scale_to_scale_and_ratio():
    # One output channel per anchor, named by (ratio, scale) as 10 * ratio + scale.
    theirs = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    state = {
        "neck.x": torch.zeros(1),
        "bbox_head.retina_cls.weight": theirs,
        "bbox_head.retina_reg.bias": torch.arange(24.0),
    }
    converted = convert_weights(state, layout=HeadLayout(3, 2), source="w.pth").state
    assert converted["head.cls_score.weight"].flatten().tolist() == [0, 10, 1, 11, 2, 12]
    order = [0, 3, 1, 4, 2, 5]
    expected = [4 * anchor + k for anchor in order for k in range(4)]
    assert converted["head.bbox_pred.bias"].tolist() == expected


def test_the_boxes_of_an_anchor_go_where_the_anchor_is():
    model = detector("retinanet")
    sizes, ratios = model.levels.anchor_sizes[0], model.levels.aspect_ratios
    # mmdetection's anchors of one position: for each ratio each scale.
    theirs = []
    for ratio in ratios:
        for size in sizes:
            width, height = size / ratio**0.5, size * ratio**0.5
            theirs.append([-width / 2, -height / 2, width / 2, height / 2])
    state = {"bbox_head.retina_reg.bias": torch.tensor(theirs).flatten()}
    converted = convert_weights(state, layout=layout_of(model), source="w.pth").state
    ours = next(iter(model.anchor_generator.cell_anchors))
    torch.testing.assert_close(converted["head.bbox_pred.bias"].reshape(-1, 4), ours)


def test_background_moves_to_the_end_and_loses_its_boxes():
    state = {
        "backbone.body.x": torch.zeros(1),
        "roi_heads.box.predictor.cls_score.bias": torch.tensor([9.0, 1.0, 2.0]),
        "roi_heads.box.predictor.bbox_pred.bias": torch.arange(12.0),
    }
    converted = convert_weights(state, layout=HeadLayout(1, 3), source="w.pth").state
    assert converted["roi_heads.box_predictor.cls_score.bias"].tolist() == [1, 2, 9]
    assert converted["roi_heads.box_predictor.bbox_pred.bias"].tolist() == list(range(4, 12))


def test_boxes_of_another_weighting_are_scaled():
    state = {
        "backbone.body.x": torch.zeros(1),
        "rpn.head.cls_tower.0.bias": torch.zeros(1),
        "rpn.head.bbox_pred.bias": torch.tensor([10.0, 20.0, 5.0, 10.0]),
    }
    converted = convert_weights(state, layout=None, source="w.pth").state
    assert converted["head.bbox_pred.bias"].tolist() == [1, 2, 1, 2]


def test_anchors_whose_order_cannot_be_told_are_refused():
    state = {"bbox_head.retina_reg.bias": torch.zeros(4 * 6)}
    with pytest.raises(InputError, match=r"w\.pth has 6 anchors at each position.*how many scales"):
        convert_weights(state, layout=None, source="w.pth")
    convert_weights(state, layout=HeadLayout(2, 3), source="w.pth")


@pytest.mark.parametrize("anchors", [1, 2, 3, 5, 7])
def test_a_prime_number_of_anchors_has_one_order(anchors):
    bias = torch.arange(4.0 * anchors)
    state = {"bbox_head.retina_reg.bias": bias}
    converted = convert_weights(state, layout=None, source="w.pth").state
    assert torch.equal(converted["head.bbox_pred.bias"], bias)


def test_outputs_that_are_not_of_these_anchors_stay_as_they_are():
    state = {
        "bbox_head.retina_cls.bias": torch.arange(7.0),
        "bbox_head.retina_reg.bias": torch.zeros(4 * 9),
    }
    converted = convert_weights(state, layout=None, source="w.pth").state
    assert converted["head.cls_score.bias"].tolist() == list(range(7))


def test_two_parameters_that_would_be_one_are_refused():
    state = {
        "bbox_head.retina_cls.weight": torch.zeros(9, 1),
        "bbox_head.conv_cls.weight": torch.zeros(9, 1),
    }
    with pytest.raises(InputError, match=r"w\.pth cannot be converted: bbox_head\.retina_cls\.wei"):
        convert_weights(state, layout=None, source="w.pth")


def test_names_that_mean_nothing_here_are_listed(models, tmp_path):
    state = state_of(models["retinanet"])
    head = foreign.mmdetection_retinanet_head(state)
    # A name that would be ours by chance.
    head["head.cls_score.weight"] = torch.zeros(3)
    report = load(
        foreign.mmdetection_file(state, "small", head), tmp_path / "w.pth", detector("retinanet")
    )
    assert report.unused == ("head.cls_score.weight",)
