"""What a check of the configs needs in place of the real files: drawn images, weights of no use.

A ResNet-50 with random values and frozen norms explodes, since the norms' statistics are those of
nothing. The weights written here have statistics of a forward pass on noise, and the file formats
are those of the zoo, so that they are loaded in the normal way.
"""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import nn

from scale_match.modeling.backbone import build_resnet
from scale_match.modeling.levels import PyramidLevels
from scale_match.storage.files import write_bytes, write_json
from scale_match.storage.tiling import tile_annotations

__all__ = [
    "CHECK_OVERLAP",
    "CHECK_TILE",
    "CheckData",
    "write_backbone_file",
    "write_check_data",
]

CHECK_TILE, CHECK_OVERLAP = (64, 64), (16, 16)
"""Of tiles, x and y in pixels; an image has two."""
_WIDTH, _HEIGHT = 96, 64
_IMAGES = 4
_BOXES = 6
_NOISE_SHAPE = (4, 3, 64, 64)
_CAFFE_PIXELS = 57.0  # their deviation; they are not divided by it
_BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}


@dataclass(frozen=True, slots=True)
class CheckData:
    """Drawn images and their annotation files.

    Attributes:
        whole: Annotations of the images, to train on.
        tiles: Annotations of their tiles of `CHECK_TILE`.
        test_whole: Annotations of one of the images, to test on.
        test_tiles: Annotations of its tiles.
        images: The folder of the images.
    """

    whole: Path
    tiles: Path
    test_whole: Path
    test_tiles: Path
    images: Path


def write_check_data(folder: Path, *, categories: int) -> CheckData:
    """Draws a few small images with bright rectangles of 5 to 24 px.

    Args:
        folder: Made where it is missing.
        categories: Number of categories.
    """
    generator = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    names = ("whole.json", "tiles.json", "test_whole.json", "test_tiles.json", "images")
    data = CheckData(*(folder / name for name in names))
    data.images.mkdir(parents=True, exist_ok=True)
    for image_id in range(1, _IMAGES + 1):
        pixels = generator.integers(90, 131, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
        for _ in range(_BOXES):
            w, h = generator.integers(5, 25, 2).tolist()
            x, y = generator.integers(0, (_WIDTH - w, _HEIGHT - h)).tolist()
            pixels[y : y + h, x : x + w] = (220, 60, 40)
            number = len(annotations)
            annotations.append(
                {
                    "id": number + 1,
                    "image_id": image_id,
                    "category_id": 1 + number % categories,
                    "bbox": [float(x), float(y), float(w), float(h)],
                    "area": float(w * h),
                    "iscrowd": 0,
                }
            )
        name = f"{image_id}.jpg"
        Image.fromarray(pixels).save(data.images / name)
        images.append({"id": image_id, "file_name": name, "width": _WIDTH, "height": _HEIGHT})
    classes = [{"id": number, "name": f"class{number}"} for number in range(1, categories + 1)]
    for count, whole, tiles in (
        (_IMAGES, data.whole, data.tiles),
        (1, data.test_whole, data.test_tiles),
    ):
        boxes = annotations[: count * _BOXES]
        content = {"images": images[:count], "annotations": boxes, "categories": classes}
        write_json(whole, content)
        write_json(tiles, tile_annotations(content, tile=CHECK_TILE, overlap=CHECK_OVERLAP))
    return data


def write_backbone_file(path: Path, style: Literal["torchvision", "caffe"]) -> None:
    """Writes a ResNet-50 of random weights as detectron2's zoo has those of ImageNet.

    Args:
        path: The ``.pkl`` file.
        style: "torchvision": detectron2's names, all statistics; "caffe": Caffe2's names, norms
            folded into a scale and a shift, stride in the first 1x1 convolution.
    """
    is_caffe = style == "caffe"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_resnet(
            levels=PyramidLevels(), norm="BN", freeze_at=0, stride_in_1x1=is_caffe
        ).train()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the statistics of the one batch
        with torch.no_grad():
            net(torch.randn(_NOISE_SHAPE) * (_CAFFE_PIXELS if is_caffe else 1.0))
    if is_caffe:
        content: dict[str, object] = _caffe_names(net)
    else:
        state = {name: value.numpy() for name, value in net.state_dict().items()}
        content = {"model": state, "__author__": "torchvision", "matching_heuristics": True}
    write_bytes(path, pickle.dumps(content))


def _caffe_names(net: nn.Module) -> dict[str, object]:
    """Convolutions and folded norms in Caffe2's names."""
    blobs: dict[str, object] = {}
    for name, part in net.named_modules():
        if not isinstance(part, nn.Conv2d):
            continue
        norm = net.get_submodule(f"{name}.norm")
        assert isinstance(norm, nn.BatchNorm2d)  # noqa: S101 - built so a moment ago
        assert norm.running_mean is not None and norm.running_var is not None  # noqa: S101, PT018
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        block = re.fullmatch(r"res(\d)\.(\d+)\.(\w+)", name)
        if block:
            stem = f"res{block[1]}_{block[2]}_{_BRANCHES[block[3]]}"
            names = (f"{stem}_w", f"{stem}_bn_s", f"{stem}_bn_b")
        else:
            names = ("conv1_w", "res_conv1_bn_s", "res_conv1_bn_b")
        values = (part.weight, scale, norm.bias - norm.running_mean * scale)
        for blob, value in zip(names, values, strict=True):
            blobs[blob] = value.detach().numpy()
    return blobs
