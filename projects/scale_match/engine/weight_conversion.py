"""Weights of other projects made into this project's: new names, and values in another order.

What differs besides the names, by project:

- Anchors of one position: mmdetection and maskrcnn_benchmark count ratios outside and scales
  inside, detectron2 the other way round. The output channels of a head are put in order.
- Background: mmdetection and detectron2 put it last, maskrcnn_benchmark first; its four box outputs
  for background exist nowhere else.
- Box deltas are multiplied by weights before they are learned; maskrcnn_benchmark's RetinaNet uses
  (10, 10, 5, 5) where the others have 1.
- maskrcnn_benchmark's frozen norms add no epsilon to the variance.
- maskrcnn_benchmark's FCOS exponentiates its box outputs and reads the centerness from the branch
  of the classes. Such layers cannot be converted and are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from scale_match.core.errors import InputError
from scale_match.engine.foreign_facts import (
    MASKRCNN_BENCHMARK_INPUT,
    MSRA_INPUT,
    TORCHVISION_INPUT,
    extra_levels_of,
    maskrcnn_benchmark_facts,
    mmdetection_facts,
    strides_of_names,
)
from scale_match.engine.weight_names import Naming, family_of, naming_of, new_names
from scale_match.modeling.levels import PyramidLevels

__all__ = ["ConvertedWeights", "HeadLayout", "convert_weights", "layout_of", "zoo_weights"]

State = Mapping[str, Tensor]
Weights4 = tuple[float, float, float, float]

_ONES: Weights4 = (1.0, 1.0, 1.0, 1.0)
_ROI: Weights4 = (10.0, 10.0, 5.0, 5.0)
# What detectron2's norms add to the variance.
_EPSILON = 1e-5
_DENSE_BOXES = "head.bbox_pred"
_RPN_BOXES = "proposal_generator.rpn_head.anchor_deltas"
_ROI_BOXES = "roi_heads.box_predictor.bbox_pred"
_ROI_CLASSES = "roi_heads.box_predictor.cls_score"
# Outputs at each position, by anchor.
_PER_ANCHOR = (
    "head.cls_score",
    _DENSE_BOXES,
    "proposal_generator.rpn_head.objectness_logits",
    _RPN_BOXES,
)
_DELTA_WEIGHTS: Mapping[str, Mapping[str, Weights4]] = {
    "mmdetection": {_DENSE_BOXES: _ONES, _RPN_BOXES: _ONES, _ROI_BOXES: _ROI},
    "maskrcnn_benchmark": {_DENSE_BOXES: _ROI, _RPN_BOXES: _ONES, _ROI_BOXES: _ROI},
}
_TB_BOXES = (
    "boxes of maskrcnn_benchmark are one pixel wider (x2 - x1 + 1) and its RoIAlign is not "
    "aligned: detections move by up to a pixel until the weights are fine-tuned"
)


@dataclass(frozen=True, slots=True)
class HeadLayout:
    """How the outputs of the model that takes the weights are ordered.

    Attributes:
        scales: Anchor sizes at one position and level.
        ratios: Aspect ratios of each.
        delta_weights: Weights of (dx, dy, dw, dh) by layer.
    """

    scales: int
    ratios: int
    delta_weights: Mapping[str, Weights4] = field(
        default_factory=lambda: {_DENSE_BOXES: _ONES, _RPN_BOXES: _ONES, _ROI_BOXES: _ROI}
    )


@dataclass(frozen=True, slots=True)
class ConvertedWeights:
    """Weights in this project's names and order.

    Attributes:
        naming: What the file was recognised as.
        state: Value by name.
        unknown: Names of the file that mean nothing here.
        left_out: New name and reason of what cannot be converted.
        facts: What the file says about its detector (:mod:`scale_match.engine.model_facts`).
        notes: Sentences for the report.
    """

    naming: Naming
    state: dict[str, Tensor]
    unknown: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def layout_of(model: nn.Module) -> HeadLayout | None:
    """The layout of a model of this project; None for another one."""
    levels = getattr(model, "levels", None)
    if not isinstance(levels, PyramidLevels):
        return None
    holders: dict[str, Any] = {
        _DENSE_BOXES: model,
        _RPN_BOXES: getattr(model, "proposal_generator", None),
        _ROI_BOXES: getattr(getattr(model, "roi_heads", None), "box_predictor", None),
    }
    weights = {
        layer: _four(holder.box2box_transform.weights)
        for layer, holder in holders.items()
        if hasattr(holder, "box2box_transform")
    }
    return HeadLayout(levels.scales_per_octave, len(levels.aspect_ratios), weights)


def convert_weights(
    state: State,
    *,
    layout: HeadLayout | None,
    source: str,
    meta: object = None,
    recorded: object = None,
) -> ConvertedWeights:
    """Converts a state dict of any naming that is known; another one stays as it is.

    Args:
        state: Tensor by name, without ``module.`` before all of them.
        layout: Of the model that takes the weights; None where it is not known.
        source: The file, for messages.
        meta: ``meta`` of an mmdetection checkpoint.
        recorded: The facts that a checkpoint of this project brings.

    Raises:
        InputError: Two names become one, or the order of the anchors cannot be told.
    """
    naming = naming_of(state)
    names = new_names(naming, state)
    known = {old: new for old, new in names.items() if new is not None}
    _check_unique(known, source)
    converted = {new: state[old] for old, new in known.items()}
    unknown = tuple(old for old, new in names.items() if new is None)
    facts = _facts(naming, state, converted, meta)
    if naming in ("detectron2", "detectron2 zoo", "torchvision"):
        # The classifier of ImageNet is part of these files and of no detector.
        unknown = tuple(name for name in unknown if naming != "torchvision" or name[:3] != "fc.")
        if isinstance(recorded, Mapping):
            # The names say what of the detector is in the file.
            facts = {**facts, **recorded, "family": facts["family"]}
        return ConvertedWeights(naming, converted, unknown, (), facts)
    left_out = _without_meaning(naming, converted, facts)
    for name, _ in left_out:
        del converted[name]
    layout = _known_layout(layout, facts, converted, source)
    for name in list(converted):
        converted[name] = _value(naming, name, converted[name], layout, facts["family"])
    unknown = tuple(name for name in unknown if "anchor_generator" not in name)
    notes = (_TB_BOXES,) if naming == "maskrcnn_benchmark" and facts["family"] else ()
    return ConvertedWeights(naming, converted, unknown, left_out, facts, notes)


def zoo_weights(matched: State, *, author: str) -> ConvertedWeights:
    """Weights of detectron2's zoo whose names detectron2 has matched with those of a model.

    Args:
        matched: Value by the model's name, or by the file's where nothing matched.
        author: ``__author__`` of the file: "Caffe2" for MSRA's backbones, "torchvision".
    """
    inputs = {"Caffe2": MSRA_INPUT, "torchvision": TORCHVISION_INPUT}.get(author, {})
    middle = matched.get("backbone.bottom_up.res2.0.conv2.weight")
    if author == "Caffe2" and middle is not None and middle.shape[0] != middle.shape[1]:
        inputs = {}  # grouped convolutions: a ResNeXt, whose input is another one
    strides = strides_of_names(matched)
    facts = {**inputs, "family": family_of(matched), **({"strides": strides} if strides else {})}
    return ConvertedWeights("detectron2 zoo", dict(matched), facts=facts)


def _facts(naming: Naming, state: State, converted: State, meta: object) -> dict[str, Any]:
    strides = strides_of_names(converted)
    facts: dict[str, Any] = {"strides": strides} if strides else {}
    if naming == "torchvision":
        facts |= TORCHVISION_INPUT
    elif naming == "mmdetection":
        facts |= mmdetection_facts(meta)
    elif naming == "maskrcnn_benchmark":
        facts |= {**MASKRCNN_BENCHMARK_INPUT, **maskrcnn_benchmark_facts(state)}
    facts["family"] = family_of(converted)
    extra_levels = extra_levels_of(converted, facts.get("strides", []))
    return {**facts, "extra_levels": extra_levels} if extra_levels else facts


def _without_meaning(
    naming: Naming, names: Mapping[str, object], facts: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Layers of an FCOS that compute something else there, with the reason."""
    if facts["family"] != "FCOS":
        return ()
    is_tb = naming == "maskrcnn_benchmark"
    reasons: dict[str, str] = {}
    if is_tb or not facts.get("norm_on_bbox", True):
        reason = "its boxes are exp(x) of the outputs, not relu(x) in strides"
        reasons |= {f"{_DENSE_BOXES}.": reason, "head.scales.": reason}
    if is_tb or not facts.get("centerness_on_reg", True):
        reasons["head.ctrness."] = "its centerness comes from the branch of the classes"
    return tuple(
        (name, reason)
        for name in names
        for prefix, reason in reasons.items()
        if name.startswith(prefix)
    )


