"""From a data set dictionary to a model's input, with Scale Match and tiles.

What a call returns is a function of (seed, image id, epoch): it makes its own generator, seeds
numpy's global one for detectron2's augmentations, and puts the global state back. So the number of
workers and processes does not change the training data, nor does a resume.
"""

import hashlib
import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper, MetadataCatalog
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from detectron2.structures import Boxes, Instances
from detectron2.utils.logger import log_first_n
from PIL import Image

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray, IntArray
from scale_match.core.scale_policy import ScaleDecision, ScalePolicy
from scale_match.data.augmentation import ScaleMatch, ScaleMatchAugInput, ScaleMatchTransform
from scale_match.data.datasets import is_left_out, xywh_boxes
from scale_match.data.epochs import seed_words
from scale_match.data.policies import build_scale_policy

__all__ = ["ScaleMatchDatasetMapper"]

# What PIL raises for files that are no images, damaged, cut off, or absurdly large.
_IMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    zlib.error,
    Image.DecompressionBombError,
)


class ScaleMatchDatasetMapper(DatasetMapper):
    """Reads an image or a tile, augments it, and turns its boxes into training instances.

    Returned keys: ``image`` (uint8 tensor, C x H x W), ``height`` and ``width`` (of the image or
    tile before augmentation), ``image_id``, ``file_name``, all others of the dictionary, and in
    training ``instances`` (``gt_boxes``, ``gt_classes``) and, under a policy, ``scale`` (its
    factor).

    Training leaves out boxes that are crowd, ignored or uncertain, that have no area, that the
    policy drops, or that end up with a side under ``min_box_side``.

    Attributes:
        num_dropped: Boxes dropped so far by ``min_box_side``, in this process.
    """

    @configurable
    def __init__(
        self,
        is_train: bool = True,
        *,
        augmentations: Sequence[T.Augmentation | T.Transform],
        image_format: str,
        scale_policy: ScalePolicy | None = None,
        seed: int = 0,
        min_box_side: float = 1.0,
    ) -> None:
        """Map with a policy, then with further augmentations.

        Args:
            is_train: False drops the annotations.
            augmentations: Applied in order, after the policy's resize.
            image_format: "RGB", "BGR" or another that detectron2 reads.
            scale_policy: Scale Match; None leaves the size to the augmentations.
            seed: Not negative; the same in all processes.
            min_box_side: Least width and height, in pixels, of a box to train on, after all
                transforms and clipping. (A box without overlap with any anchor would be matched
                with every anchor.)

        Raises:
            ValueError: A policy is given for testing, or the seed is negative.
        """
        if scale_policy is not None and not is_train:
            raise ValueError("scale_policy is for training: it needs the boxes")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        policies = [] if scale_policy is None else [ScaleMatch(scale_policy)]
        super().__init__(
            is_train, augmentations=[*policies, *augmentations], image_format=image_format
        )
        self.seed = seed
        self.min_box_side = min_box_side
        self.num_dropped = 0

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Arguments from ``SCALE_MATCH``, ``INPUT`` and ``SEED``.

        Raises:
            InputError: A key asks for what this mapper does not do, or a file breaks a rule.
        """
        for key, unsupported in (
            ("MODEL.MASK_ON", cfg.MODEL.MASK_ON),
            ("MODEL.KEYPOINT_ON", cfg.MODEL.KEYPOINT_ON),
            ("MODEL.LOAD_PROPOSALS", cfg.MODEL.LOAD_PROPOSALS),
            ("INPUT.CROP.ENABLED", cfg.INPUT.CROP.ENABLED and is_train),
        ):
            if unsupported:
                raise InputError(f"{key} must be False: ScaleMatchDatasetMapper gives boxes only")
        policy = _policy_from_config(cfg) if is_train else None
        augmentations = utils.build_augmentation(cfg, is_train)
        if policy is not None or not cfg.SCALE_MATCH.DATA.RESIZE:
            augmentations = augmentations[1:]  # the first one is the resize
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            "scale_policy": policy,
            # -1 is detectron2's "no seed"; the data order and the draws always have one.
            "seed": max(cfg.SEED, 0),
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one dictionary, which stays as it is.

        Args:
            dataset_dict: Detectron2's standard form; ``corner`` and ``epoch`` (0 by default) are
                understood.

        Raises:
            InputError: The image is missing, cannot be decoded to its end, or has another size
                than the annotations say.
        """
        sample = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        annotations = dataset_dict.get("annotations", ()) if self.is_train else ()
        # Crowd and ignored boxes have no say in the scale, uncertain ones do (README 1.1).
        counted = [box for box in annotations if not (box.get("iscrowd") or box.get("gt_ignore"))]
        boxes = xywh_boxes(counted)  # (N, 4)
        image = self._read_image(sample)
        rng = self._generator(sample)
        aug_input = ScaleMatchAugInput(image, boxes=xywh_to_xyxy(boxes), rng=rng)
        with _numpy_seeded(int(rng.integers(2**32))):
            transforms = self.augmentations(aug_input)
        image = aug_input.image
        sample["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
        if not self.is_train:
            return sample
        keep = np.array([not is_left_out(box) for box in counted], np.bool_)
        keep &= (boxes[:, 2:] > 0).all(axis=1)
        decision = _decision(transforms)
        if decision is not None:
            sample["scale"] = decision.scale
            keep &= decision.keep
        classes = np.array([box["category_id"] for box in counted], np.int64)
        sample["instances"] = self._instances(aug_input.boxes[keep], classes[keep], image.shape[:2])
        return sample

    def _read_image(self, sample: dict[str, Any]) -> npt.NDArray[np.uint8]:
        """The pixels of an image or tile, (H, W, C); adds the size to a sample that has none."""
        called = f"image file {sample['file_name']} (image id {sample.get('image_id')})"
        try:
            image = utils.read_image(sample["file_name"], format=self.image_format)
        except FileNotFoundError as error:
            raise InputError(f"{called} does not exist") from error
        except _IMAGE_ERRORS as error:
            raise InputError(f"{called} cannot be read: {error}") from error
        height, width = image.shape[:2]
        corner = sample.get("corner")
        if corner is not None:
            x1, y1, x2, y2 = corner
            if x2 > width or y2 > height:
                raise InputError(
                    f"{called} is {width} x {height} pixels, but its tile has corner "
                    f"{list(corner)}, which must lie inside"
                )
            # A copy, so that the whole image can go.
            return np.ascontiguousarray(image[y1:y2, x1:x2])
        expected = sample.setdefault("width", width), sample.setdefault("height", height)
        if expected != (width, height):
            raise InputError(
                f"{called} is {width} x {height} pixels, but the annotations say {expected[0]} x "
                f"{expected[1]}"
            )
        return np.asarray(image)

    def _generator(self, sample: dict[str, Any]) -> np.random.Generator:
        image_id = sample.get("image_id", 0)
        if isinstance(image_id, str):  # as detectron2's VOC data sets have
            digest = hashlib.sha256(image_id.encode()).digest()
            image_id = int.from_bytes(digest[:8], "little")
        numbers = self.seed, int(image_id), int(sample.get("epoch", 0))
        return np.random.default_rng([word for number in numbers for word in seed_words(number)])

    def _instances(
        self, boxes: FloatArray, classes: IntArray, image_size: tuple[int, int]
    ) -> Instances:
        """Clip the boxes, (N, 4) XYXY, to the image and leave out those that are too small."""
        height, width = image_size
        boxes = clip_boxes_xyxy(boxes, width, height)
        large = np.asarray((boxes[:, 2:] - boxes[:, :2] >= self.min_box_side).all(axis=1))
        if not large.all():
            self.num_dropped += int(np.count_nonzero(~large))
            log_first_n(
                logging.INFO,
                f"boxes with a side under {self.min_box_side:g} px after augmentation are left out "
                "of training (said once)",
                name=__name__,
            )
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.as_tensor(boxes[large], dtype=torch.float32))
        instances.gt_classes = torch.as_tensor(classes[large])
        return instances


