"""What the tests of the mapper share: a mapper, entries for it, and what comes out."""

import numpy as np
from detectron2.structures import BoxMode
from PIL import Image

from scale_match.core.scale_policy import ScaleDecision
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper

HEIGHT, WIDTH = 96, 128


class FixedPolicy:
    """Halves every image, drops the boxes it is told to, remembers the boxes it was asked about."""

    num_uniforms = 0

    def __init__(self, scale=0.5, dropped=()):
        self.scale = scale
        self.dropped = dropped
        self.asked = None

    def decide(self, boxes_xywh, width, height, uniforms):
        self.asked = boxes_xywh.tolist()
        keep = np.array([index not in self.dropped for index in range(len(boxes_xywh))], bool)
        size = round(self.scale * height), round(self.scale * width)
        return ScaleDecision(self.scale, size, keep, False, None)


def mapper(is_train=True, augmentations=(), **arguments):
    return ScaleMatchDatasetMapper(
        is_train, augmentations=augmentations, image_format="RGB", **arguments
    )


def entry_with(toy, *boxes):
    """The first toy image with boxes given as (bbox, flags)."""
    annotations = [
        {"bbox": bbox, "bbox_mode": BoxMode.XYWH_ABS, "category_id": index, **flags}
        for index, (bbox, flags) in enumerate(boxes)
    ]
    return {**toy[0], "annotations": annotations}


def pixels_of(entry):
    return np.asarray(Image.open(entry["file_name"]))


def summary(sample):
    """Everything random about a sample, as plain values."""
    return (
        sample["image_id"], sample.get("scale"), tuple(sample["image"].shape),
        sample["image"].numpy().tobytes(), sample["instances"].gt_boxes.tensor.tolist(),
    )  # fmt: skip