def _known_layout(
    layout: HeadLayout | None, facts: Mapping[str, Any], state: State, source: str
) -> HeadLayout:
    """The layout with the file's own anchors where it names them.

    Raises:
        InputError: Nothing tells how many scales and ratios there are.
    """
    given = layout or HeadLayout(1, 1)
    if "scales_per_octave" in facts:
        return HeadLayout(
            facts["scales_per_octave"], len(facts["aspect_ratios"]), given.delta_weights
        )
    if layout is not None:
        return layout  # with another number of anchors the shapes will not fit
    count = max(
        [
            len(state[f"{layer}.bias"]) // 4
            for layer in (_DENSE_BOXES, _RPN_BOXES)
            if f"{layer}.bias" in state
        ],
        default=1,
    )
    if count < 4 or all(count % divisor for divisor in range(2, count)):
        # A prime number: there is one scale or one ratio, and the two orders are the same.
        return HeadLayout(1, count, given.delta_weights)
    if count == 9:
        # What every RetinaNet of both projects has.
        return HeadLayout(3, 3, given.delta_weights)
    raise InputError(
        f"{source} has {count} anchors at each position, and it does not say how many scales and "
        "ratios these are: a model with as many scales and ratios has to be named by its config"
    )


def _value(naming: str, name: str, value: Tensor, layout: HeadLayout, family: str) -> Tensor:
    """One parameter in this project's order."""
    layer, _, _ = name.rpartition(".")
    if naming == "maskrcnn_benchmark" and name.endswith(".norm.running_var"):
        return value - _EPSILON
    if family != "FCOS" and layer in _PER_ANCHOR:
        value = _anchors_in_order(value, layout)
    if naming == "maskrcnn_benchmark" and layer == _ROI_CLASSES:
        value = torch.cat([value[1:], value[:1]])
    if naming == "maskrcnn_benchmark" and layer == _ROI_BOXES:
        value = value[4:]
    if family != "FCOS" and layer in _DELTA_WEIGHTS[naming]:
        theirs = _DELTA_WEIGHTS[naming][layer]
        value = _with_weights(value, theirs, layout.delta_weights.get(layer, theirs))
    return value


