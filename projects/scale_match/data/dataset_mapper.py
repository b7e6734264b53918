"""From a data set dictionary to a model's input, with Scale Match and tiles.

What a call returns is a function of (seed, image id, epoch): it makes its own generator, seeds
numpy's global one for detectron2's augmentations, and lets it go on where it was. So the number of
workers and processes does not change the training data, nor does a resume.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from detectron2.structures import Boxes, Instances
from detectron2.utils.logger import log_first_n

from scale_match.core.boxes import clip_boxes_xyxy, xywh_to_xyxy
from scale_match.core.erasing import erase_regions
from scale_match.core.errors import InputError
from scale_match.core.randomness import sample_randomness
from scale_match.core.records import BoolArray, FloatArray, IntArray
from scale_match.core.scale_policy import ScaleDecision, ScalePolicy
from scale_match.data.augmentation import ScaleMatch, ScaleMatchAugInput, ScaleMatchTransform
from scale_match.data.canvas import Canvas
from scale_match.data.datasets import is_left_out, sizes_of_image, xywh_boxes
from scale_match.data.image_reading import EncodedImage
from scale_match.data.policies import policy_from_config
from scale_match.data.scale_augmentations import scale_augmentations_from_config
from scale_match.data.tile_reading import TileReader

__all__ = ["IGNORE_REGIONS", "ScaleMatchDatasetMapper"]

IGNORE_REGIONS = ("background", "erase", "mask")

# Models that know what class -1 is.
_MASKING_MODELS = ("ScaleMatchRetinaNet", "ScaleMatchFasterRCNN", "ScaleMatchFCOS")


class ScaleMatchDatasetMapper(DatasetMapper):
    """Reads an image or a tile, augments it, and turns its boxes into training instances.

    Returned keys: ``image`` (uint8 tensor, C x H x W), ``height`` and ``width`` (of the image or
    tile before augmentation), ``image_id``, ``file_name``, all others of the dictionary, and in
    training ``instances`` (``gt_boxes``, ``gt_classes``), ``dropped_boxes`` (how many objects in
    the sample were too small after scaling) and, under a policy, ``scale`` (its factor).

    Training leaves out boxes that are crowd, ignored or uncertain, that have no area, that the
    policy drops, or that end up with a side under ``min_box_side``. What becomes of the regions of
    the first three says ``ignore_regions``:

    * "background": nothing is done about them;
    * "erase": they are filled with their mean colour, except for pixels of boxes to train on;
    * "mask": they come after the other ``instances`` with class -1, for a model that takes their
      background out of the loss, as the detectors of this project do. So does what a tile, crop or
      mosaic shows of an object of which it leaves too little to train on.

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
        ignore_regions: str = "background",
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
            ignore_regions: "background", "erase" or "mask"; see above.

        Raises:
            ValueError: A policy is given for testing, or the seed is negative.
            InputError: ``ignore_regions`` is none of the three.
        """
        if scale_policy is not None and not is_train:
            raise ValueError("scale_policy is for training: it needs the boxes")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if ignore_regions not in IGNORE_REGIONS:
            raise InputError(
                f"ignore_regions (SCALE_MATCH.IGNORE_REGIONS) must be one of "
                f"{', '.join(IGNORE_REGIONS)}, not {ignore_regions!r}"
            )
        policies = [] if scale_policy is None else [ScaleMatch(scale_policy)]
        super().__init__(
            is_train, augmentations=[*policies, *augmentations], image_format=image_format
        )
        self.seed = seed
        self.min_box_side = min_box_side
        self.ignore_regions = ignore_regions
        self.num_dropped = 0
        self._tiles = TileReader(image_format)

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
        masks = is_train and cfg.SCALE_MATCH.IGNORE_REGIONS == "mask"
        if masks and cfg.MODEL.META_ARCHITECTURE not in _MASKING_MODELS:
            raise InputError(
                f"SCALE_MATCH.IGNORE_REGIONS 'mask' needs MODEL.META_ARCHITECTURE "
                f"{' or '.join(_MASKING_MODELS)}, not {cfg.MODEL.META_ARCHITECTURE}"
            )
        policy = policy_from_config(cfg) if is_train else None
        augmentations = utils.build_augmentation(cfg, is_train)
        if policy is not None or not cfg.SCALE_MATCH.DATA.RESIZE:
            augmentations = augmentations[1:]  # the first one is the resize
        if is_train:
            augmentations = [*scale_augmentations_from_config(cfg).augs, *augmentations]
        return {
            "is_train": is_train,
            "augmentations": augmentations,
            "image_format": cfg.INPUT.FORMAT,
            "scale_policy": policy,
            # -1 is detectron2's "no seed"; the data order and the draws always have one.
            "seed": max(cfg.SEED, 0),
            "ignore_regions": cfg.SCALE_MATCH.IGNORE_REGIONS,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Map one dictionary, which stays as it is.

        Args:
            dataset_dict: Detectron2's standard form; ``corner``, ``epoch`` (0 by default) and
                ``canvas`` (in place of an image and its annotations) are understood.

        Raises:
            InputError: The image is missing, cannot be decoded to its end, or has another size
                than the annotations say.
        """
        sample = {k: v for k, v in dataset_dict.items() if k not in ("annotations", "canvas")}
        canvas: Canvas | None = dataset_dict.get("canvas")
        annotations = dataset_dict.get("annotations", ()) if self.is_train else ()
        image: npt.NDArray[Any] | EncodedImage
        if canvas is None:
            image = self._erased(self._read_image(sample), annotations)
        else:
            image = canvas.pixels(self.image_format, erase=self.ignore_regions == "erase")
            annotations = canvas.annotations()
        counted = [box for box in annotations if sizes_of_image(box)]
        boxes = xywh_boxes(counted)  # (N, 4)
        randomness = sample_randomness(self.seed, sample.get("image_id", 0), sample.get("epoch", 0))
        aug_input = ScaleMatchAugInput(image, boxes=xywh_to_xyxy(boxes), rng=randomness.rng)
        with _numpy_seeded(randomness.stock_seed):
            transforms = self.augmentations(aug_input)
        image = aug_input.image
        # A copy in any case: what counts as contiguous may have a negative stride along one pixel.
        sample["image"] = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
        if not self.is_train:
            return sample
        wanted = np.array([not is_left_out(box) for box in counted], np.bool_)
        wanted &= boxes[:, 2:].min(axis=1) > 0.0
        keep = wanted
        decision = _decision(transforms)
        if decision is not None:
            sample["scale"] = decision.scale
            keep = wanted & decision.keep
        # Augmentations that crop take the area of boxes of which too little is left.
        has_area = _shortest_sides(aug_input.boxes) > 0.0
        cropped = keep & ~has_area
        clipped = clip_boxes_xyxy(aug_input.boxes, image.shape[1], image.shape[0])
        shortest = _shortest_sides(clipped)
        keep = self._large(keep & has_area, shortest)
        seen = wanted & (shortest > 0.0)
        sample["dropped_boxes"] = int(np.count_nonzero(seen) - np.count_nonzero(keep))
        classes = np.array([box["category_id"] for box in counted], np.int64)
        instances = _instances(clipped[keep], classes[keep], image.shape[:2])
        if self.ignore_regions == "mask":
            flagged = xywh_boxes([box for box in annotations if is_left_out(box)])  # (M, 4)
            regions = xywh_to_xyxy(np.concatenate([flagged, boxes[cropped]]))
            regions = clip_boxes_xyxy(transforms.apply_box(regions), image.shape[1], image.shape[0])
            regions = regions[_shortest_sides(regions) > 0.0]
            masked = _instances(regions, np.full(len(regions), -1), image.shape[:2])
            instances = Instances.cat([instances, masked])
        sample["instances"] = instances
        return sample

    def _read_image(self, sample: dict[str, Any]) -> npt.NDArray[Any] | EncodedImage:
        """The image, not decoded, or a tile's pixels; adds the size to a sample that has none."""
        name, image_id, corner = sample["file_name"], sample.get("image_id"), sample.get("corner")
        if corner is not None:
            return self._tiles.pixels(name, corner, image_id)
        encoded = EncodedImage(name, self.image_format, image_id)
        height, width = encoded.size
        encoded.check_size(sample.setdefault("width", width), sample.setdefault("height", height))
        return encoded

    def _erased(
        self, image: npt.NDArray[Any] | EncodedImage, annotations: Sequence[dict[str, Any]]
    ) -> npt.NDArray[Any] | EncodedImage:
        """The image without its flagged regions, if that is what becomes of them."""
        if self.ignore_regions != "erase":
            return image
        flagged = [box for box in annotations if is_left_out(box) and not box.get("cut")]
        if not flagged:
            return image
        regions = xywh_boxes(flagged)
        objects = xywh_boxes([box for box in annotations if not is_left_out(box)])
        if isinstance(image, EncodedImage):
            image.erase(regions, objects)
            return image
        return erase_regions(image, regions, objects)

    def _large(self, keep: BoolArray, shortest: FloatArray) -> BoolArray:
        """Those of the boxes to keep, (N,), whose shortest side is long enough."""
        large = keep & (shortest >= self.min_box_side)
        if np.count_nonzero(large) < np.count_nonzero(keep):
            self.num_dropped += int(np.count_nonzero(keep) - np.count_nonzero(large))
            log_first_n(
                logging.INFO,
                f"boxes with a side under {self.min_box_side:g} px after augmentation are left out "
                "of training (said once)",
                name=__name__,
            )
        return large


