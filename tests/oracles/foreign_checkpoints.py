"""Checkpoints as other projects write them, made from the parameters of a model of this project.

Written from those projects' classes, layer by layer and channel by channel, in the direction
opposite to the program's: parameters of this project in, files of the other out.
"""

import torch

NORM_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BLOCKS = {"small": (2, 1, 1, 1), 18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def resnet(state, depth, *, stem_prefix="", prefix=""):
    """A ResNet in torchvision's names: (new name, value) for each parameter there is."""
    convs = 3 if depth == 50 else 2
    pairs = [("stem.conv1", f"{stem_prefix}conv1"), ("stem.conv1.norm", f"{stem_prefix}bn1")]
    for stage, blocks in enumerate(BLOCKS[depth], start=1):
        for block in range(blocks):
            ours, theirs = f"res{stage + 1}.{block}", f"layer{stage}.{block}"
            for conv in range(1, convs + 1):
                pairs.append((f"{ours}.conv{conv}", f"{theirs}.conv{conv}"))
                pairs.append((f"{ours}.conv{conv}.norm", f"{theirs}.bn{conv}"))
            pairs.append((f"{ours}.shortcut", f"{theirs}.downsample.0"))
            pairs.append((f"{ours}.shortcut.norm", f"{theirs}.downsample.1"))
    found = {}
    for ours, theirs in pairs:
        for part in NORM_PARTS:
            name = f"backbone.bottom_up.{ours}.{part}"
            if name in state:
                found[f"{prefix}{theirs}.{part}"] = state[name]
    return found


def torchvision_file(state, depth):
    """A state dict of torchvision.models.resnet*: no key "model", and a classifier."""
    return {**resnet(state, depth), "fc.weight": torch.zeros(1000, 8), "fc.bias": torch.zeros(1000)}


def ratio_major(value, scales, ratios):
    """Rows of anchors ordered by scale and ratio, as (ratio, scale)."""
    per_anchor = value.shape[0] // (scales * ratios)
    rows = []
    for ratio in range(ratios):
        for scale in range(scales):
            first = (scale * ratios + ratio) * per_anchor
            rows += [value[first + k] for k in range(per_anchor)]
    return torch.stack(rows)


def layers(state, pairs):
    """Weight and bias of layers by (our name, their name); what is not there is left out."""
    return {
        f"{theirs}.{part}": state[f"{ours}.{part}"]
        for ours, theirs in pairs
        for part in ("weight", "bias")
        if f"{ours}.{part}" in state
    }


def laterals_of(state):
    return sum(f"backbone.fpn_lateral{stage}.weight" in state for stage in range(2, 6))


def mmdetection_neck(state):
    count = laterals_of(state)
    pairs = []
    for index in range(count):
        stage = 6 - count + index
        pairs.append((f"backbone.fpn_lateral{stage}", f"neck.lateral_convs.{index}.conv"))
        pairs.append((f"backbone.fpn_output{stage}", f"neck.fpn_convs.{index}.conv"))
    pairs.append(("backbone.top_block.p6", f"neck.fpn_convs.{count}.conv"))
    pairs.append(("backbone.top_block.p7", f"neck.fpn_convs.{count + 1}.conv"))
    return layers(state, pairs)


def mmdetection_towers(state, convs=4):
    pairs = []
    for index in range(convs):
        pairs.append((f"head.cls_subnet.{2 * index}", f"bbox_head.cls_convs.{index}.conv"))
        pairs.append((f"head.bbox_subnet.{2 * index}", f"bbox_head.reg_convs.{index}.conv"))
    return layers(state, pairs)


def mmdetection_file(state, depth, head, meta=None):
    """A checkpoint of mmdetection 2: ``meta`` and ``state_dict``."""
    weights = {**resnet(state, depth, prefix="backbone."), **mmdetection_neck(state), **head}
    return {"meta": meta or {"epoch": 12, "CLASSES": ("person",)}, "state_dict": weights}


def mmdetection_retinanet_head(state, scales=3, ratios=3):
    head = mmdetection_towers(state)
    outputs = [
        ("head.cls_score", "bbox_head.retina_cls"),
        ("head.bbox_pred", "bbox_head.retina_reg"),
    ]
    for name, value in layers(state, outputs).items():
        head[name] = ratio_major(value, scales, ratios)
    return head


def mmdetection_fcos_head(state, num_levels=5):
    head = mmdetection_towers(state)
    head |= layers(
        state,
        [
            ("head.cls_score", "bbox_head.conv_cls"),
            ("head.bbox_pred", "bbox_head.conv_reg"),
            ("head.ctrness", "bbox_head.conv_centerness"),
        ],
    )
    for level in range(num_levels):
        # A number there, a vector of one here.
        head[f"bbox_head.scales.{level}.scale"] = state[f"head.scales.{level}.scale"].reshape(())
    return head


def mmdetection_faster_rcnn_head(state, scales=1, ratios=3):
    head = layers(state, [("proposal_generator.rpn_head.conv", "rpn_head.rpn_conv")])
    rpn = [
        ("proposal_generator.rpn_head.objectness_logits", "rpn_head.rpn_cls"),
        ("proposal_generator.rpn_head.anchor_deltas", "rpn_head.rpn_reg"),
    ]
    for name, value in layers(state, rpn).items():
        head[name] = ratio_major(value, scales, ratios)
    return head | layers(
        state,
        [
            ("roi_heads.box_head.fc1", "roi_head.bbox_head.shared_fcs.0"),
            ("roi_heads.box_head.fc2", "roi_head.bbox_head.shared_fcs.1"),
            ("roi_heads.box_predictor.cls_score", "roi_head.bbox_head.fc_cls"),
            ("roi_heads.box_predictor.bbox_pred", "roi_head.bbox_head.fc_reg"),
        ],
    )


def benchmark_backbone(state, depth):
    body = resnet(state, depth, prefix="backbone.body.", stem_prefix="stem.")
    for name in list(body):
        if name.endswith("num_batches_tracked"):
            del body[name]  # its norms are frozen
        elif name.endswith("running_var"):
            body[name] = body[name] + 1e-5  # they add nothing to the variance
    pairs = []
    for stage in range(2, 6):
        pairs.append((f"backbone.fpn_lateral{stage}", f"backbone.fpn.fpn_inner{stage - 1}"))
        pairs.append((f"backbone.fpn_output{stage}", f"backbone.fpn.fpn_layer{stage - 1}"))
    for level in (6, 7):
        pairs.append((f"backbone.top_block.p{level}", f"backbone.fpn.top_blocks.p{level}"))
    return body | layers(state, pairs)


def benchmark_file(state, depth, head, iteration=100):
    """A checkpoint of maskrcnn_benchmark: ``model``, ``iteration``; names inside a wrapper."""
    weights = {**benchmark_backbone(state, depth), **head}
    return {"model": {f"module.{n}": v for n, v in weights.items()}, "iteration": iteration}


def benchmark_towers(state, convs=4):
    pairs = []
    for index in range(0, 2 * convs, 2):  # the ReLUs are counted, too
        pairs.append((f"head.cls_subnet.{index}", f"rpn.head.cls_tower.{index}"))
        pairs.append((f"head.bbox_subnet.{index}", f"rpn.head.bbox_tower.{index}"))
    return layers(state, pairs)


def benchmark_retinanet_head(state, scales=3, ratios=3):
    head = benchmark_towers(state)
    for name, value in layers(state, [("head.cls_score", "rpn.head.cls_logits")]).items():
        head[name] = ratio_major(value, scales, ratios)
    for name, value in layers(state, [("head.bbox_pred", "rpn.head.bbox_pred")]).items():
        wider = ratio_major(value, scales, ratios).clone()
        for row in range(wider.shape[0]):
            wider[row] *= (10.0, 10.0, 5.0, 5.0)[row % 4]
        head[name] = wider
    return head


def benchmark_fcos_head(state, num_levels=5):
    head = benchmark_towers(state)
    head |= layers(
        state,
        [
            ("head.cls_score", "rpn.head.cls_logits"),
            ("head.bbox_pred", "rpn.head.bbox_pred"),
            ("head.ctrness", "rpn.head.centerness"),
        ],
    )
    for level in range(num_levels):
        head[f"rpn.head.scales.{level}.scale"] = state[f"head.scales.{level}.scale"].reshape(1)
    return head


def benchmark_faster_rcnn_head(state, scales=1, ratios=3):
    head = layers(state, [("proposal_generator.rpn_head.conv", "rpn.head.conv")])
    rpn = [
        ("proposal_generator.rpn_head.objectness_logits", "rpn.head.cls_logits"),
        ("proposal_generator.rpn_head.anchor_deltas", "rpn.head.bbox_pred"),
    ]
    for name, value in layers(state, rpn).items():
        head[name] = ratio_major(value, scales, ratios)
    head |= layers(
        state,
        [
            ("roi_heads.box_head.fc1", "roi_heads.box.feature_extractor.fc6"),
            ("roi_heads.box_head.fc2", "roi_heads.box.feature_extractor.fc7"),
        ],
    )
    for part in ("weight", "bias"):
        scores = state[f"roi_heads.box_predictor.cls_score.{part}"]
        boxes = state[f"roi_heads.box_predictor.bbox_pred.{part}"]
        # Background comes first, and has boxes.
        head[f"roi_heads.box.predictor.cls_score.{part}"] = torch.cat([scores[-1:], scores[:-1]])
        head[f"roi_heads.box.predictor.bbox_pred.{part}"] = torch.cat(
            [torch.full_like(boxes[:4], 7.0), boxes]
        )
    return head


def benchmark_cell_anchors(strides, sizes, ratios):
    """The anchors of one position, whose sides are inclusive: a side is x2 - x1 + 1 px."""
    cells = {}
    for level, (stride, level_sizes) in enumerate(zip(strides, sizes, strict=True)):
        centre = (stride - 1) / 2
        rows = []
        for ratio in ratios:
            width = round((stride * stride / ratio) ** 0.5)
            height = round(width * ratio)
            for size in level_sizes:
                w, h = width * size / stride, height * size / stride
                half_w, half_h = (w - 1) / 2, (h - 1) / 2
                rows.append([centre - half_w, centre - half_h, centre + half_w, centre + half_h])
        cells[f"rpn.anchor_generator.cell_anchors.{level}"] = torch.tensor(rows)
    return cells