def _anchors_in_order(value: Tensor, layout: HeadLayout) -> Tensor:
    """Rows (ratio, scale, output) as (scale, ratio, output)."""
    rows = value.shape[0]
    if rows % (layout.scales * layout.ratios):
        return value  # another model's; its shape will not fit
    by_anchor = value.reshape(layout.ratios, layout.scales, -1, *value.shape[1:])
    return by_anchor.transpose(0, 1).reshape(value.shape)


def _with_weights(value: Tensor, theirs: Sequence[float], ours: Sequence[float]) -> Tensor:
    """Rows of (dx, dy, dw, dh) for other weights of the deltas."""
    if tuple(theirs) == tuple(ours) or value.shape[0] % 4:
        return value
    factors = torch.tensor(ours, dtype=torch.float64) / torch.tensor(theirs, dtype=torch.float64)
    rows = factors.repeat(value.shape[0] // 4).reshape(-1, *[1] * (value.ndim - 1))
    return (value.double() * rows).to(value.dtype)


def _four(weights: Sequence[float]) -> Weights4:
    dx, dy, dw, dh = (float(weight) for weight in weights)
    return dx, dy, dw, dh


def _check_unique(names: Mapping[str, str], source: str) -> None:
    """Refuses a file in which two parameters would become one."""
    first: dict[str, str] = {}
    for old, new in names.items():
        if new in first:
            raise InputError(
                f"{source} cannot be converted: {first[new]} and {old} would both be {new}"
            )
        first[new] = old
