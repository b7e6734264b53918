"""What files of other projects say about the detector besides its weights.

mmdetection writes the text of its config into a checkpoint, maskrcnn_benchmark the anchors of one
position, and the names of pyramid layers tell the strides. The facts have the names of
:mod:`scale_match.engine.model_facts`; what a file does not tell is left out.
"""

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

__all__ = [
    "MASKRCNN_BENCHMARK_INPUT",
    "MSRA_INPUT",
    "TORCHVISION_INPUT",
    "extra_levels_of",
    "maskrcnn_benchmark_facts",
    "mmdetection_facts",
    "strides_of_names",
]

Facts = dict[str, Any]

# What the weights expect of an image, where the file does not say it.
TORCHVISION_INPUT: Mapping[str, Any] = {
    "input_format": "RGB",
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
    "stride_in_1x1": False,
}
MSRA_INPUT: Mapping[str, Any] = {
    "input_format": "BGR",
    "pixel_mean": [103.53, 116.28, 123.675],
    "pixel_std": [1.0, 1.0, 1.0],
    "stride_in_1x1": True,
}
MASKRCNN_BENCHMARK_INPUT: Mapping[str, Any] = {
    "input_format": "BGR",
    "pixel_mean": [102.9801, 115.9465, 122.7717],
    "pixel_std": [1.0, 1.0, 1.0],
    "stride_in_1x1": True,
}

_CELL_ANCHORS = re.compile(r"^rpn\.anchor_generator\.cell_anchors\.(\d+)$")
_P5_STRIDE = 32
_LEVEL = re.compile(r"^backbone\.(?:fpn_lateral|top_block\.p)(\d)\.")


def strides_of_names(names: Collection[str]) -> list[int]:
    """The strides of a pyramid, told from the names (detectron2's) of its layers.

    Returns:
        Nothing where no layer makes the coarsest level: it may be a pooled one, without weights.
    """
    if not any(name.startswith("backbone.top_block.p") for name in names):
        return []
    levels = sorted({int(found[1]) for name in names if (found := _LEVEL.match(name))})
    if any(second != first + 1 for first, second in pairwise(levels)):
        return []
    return [1 << level for level in levels]


def extra_levels_of(state: Mapping[str, Tensor], strides: Sequence[int]) -> str:
    """Where the levels coarser than p5 come from (`scale_match.modeling.backbone.EXTRA_LEVELS`).

    Args:
        state: Tensor by name (detectron2's).
        strides: Of the pyramid, if they are known.

    Returns:
        "" where that cannot be told.
    """
    conv = state.get("backbone.top_block.p6.weight")
    if conv is None:
        has_pyramid = any(name.startswith("backbone.fpn_output5.") for name in state)
        pooled = has_pyramid and bool(strides) and max(strides) > _P5_STRIDE
        return "max_pool" if pooled else ""
    return "convolution_of_p5" if conv.shape[0] == conv.shape[1] else "convolution"


def mmdetection_facts(meta: object) -> Facts:
    """What the config in an mmdetection checkpoint says.

    Args:
        meta: The checkpoint's ``meta``; ``meta["config"]`` is Python text of assignments.

    Returns:
        Empty where there is no config or none that can be read.
    """
    text = meta.get("config") if isinstance(meta, Mapping) else None
    if not isinstance(text, str):
        return {}
    try:
        return _config_facts(_assigned(text, "model"), _assigned(text, "img_norm_cfg"))
    except (AttributeError, KeyError, SyntaxError, TypeError, ValueError):
        return {}


def maskrcnn_benchmark_facts(state: Mapping[str, Tensor]) -> Facts:
    """What the anchors in a maskrcnn_benchmark checkpoint say.

    Their sides are inclusive (x2 - x1 + 1 px) and rounded, so that only the size of the smallest
    anchor of a level is told, within a tenth. Their centre is that of a cell of one stride.
    """
    cells = {
        int(found[1]): value.double()
        for name, value in state.items()
        if (found := _CELL_ANCHORS.match(name)) and value.ndim == 2 and value.shape[1] == 4
    }
    if not cells or not all(len(cell) for cell in cells.values()):
        return {}
    levels = [cells[index] for index in sorted(cells)]
    areas = [(c[:, 2] - c[:, 0] + 1) * (c[:, 3] - c[:, 1] + 1) for c in levels]
    return {
        "strides": [round(float(c[0, 0] + c[0, 2])) + 1 for c in levels],
        "smallest_anchors": [round(float(area.min()) ** 0.5, 2) for area in areas],
        "anchor_offset": 0.5,
        "num_anchors": len(levels[0]),
    }


def _config_facts(model: Mapping[str, Any], norm: Mapping[str, Any]) -> Facts:
    facts: Facts = {}
    if "style" in model.get("backbone", {}):
        facts["stride_in_1x1"] = model["backbone"]["style"] == "caffe"
    if "to_rgb" in norm:
        facts["input_format"] = "RGB" if norm["to_rgb"] else "BGR"
        facts |= {"pixel_mean": list(norm["mean"]), "pixel_std": list(norm["std"])}
    head = model.get("rpn_head") or model.get("bbox_head") or {}
    if "FCOS" in head.get("type", ""):
        facts |= {
            "norm_on_bbox": bool(head.get("norm_on_bbox", False)),
            "centerness_on_reg": bool(head.get("centerness_on_reg", False)),
            "min_distance": 0.0,
        }
    if "regress_ranges" in head:
        facts["strides"] = list(head["strides"])
        facts["size_ranges"] = [list(pair) for pair in head["regress_ranges"]]
    elif "anchor_generator" in head:
        facts |= _anchor_facts(head["anchor_generator"])
    return facts


def _anchor_facts(generator: Mapping[str, Any]) -> Facts:
    facts: Facts = {
        "strides": list(generator["strides"]),
        "aspect_ratios": list(generator["ratios"]),
        "anchor_offset": float(generator.get("center_offset", 0.0)),
    }
    scales = generator.get("scales")
    if scales is None:
        facts["anchor_scale"] = float(generator["octave_base_scale"])
        facts["scales_per_octave"] = int(generator["scales_per_octave"])
    elif len(scales) == 1:
        facts |= {"anchor_scale": float(scales[0]), "scales_per_octave": 1}
    return facts


def _assigned(text: str, name: str) -> dict[str, Any]:
    """The dictionary that Python text assigns to a name; nothing of it is executed.

    Raises:
        SyntaxError, ValueError: The text is not Python, or not of literals and ``dict(...)``.
    """
    for statement in ast.parse(text).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if [ast.unparse(target) for target in targets] == [name]:
            value = _literal(statement.value)  # type: ignore[attr-defined]
            return value if isinstance(value, dict) else {}
    return {}


def _literal(node: ast.expr) -> Any:  # noqa: ANN401 - any literal
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "dict" and not node.args:
        return {word.arg: _literal(word.value) for word in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            ast.literal_eval(key): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    return ast.literal_eval(node)