def _decision(transforms: T.TransformList) -> ScaleDecision | None:
    for transform in transforms.transforms:
        if isinstance(transform, ScaleMatchTransform):
            return transform.decision
    return None


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Numpy's global generator, which detectron2's augmentations draw from, with a known state."""
    state = np.random.get_state()  # noqa: NPY002 - it is the legacy generator that they use
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _policy_from_config(cfg: CfgNode) -> ScalePolicy | None:
    node = cfg.SCALE_MATCH
    monotone = node.POLICY == "msm"
    return build_scale_policy(
        node.POLICY,
        target=node.TARGET,
        source=(node.SOURCE or _training_annotations(cfg)) if monotone else (),
        bins=node.BINS,
        log=node.LOG,
        except_rate=node.EXCEPT_RATE,
        scale_range=node.SCALE_RANGE,
        default_scale=node.DEFAULT_SCALE,
        max_tries=node.MAX_TRIES,
        out_of_range=node.OUT_OF_RANGE,
    )


def _training_annotations(cfg: CfgNode) -> list[str]:
    if cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS:
        return [cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS]
    files = []
    for name in cfg.DATASETS.TRAIN:
        json_file = MetadataCatalog.get(name).get("json_file")
        if json_file is None:
            raise InputError(
                f"the data set {name!r} names no annotation file: set SCALE_MATCH.SOURCE"
            )
        files.append(json_file)
    return files
