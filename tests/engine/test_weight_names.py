import pytest

from scale_match.engine.weight_names import family_of, naming_of, new_names


@pytest.mark.parametrize(
    ("names", "naming"),
    [
        (["backbone.bottom_up.stem.conv1.weight"], "detectron2"),
        (["stem.conv1.weight", "res2.0.conv1.weight"], "detectron2 zoo"),
        (["conv1.weight", "layer1.0.conv1.weight", "fc.bias"], "torchvision"),
        (["backbone.conv1.weight", "backbone.layer1.0.conv1.weight"], "mmdetection"),
        (["neck.lateral_convs.0.conv.weight"], "mmdetection"),
        (["bbox_head.retina_cls.weight"], "mmdetection"),
        (["backbone.body.stem.conv1.weight"], "maskrcnn_benchmark"),
        (["weight", "bias"], "detectron2"),
        ([], "detectron2"),
    ],
)
def test_a_naming_is_told_from_the_names(names, naming):
    assert naming_of(names) == naming


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (["head.cls_score.weight", "head.bbox_pred.weight"], "RetinaNet"),
        (["head.cls_score.weight", "head.ctrness.weight"], "FCOS"),
        (["proposal_generator.rpn_head.conv.weight"], "Faster R-CNN"),
        (["roi_heads.box_head.fc1.weight"], "Faster R-CNN"),
        (["backbone.bottom_up.stem.conv1.weight"], ""),
    ],
)
def test_a_family_is_told_from_the_head(names, family):
    assert family_of(names) == family


def renamed(naming, *names):
    return [name and name.removeprefix("backbone.") for name in new_names(naming, names).values()]


def test_the_parts_of_a_torchvision_resnet():
    assert renamed(
        "torchvision",
        "conv1.weight",
        "bn1.running_mean",
        "layer1.0.conv3.weight",
        "layer2.11.bn2.bias",
        "layer4.0.downsample.0.weight",
        "layer4.0.downsample.1.running_var",
        "fc.weight",
    ) == [
        "bottom_up.stem.conv1.weight",
        "bottom_up.stem.conv1.norm.running_mean",
        "bottom_up.res2.0.conv3.weight",
        "bottom_up.res3.11.conv2.norm.bias",
        "bottom_up.res5.0.shortcut.weight",
        "bottom_up.res5.0.shortcut.norm.running_var",
        None,
    ]


def test_mmdetection_counts_pyramid_levels_from_the_finest():
    from_res2 = [f"neck.lateral_convs.{k}.conv.weight" for k in range(4)]
    from_res2 += [f"neck.fpn_convs.{k}.conv.bias" for k in range(5)]
    assert renamed("mmdetection", *from_res2) == [
        *(f"fpn_lateral{k}.weight" for k in range(2, 6)),
        *(f"fpn_output{k}.bias" for k in range(2, 6)),
        "top_block.p6.bias",
    ]
    from_res3 = [f"neck.lateral_convs.{k}.conv.weight" for k in range(3)]
    from_res3 += [f"neck.fpn_convs.{k}.conv.bias" for k in range(5)]
    assert renamed("mmdetection", *from_res3) == [
        *(f"fpn_lateral{k}.weight" for k in range(3, 6)),
        *(f"fpn_output{k}.bias" for k in range(3, 6)),
        "top_block.p6.bias",
        "top_block.p7.bias",
    ]


def test_a_tower_without_norms_counts_convolutions_and_relus():
    names = [f"bbox_head.{b}_convs.{k}.conv.weight" for b in ("cls", "reg") for k in range(2)]
    assert renamed("mmdetection", *names) == [
        "head.cls_subnet.0.weight",
        "head.cls_subnet.2.weight",
        "head.bbox_subnet.0.weight",
        "head.bbox_subnet.2.weight",
    ]


def test_a_tower_with_norms_counts_these_too():
    names = [f"bbox_head.cls_convs.1.{part}" for part in ("conv.weight", "gn.weight")]
    assert renamed("mmdetection", *names) == [
        "head.cls_subnet.3.weight",
        "head.cls_subnet.4.weight",
    ]


def test_the_outputs_of_mmdetection():
    assert renamed(
        "mmdetection",
        "bbox_head.retina_reg.bias",
        "bbox_head.conv_centerness.weight",
        "bbox_head.scales.3.scale",
        "rpn_head.rpn_cls.weight",
        "roi_head.bbox_head.shared_fcs.1.weight",
        "roi_head.bbox_head.fc_reg.bias",
        "roi_head.mask_head.convs.0.weight",
    ) == [
        "head.bbox_pred.bias",
        "head.ctrness.weight",
        "head.scales.3.scale",
        "proposal_generator.rpn_head.objectness_logits.weight",
        "roi_heads.box_head.fc2.weight",
        "roi_heads.box_predictor.bbox_pred.bias",
        None,
    ]


def test_one_name_of_maskrcnn_benchmark_means_two_things():
    dense = new_names(
        "maskrcnn_benchmark", ["rpn.head.cls_tower.0.bias", "rpn.head.bbox_pred.bias"]
    )
    assert list(dense.values()) == ["head.cls_subnet.0.bias", "head.bbox_pred.bias"]
    proposals = new_names("maskrcnn_benchmark", ["rpn.head.conv.bias", "rpn.head.bbox_pred.bias"])
    assert list(proposals.values()) == [
        "proposal_generator.rpn_head.conv.bias",
        "proposal_generator.rpn_head.anchor_deltas.bias",
    ]


def test_the_pyramid_of_maskrcnn_benchmark():
    assert renamed(
        "maskrcnn_benchmark",
        "backbone.fpn.fpn_inner1.weight",
        "backbone.fpn.fpn_layer4.bias",
        "backbone.fpn.fpn_inner2.0.weight",
        "backbone.fpn.fpn_inner2.1.bias",
        "backbone.fpn.top_blocks.p7.weight",
        "backbone.body.stem.bn1.weight",
        "roi_heads.box.feature_extractor.fc6.bias",
    ) == [
        "fpn_lateral2.weight",
        "fpn_output5.bias",
        "fpn_lateral3.weight",
        "fpn_lateral3.norm.bias",
        "top_block.p7.weight",
        "bottom_up.stem.conv1.norm.weight",
        "roi_heads.box_head.fc1.bias",
    ]


def test_names_of_detectron2_stay_and_those_of_its_zoo_get_their_place():
    assert renamed("detectron2", "anything.weight") == ["anything.weight"]
    assert renamed(
        "detectron2 zoo", "stem.conv1.weight", "res4.5.conv1.norm.bias", "fc1000.weight"
    ) == ["bottom_up.stem.conv1.weight", "bottom_up.res4.5.conv1.norm.bias", None]
