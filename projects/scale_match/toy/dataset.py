"""Writes the toy data: a source of large figures and a target of tiny ones, as COCO files.

Layout, like that of the real data the project is tried on::

    FOLDER/source/annotations/train.json    FOLDER/source/images/*.jpg
    FOLDER/target/annotations/train.json    FOLDER/target/train/*.jpg
    FOLDER/target/annotations/test.json     FOLDER/target/test/*.jpg
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.files import write_bytes, write_json
from scale_match.toy.scenes import Scene, draw_source_scene, draw_target_scene

__all__ = ["ToySet", "ToySettings", "toy_sets", "write_toy_data"]

_JPEG_QUALITY = 90
MAX_TEST_IMAGES = 20


@dataclass(frozen=True, slots=True)
class ToySettings:
    """How much to draw, and from which seed.

    An image depends on the seed, its set and its number only: more images leave the first ones as
    they were.

    Raises:
        InputError: A count below 1, more than 20 test images, or a negative seed.
    """

    seed: int = 0
    source_images: int = 96
    target_train: int = 24
    target_test: int = 12

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"the toy data's seed must not be negative, but is {self.seed}")
        for name in ("source_images", "target_train", "target_test"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"the toy data's {name} must be at least 1, but is {getattr(self, name)}"
                )
        if self.target_test > MAX_TEST_IMAGES:
            raise InputError(
                f"the toy data's target_test must be at most {MAX_TEST_IMAGES}, "
                f"but is {self.target_test}"
            )


@dataclass(frozen=True, slots=True)
class ToySet:
    """One COCO file and its images.

    Attributes:
        annotations: Path of the COCO file.
        images: Folder of its images.
        count: Number of images.
        draw: Draws one of them.
    """

    annotations: Path
    images: Path
    count: int
    draw: Callable[[np.random.Generator], Scene]


def toy_sets(folder: Path, settings: ToySettings) -> dict[str, ToySet]:
    """Where the three sets are, or will be: ``source``, ``target_train``, ``target_test``."""
    source, target = folder / "source", folder / "target"
    train, test = (target / "annotations" / f"{split}.json" for split in ("train", "test"))
    return {
        "source": ToySet(
            source / "annotations" / "train.json",
            source / "images",
            settings.source_images,
            draw_source_scene,
        ),
        "target_train": ToySet(train, target / "train", settings.target_train, draw_target_scene),
        "target_test": ToySet(test, target / "test", settings.target_test, draw_target_scene),
    }


def write_toy_data(folder: Path, settings: ToySettings) -> dict[str, ToySet]:
    """Draw and write everything; each annotation file after its images.

    Args:
        folder: Made if it is not there.
        settings: Seed and numbers of images.

    Returns:
        The sets written, as :func:`toy_sets` names them.
    """
    sets = toy_sets(folder, settings)
    for number, toy_set in enumerate(sets.values()):
        toy_set.images.mkdir(parents=True, exist_ok=True)
        toy_set.annotations.parent.mkdir(parents=True, exist_ok=True)
        scenes = []
        for index in range(toy_set.count):
            scene = toy_set.draw(np.random.default_rng((settings.seed, number, index)))
            write_bytes(toy_set.images / _file_name(index), _jpeg(scene.image))
            scenes.append(scene)
        write_json(toy_set.annotations, _coco_file(scenes))
    return sets


def _file_name(index: int) -> str:
    return f"{index + 1:04d}.jpg"


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _coco_file(scenes: list[Scene]) -> dict[str, object]:
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index, scene in enumerate(scenes):
        height, width = scene.image.shape[:2]
        name = _file_name(index)
        images.append({"id": index + 1, "file_name": name, "width": width, "height": height})
        for box, ignore, uncertain, iscrowd in zip(
            scene.boxes, scene.ignore, scene.uncertain, scene.iscrowd, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": 1,
                    "bbox": [round(float(value), 3) for value in box],
                    "area": round(float(box[2] * box[3]), 3),
                    "iscrowd": int(iscrowd),
                    "ignore": bool(ignore),
                    "uncertain": bool(uncertain),
                }
            )
    categories = [{"id": 1, "name": "person"}]
    return {"images": images, "annotations": annotations, "categories": categories}
