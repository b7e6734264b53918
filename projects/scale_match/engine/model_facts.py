"""What a detector's weights depend on besides their shapes, as a checkpoint records it.

Two pyramids can have parameters of equal shapes and yet other strides or anchors: the weights of
one are of no use to the other. So a checkpoint says what it was trained for, and loading compares.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from scale_match.engine.weight_names import family_of
from scale_match.modeling.backbone import ExtraLevels, PooledLevels

__all__ = ["FACTS_KEY", "misfits", "model_facts", "setting_notes"]

Facts = Mapping[str, Any]

FACTS_KEY = "scale_match"

# What has to agree, and the keys that set it.
_COMPARED = {
    "strides": ("strides", "SCALE_MATCH.MODEL.STRIDES", "model.levels.strides"),
    "anchor_scale": (
        "an anchor scale of",
        "SCALE_MATCH.MODEL.ANCHOR_SCALE",
        "model.levels.anchor_scale",
    ),
    "smallest_anchors": (
        "smallest anchors of",
        "SCALE_MATCH.MODEL.ANCHOR_SCALE",
        "model.levels.anchor_scale",
    ),
    "scales_per_octave": (
        "anchor scales per octave:",
        "SCALE_MATCH.MODEL.SCALES_PER_OCTAVE",
        "model.levels.scales_per_octave",
    ),
    "aspect_ratios": (
        "aspect ratios",
        "SCALE_MATCH.MODEL.ASPECT_RATIOS",
        "model.levels.aspect_ratios",
    ),
    "anchor_offset": (
        "an anchor offset of",
        "MODEL.ANCHOR_GENERATOR.OFFSET",
        "model.anchor_offset",
    ),
    "box_weights": (
        "box regression weights",
        "MODEL.RETINANET.BBOX_REG_WEIGHTS or MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS",
        "model.bbox_reg_weights or model.roi.bbox_reg_weights",
    ),
    "size_ranges": ("size ranges", "SCALE_MATCH.FCOS.SIZE_RANGES", "model.size_ranges"),
}
# Anchors of maskrcnn_benchmark are rounded to whole pixels at the scale of one stride.
_TOLERANCE = {"smallest_anchors": 0.1}
# What has to agree where nothing may start anew.
_COMPARED_IF_ALL = {
    "num_classes": (
        "classes:",
        "MODEL.RETINANET.NUM_CLASSES, MODEL.ROI_HEADS.NUM_CLASSES or SCALE_MATCH.FCOS.NUM_CLASSES",
        "model.num_classes",
    ),
    "extra_levels": (
        "levels above p5 by",
        "SCALE_MATCH.MODEL.EXTRA_LEVELS",
        "model.backbone.extra_levels",
    ),
}
# From this on an upper limit of sizes (px) means none; mmdetection writes 1e8 for infinity.
_NO_LIMIT = 1e7


def model_facts(model: nn.Module) -> dict[str, Any]:
    """What a model's weights depend on, in plain values.

    Args:
        model: A detector; any other module gives few facts or none.

    Returns:
        Of what the model has: ``family`` ("RetinaNet", "FCOS", "Faster R-CNN"), ``strides``,
        ``extra_levels``, ``anchor_scale``, ``scales_per_octave``, ``aspect_ratios``,
        ``anchor_offset``, ``box_weights``, ``size_ranges``, ``min_distance``, ``num_classes``,
        ``input_format``, ``pixel_mean``, ``pixel_std``, ``stride_in_1x1``.
    """
    facts: dict[str, Any] = {"family": family_of(model.state_dict().keys())}
    return {**facts, **_pyramid_facts(model), **_head_facts(model), **_input_facts(model)}


def misfits(in_file: Facts, in_model: Facts, *, all_needed: bool) -> list[str]:
    """What the head of a file was trained for and a model does not have.

    Args:
        in_file: Facts of a file; what it does not say is not compared.
        in_model: Of :func:`model_facts`.
        all_needed: Whether nothing may start anew; the number of classes and where the coarsest
            levels come from have to agree then, too.

    Returns:
        A phrase for each, with both sides and the keys to change.
    """
    compared = {**_COMPARED, **_COMPARED_IF_ALL} if all_needed else _COMPARED
    here = {**_smallest_anchors(in_model), **in_model}
    if not in_file.get("family") or not here.get("family"):
        return []
    if in_file["family"] != here["family"]:
        return [f"{_a(in_file['family'])}, this model is {_a(here['family'])}"]
    found = []
    for name, (words, yacs, lazy) in compared.items():
        if name not in in_file or name not in here:
            continue
        theirs, ours = in_file[name], here[name]
        if not _same(theirs, ours, _TOLERANCE.get(name, 1e-3)):
            found.append(
                f"{words} {_plain(theirs)}, this model has {_plain(ours)} "
                f"({yacs}; in a Lazy config {lazy})"
            )
    return found


def setting_notes(in_file: Facts, in_model: Facts) -> list[str]:
    """What a file says about settings that a model has otherwise, mostly of its input.

    Returns:
        A sentence for each; weights are of use all the same, so they are advice.
    """
    rows = {
        "min_distance": (
            "distances to a side of at least (strides):",
            "SCALE_MATCH.FCOS.MIN_DISTANCE; model.min_distance",
        ),
        "input_format": ("channels in the order", "INPUT.FORMAT; model.input_format"),
        "pixel_mean": ("a pixel mean of", "MODEL.PIXEL_MEAN; model.pixel_mean"),
        "pixel_std": ("a pixel standard deviation of", "MODEL.PIXEL_STD; model.pixel_std"),
        "stride_in_1x1": (
            "the stride of a bottleneck in its first 1x1 convolution:",
            "MODEL.RESNETS.STRIDE_IN_1X1; model.backbone.bottom_up.stride_in_1x1",
        ),
    }
    return [
        f"it was made for {words} {_plain(in_file[name])}, this model has "
        f"{_plain(in_model[name])} ({keys})"
        for name, (words, keys) in rows.items()
        if name in in_file and name in in_model and not _same(in_file[name], in_model[name], 0.01)
    ]


def _pyramid_facts(model: nn.Module) -> dict[str, Any]:
    levels = getattr(model, "levels", None)
    if levels is None:
        return {}
    facts: dict[str, Any] = {"strides": [int(stride) for stride in levels.strides]}
    top = getattr(getattr(model, "backbone", None), "top_block", None)
    if isinstance(top, PooledLevels):
        facts["extra_levels"] = "max_pool"
    elif isinstance(top, ExtraLevels):
        facts["extra_levels"] = "convolution" + ("_of_p5" if top.in_feature == "p5" else "")
    holder = getattr(model, "proposal_generator", model)
    generator = getattr(holder, "anchor_generator", None)
    if generator is not None:
        facts |= {
            "anchor_scale": float(levels.anchor_scale),
            "scales_per_octave": int(levels.scales_per_octave),
            "aspect_ratios": [float(ratio) for ratio in levels.aspect_ratios],
            "anchor_offset": float(generator.offset),
        }
    return facts


def _head_facts(model: nn.Module) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    holder: Any = getattr(model, "roi_heads", model)
    if hasattr(holder, "num_classes"):
        facts["num_classes"] = int(holder.num_classes)
    predictor: Any = getattr(holder, "box_predictor", model)
    transform: Any = getattr(predictor, "box2box_transform", None)
    if transform is not None:
        facts["box_weights"] = [float(weight) for weight in transform.weights]
    size_ranges: Any = getattr(model, "size_ranges", None)
    if size_ranges is not None:
        facts["size_ranges"] = [[float(x) for x in pair] for pair in size_ranges]
    if hasattr(model, "min_distance"):
        facts["min_distance"] = float(cast("float", model.min_distance))
    return facts


def _input_facts(model: nn.Module) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if isinstance(getattr(model, "input_format", None), str):
        facts["input_format"] = model.input_format
    for name in ("pixel_mean", "pixel_std"):
        value = getattr(model, name, None)
        if isinstance(value, Tensor):
            facts[name] = [round(float(x), 4) for x in value.flatten()]
    bottom_up = getattr(getattr(model, "backbone", None), "bottom_up", None)
    stage: Any = getattr(bottom_up, "res3", None)
    if stage is not None and hasattr(stage[0], "conv3"):
        # Only bottlenecks have the choice.
        facts["stride_in_1x1"] = bool(stage[0].conv1.stride[0] > 1)
    return facts


def _smallest_anchors(facts: Facts) -> dict[str, Any]:
    """Per level the size of the smallest anchor in pixels."""
    if "anchor_scale" not in facts:
        return {}
    return {"smallest_anchors": [facts["anchor_scale"] * stride for stride in facts["strides"]]}


def _same(first: object, second: object, tolerance: float) -> bool:
    if isinstance(first, Sequence) and isinstance(second, Sequence) and not isinstance(first, str):
        return len(first) == len(second) and all(
            _same(one, other, tolerance) for one, other in zip(first, second, strict=True)
        )
    if isinstance(first, int | float) and isinstance(second, int | float):
        if min(first, second) >= _NO_LIMIT:
            return True
        return math.isclose(first, second, rel_tol=tolerance, abs_tol=1e-6)
    return first == second


def _a(family: str) -> str:
    return f"an {family}" if family == "FCOS" else f"a {family}"


def _plain(value: object) -> str:
    """A value for a sentence: numbers without a needless ``.0``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_plain(one) for one in value)}]"
    if isinstance(value, float):
        return "inf" if value >= _NO_LIMIT else f"{value:g}"
    return str(value)
