"""Names of parameters: other projects' namings recognised and turned into detectron2's.

Pure functions of strings. What the values need besides a new name stands in
:mod:`scale_match.engine.weight_conversion`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

__all__ = ["BACKBONE", "Family", "Naming", "family_of", "naming_of", "new_names"]

Naming = Literal["detectron2", "detectron2 zoo", "mmdetection", "maskrcnn_benchmark", "torchvision"]
Family = Literal["RetinaNet", "FCOS", "Faster R-CNN", ""]

BACKBONE = "backbone."
_BOTTOM_UP = "backbone.bottom_up."
# A pyramid's levels count from the coarsest ResNet stage, res5.
_COARSEST_STAGE = 5

_STEM = re.compile(r"^(?:stem\.)?(conv|bn)1\.(.+)$")
_BLOCK = re.compile(
    r"^layer([1-4])\.(\d+)\.(?:conv(?P<conv>\d)|bn(?P<norm>\d)|downsample\.(?P<down>[01]))\.(.+)$"
)
_PARAMETER = r"(weight|bias|running_mean|running_var|num_batches_tracked)$"
_MMDET_NECK = re.compile(rf"^neck\.(lateral|fpn)_convs\.(\d+)\.(conv|bn|gn)\.{_PARAMETER}")
_MMDET_TOWER = re.compile(rf"^bbox_head\.(cls|reg)_convs\.(\d+)\.(conv|bn|gn)\.{_PARAMETER}")
_TB_FPN = re.compile(rf"^backbone\.fpn\.fpn_(inner|layer)([1-4])\.(?:([01])\.)?{_PARAMETER}")
_TB_TOP = re.compile(r"^backbone\.fpn\.top_blocks\.(p[67]\..+)$")
_TB_TOWER = re.compile(r"^rpn\.head\.(cls|bbox)_tower\.(\d+\..+)$")

# Prefixes that need no more than another prefix.
_MMDET_PREFIXES = {
    "bbox_head.retina_cls.": "head.cls_score.",
    "bbox_head.retina_reg.": "head.bbox_pred.",
    "bbox_head.conv_cls.": "head.cls_score.",
    "bbox_head.conv_reg.": "head.bbox_pred.",
    "bbox_head.conv_centerness.": "head.ctrness.",
    "bbox_head.scales.": "head.scales.",
    "rpn_head.rpn_conv.": "proposal_generator.rpn_head.conv.",
    "rpn_head.rpn_cls.": "proposal_generator.rpn_head.objectness_logits.",
    "rpn_head.rpn_reg.": "proposal_generator.rpn_head.anchor_deltas.",
    "roi_head.bbox_head.shared_fcs.0.": "roi_heads.box_head.fc1.",
    "roi_head.bbox_head.shared_fcs.1.": "roi_heads.box_head.fc2.",
    "roi_head.bbox_head.fc_cls.": "roi_heads.box_predictor.cls_score.",
    "roi_head.bbox_head.fc_reg.": "roi_heads.box_predictor.bbox_pred.",
}
_TB_ROI_PREFIXES = {
    "roi_heads.box.feature_extractor.fc6.": "roi_heads.box_head.fc1.",
    "roi_heads.box.feature_extractor.fc7.": "roi_heads.box_head.fc2.",
    "roi_heads.box.predictor.cls_score.": "roi_heads.box_predictor.cls_score.",
    "roi_heads.box.predictor.bbox_pred.": "roi_heads.box_predictor.bbox_pred.",
}
_TB_DENSE_PREFIXES = {
    "rpn.head.cls_logits.": "head.cls_score.",
    "rpn.head.bbox_pred.": "head.bbox_pred.",
    "rpn.head.centerness.": "head.ctrness.",
    "rpn.head.scales.": "head.scales.",
}
_TB_RPN_PREFIXES = {
    "rpn.head.conv.": "proposal_generator.rpn_head.conv.",
    "rpn.head.cls_logits.": "proposal_generator.rpn_head.objectness_logits.",
    "rpn.head.bbox_pred.": "proposal_generator.rpn_head.anchor_deltas.",
}
# Names of detectron2's zoo lack what stands before them in a whole detector.
_ZOO_PREFIXES = {
    "stem.": "backbone.bottom_up.stem.",
    **{f"res{stage}.": f"backbone.bottom_up.res{stage}." for stage in range(2, 6)},
    "fpn_lateral": "backbone.fpn_lateral",
    "fpn_output": "backbone.fpn_output",
    "box_head.": "roi_heads.box_head.",
    "cls_score.": "roi_heads.box_predictor.cls_score.",
    "bbox_pred.": "roi_heads.box_predictor.bbox_pred.",
}


def naming_of(names: Collection[str]) -> Naming:
    """The project in whose naming a file is written, told from the names alone.

    Args:
        names: Without a ``module.`` before all of them.

    Returns:
        "detectron2" for whole detectors of detectron2 and for what is not known; "detectron2 zoo"
        for its backbones (``stem.conv1``, ``res2.0.conv1``).
    """
    if _any_starts(names, "backbone.bottom_up."):
        return "detectron2"
    if _any_starts(names, "backbone.body."):
        return "maskrcnn_benchmark"
    if _any_starts(names, "backbone.layer1.", "neck.", "bbox_head.", "roi_head.", "rpn_head."):
        return "mmdetection"
    if _any_starts(names, "layer1.0.conv1."):
        return "torchvision"
    if _any_starts(names, "stem.conv1.", "res2.0.conv1."):
        return "detectron2 zoo"
    return "detectron2"


def family_of(names: Collection[str]) -> Family:
    """The kind of detector whose head parameters of these names (detectron2's) belong to.

    Returns:
        "" where there is no head that is known, as in a file of a backbone.
    """
    if _any_starts(names, "proposal_generator.", "roi_heads."):
        return "Faster R-CNN"
    if _any_starts(names, "head.ctrness.", "head.scales."):
        return "FCOS"
    if _any_starts(names, "head.cls_score.", "head.bbox_pred."):
        return "RetinaNet"
    return ""


def new_names(naming: Naming, names: Collection[str]) -> dict[str, str | None]:
    """The name of each parameter in this project, which is detectron2's.

    Args:
        naming: Of :func:`naming_of`.
        names: All names of the file: what a level or a layer is called depends on the others.

    Returns:
        The new name by the old one; None where this project has nothing of that kind.
    """
    rules: Mapping[Naming, Callable[[Collection[str]], Callable[[str], str | None]]] = {
        "detectron2": lambda _: lambda name: name,
        "detectron2 zoo": lambda _: lambda name: _with_prefix(name, _ZOO_PREFIXES),
        "torchvision": lambda _: _bottom_up,
        "mmdetection": _mmdetection,
        "maskrcnn_benchmark": _maskrcnn_benchmark,
    }
    rule = rules[naming](names)
    return {name: rule(name) for name in names}


def _bottom_up(name: str) -> str | None:
    """A ResNet's parameter: ``layer1.0.bn2.weight`` is ``res2.0.conv2.norm.weight``."""
    if found := _STEM.match(name):
        norm = "norm." if found[1] == "bn" else ""
        return f"{_BOTTOM_UP}stem.conv1.{norm}{found[2]}"
    if not (found := _BLOCK.match(name)):
        return None
    block = f"{_BOTTOM_UP}res{int(found[1]) + 1}.{found[2]}"
    if found["down"] is not None:
        layer = "shortcut.norm" if found["down"] == "1" else "shortcut"
    else:
        layer = f"conv{found['conv']}" if found["conv"] else f"conv{found['norm']}.norm"
    return f"{block}.{layer}.{found[6]}"


def _mmdetection(names: Collection[str]) -> Callable[[str], str | None]:
    neck = [found for name in names if (found := _MMDET_NECK.match(name))]
    laterals = {int(found[2]) for found in neck if found[1] == "lateral"}
    has_norm = any(_MMDET_TOWER.match(name) and ".conv." not in name for name in names)
    # A tower of detectron2 counts each convolution, norm and ReLU.
    step = 3 if has_norm else 2

    def rule(name: str) -> str | None:
        if name.startswith(BACKBONE):
            return _bottom_up(name.removeprefix(BACKBONE))
        if found := _MMDET_NECK.match(name):
            return _neck_name(found, len(laterals))
        if found := _MMDET_TOWER.match(name):
            branch = "cls" if found[1] == "cls" else "bbox"
            index = step * int(found[2]) + (found[3] != "conv")
            return f"head.{branch}_subnet.{index}.{found[4]}"
        return _with_prefix(name, _MMDET_PREFIXES)

    return rule


def _neck_name(found: re.Match[str], num_laterals: int) -> str:
    """The name of a pyramid layer; mmdetection counts levels from the finest one that there is."""
    index = int(found[2])
    stage = _COARSEST_STAGE + 1 - num_laterals + index
    norm = "" if found[3] == "conv" else "norm."
    if found[1] == "lateral":
        layer = f"fpn_lateral{stage}"
    else:
        # What comes after the laterals' levels are convolutions with stride 2.
        layer = f"fpn_output{stage}" if index < num_laterals else f"top_block.p{stage}"
    return f"{BACKBONE}{layer}.{norm}{found[4]}"


def _maskrcnn_benchmark(names: Collection[str]) -> Callable[[str], str | None]:
    is_dense = _any_starts(names, "rpn.head.cls_tower.")
    head = _TB_DENSE_PREFIXES if is_dense else _TB_RPN_PREFIXES

    def rule(name: str) -> str | None:
        if name.startswith("backbone.body."):
            return _bottom_up(name.removeprefix("backbone.body."))
        if found := _TB_FPN.match(name):
            layer = "fpn_lateral" if found[1] == "inner" else "fpn_output"
            norm = "norm." if found[3] == "1" else ""
            return f"{BACKBONE}{layer}{int(found[2]) + 1}.{norm}{found[4]}"
        if found := _TB_TOP.match(name):
            return f"{BACKBONE}top_block.{found[1]}"
        if found := _TB_TOWER.match(name):
            return f"head.{found[1]}_subnet.{found[2]}"
        return _with_prefix(name, {**head, **_TB_ROI_PREFIXES})

    return rule


def _with_prefix(name: str, prefixes: Mapping[str, str]) -> str | None:
    """The name with its prefix replaced; None if it has none of these."""
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return None


def _any_starts(names: Iterable[str], *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in names)