def _instances(boxes: FloatArray, classes: IntArray, image_size: tuple[int, int]) -> Instances:
    """What a detector is trained on: boxes, (N, 4) XYXY, and their classes, (N,)."""
    instances = Instances(image_size)
    instances.gt_boxes = Boxes(torch.from_numpy(boxes.astype(np.float32)))
    instances.gt_classes = torch.from_numpy(classes)
    return instances


def _shortest_sides(boxes: FloatArray) -> FloatArray:
    """The smaller one of width and height of boxes, (N, 4) XYXY, in pixels, (N,)."""
    return (boxes[:, 2:] - boxes[:, :2]).min(axis=1)


def _decision(transforms: T.TransformList) -> ScaleDecision | None:
    for transform in transforms.transforms:
        if isinstance(transform, ScaleMatchTransform):
            return transform.decision
    return None


# The same numbers as those of numpy's global generator, in a generator of our own: to exchange the
# two takes 3 us, to seed the global one and to put its 624 words back 60 us.
_STAND_IN = np.random.MT19937()
_SEED_OF_STAND_IN = np.random.RandomState(_STAND_IN)


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Numpy's global generator, which detectron2's augmentations draw from, with a known state.

    Afterwards it goes on where it was, but for the second one of a pair of normal numbers that it
    may have had in store: numpy forgets it when generators are exchanged.
    """
    own = np.random.get_bit_generator()  # type: ignore[attr-defined] # numpy's stubs lack it
    _SEED_OF_STAND_IN.seed(seed)
    np.random.set_bit_generator(_STAND_IN)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        np.random.set_bit_generator(own)  # type: ignore[attr-defined]
