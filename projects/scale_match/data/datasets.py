"""Any COCO-format file and its image folder as a detectron2 data set, without writing Python."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, FloatArray, ImageRecord
from scale_match.storage.annotations import read_annotations

__all__ = [
    "category_ids",
    "check_image_files",
    "check_trainable",
    "has_box",
    "is_left_out",
    "load_dicts",
    "register_coco_file",
    "sizes_of_image",
    "with_boxes",
    "xywh_boxes",
]

_logger = logging.getLogger(__name__)


def register_coco_file(
    name: str, annotations_path: str | os.PathLike[str], image_dir: str | os.PathLike[str]
) -> None:
    """Make an annotation file and its image folder known to detectron2 under a name.

    The file is read at once, so that its errors come first and the metadata are complete before
    anything asks for them (an evaluator, for instance). Registering the same again does nothing;
    if the file has changed meanwhile, it is read anew.

    Metadata: ``thing_classes``, ``thing_dataset_id_to_contiguous_id`` (class indices follow the
    ascending category ids, as in detectron2), ``json_file``, ``image_root``,
    ``evaluator_type="tiny"``.

    Args:
        name: Name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        annotations_path: COCO-format file; tile ("corner") entries are understood.
        image_dir: What ``file_name`` is relative to.

    Raises:
        InputError: The file breaks a rule, or the name is taken by another data set.
    """
    json_file, image_root = str(Path(annotations_path).resolve()), str(Path(image_dir).resolve())
    if name in DatasetCatalog.list():
        metadata = MetadataCatalog.get(name)
        registered = metadata.get("json_file"), metadata.get("image_root")
        if registered != (json_file, image_root):
            raise InputError(
                f"the data set name {name!r} is taken by {registered[0]} with images in "
                f"{registered[1]}; give {json_file} with images in {image_root} another name"
            )
        if metadata.get("json_stamp") == _stamp(json_file):
            return
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    annotations = read_annotations(json_file)
    contiguous = {category: index for index, category in enumerate(category_ids(annotations))}
    names = {category.category_id: category.name for category in annotations.categories}
    MetadataCatalog.get(name).set(
        thing_classes=[names[category] for category in contiguous],
        thing_dataset_id_to_contiguous_id=contiguous,
        json_file=json_file,
        json_stamp=_stamp(json_file),
        image_root=image_root,
        evaluator_type="tiny",
    )
    DatasetCatalog.register(name, lambda: load_dicts(annotations, image_root))


def category_ids(annotations: Annotations) -> list[int]:
    """The file's category id of each class index 0, 1, ...: the ids in ascending order."""
    return sorted(category.category_id for category in annotations.categories)


def load_dicts(annotations: Annotations, image_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Detectron2's standard data set dictionaries, one for each image or tile, in file order.

    Besides the standard keys a tile has ``corner`` (x1, y1, x2, y2 in the whole image, pixels), and
    an annotation has ``gt_ignore``, ``uncertain`` (booleans) and ``id``. No box is left out here.
    ``bbox`` holds floats: detectron2 truncates the coordinates of integer boxes when it resizes.

    Args:
        annotations: The file's content.
        image_dir: What ``file_name`` is relative to.
    """
    dicts = [_image_dict(image, image_dir) for image in annotations.images]
    by_id = {entry["image_id"]: entry["annotations"] for entry in dicts}
    table = annotations.table
    columns = (
        table.image_ids,
        table.ids,
        np.searchsorted(np.array(category_ids(annotations)), table.category_ids),
        table.boxes,
        table.iscrowd.astype(np.int64),
        table.ignore,
        table.uncertain,
    )
    # A loop over boxes, for once: the format asks for one dictionary each.
    for image_id, box_id, category, box, crowd, ignore, uncertain in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        by_id[image_id].append(
            {
                "id": box_id,
                "bbox": box,
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": category,
                "iscrowd": crowd,
                "gt_ignore": ignore,
                "uncertain": uncertain,
            }
        )
    return dicts


def check_image_files(dicts: Sequence[dict[str, Any]]) -> None:
    """Refuse a data set of which an image file is missing, before hours of training meet it.

    Looks at names only, not into the files, and once at each file.

    Raises:
        InputError: Names the first missing file, its image id, and how many are missing.
    """
    first_use = {entry["file_name"]: entry["image_id"] for entry in reversed(dicts)}
    missing = [
        name
        for name in dict.fromkeys(entry["file_name"] for entry in dicts)
        if not Path(name).is_file()
    ]
    if missing:
        raise InputError(
            f"image file {missing[0]} (image id {first_use[missing[0]]}) does not exist; "
            f"{len(missing)} of {len(first_use)} image files are missing"
        )


def check_trainable(dicts: Sequence[dict[str, Any]]) -> None:
    """Refuse a data set without a box to train on; say once how many boxes have zero size.

    Args:
        dicts: Data set dictionaries, as :func:`load_dicts` makes them.

    Raises:
        InputError: There is no image, or every box is crowd, ignored, uncertain or of zero size.
    """
    if not dicts:
        raise InputError("the data set to train on has no image at all")
    boxes = [box for entry in dicts for box in entry.get("annotations", ())]
    empty = (xywh_boxes(boxes)[:, 2:] <= 0).any(axis=1)
    left_out = np.array([is_left_out(box) for box in boxes], np.bool_)
    where = f"{len(dicts)} images, the first of which is {dicts[0]['file_name']}"
    if empty.any():
        _logger.warning(
            "%d of %d boxes have zero width or height and are left out of training (%s)",
            np.count_nonzero(empty),
            len(boxes),
            where,
        )
    if (left_out | empty).all():
        raise InputError(
            f"there is no box to train on in {where}: of {len(boxes)} boxes all are crowd, "
            "ignored, uncertain, or of zero width or height"
        )


def is_left_out(annotation: Mapping[str, Any]) -> bool:
    """Whether training leaves an annotation out by its flags.

    What becomes of its area is the mapper's ``ignore_regions``; background by default. ``cut``
    marks what a tile or crop leaves of an object that belongs to another one.
    """
    return bool(
        annotation.get("iscrowd", 0)
        or annotation.get("gt_ignore")
        or annotation.get("uncertain")
        or annotation.get("cut")
    )


def sizes_of_image(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation has a say in the scale of its image (README 1.1).

    Crowd and ignored boxes have none, nor have cut ones; uncertain ones do.
    """
    return not (annotation.get("iscrowd") or annotation.get("gt_ignore") or annotation.get("cut"))


def has_box(entry: Mapping[str, Any]) -> bool:
    """Whether an image or tile has a box to train on, by the flags of its annotations."""
    return not all(is_left_out(box) for box in entry.get("annotations", ()))


def with_boxes(dicts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The images that have a box to train on, as detectron2's FILTER_EMPTY_ANNOTATIONS.

    Args:
        dicts: Data set dictionaries, as :func:`load_dicts` makes them.

    Returns:
        All of them where none has a box: :func:`check_trainable` then says why.
    """
    kept = [entry for entry in dicts if has_box(entry)]
    return kept or list(dicts)


def xywh_boxes(annotations: Sequence[Mapping[str, Any]]) -> FloatArray:
    """The boxes of annotation dictionaries as XYWH_ABS doubles, (N, 4).

    Raises:
        InputError: A ``bbox_mode`` is neither XYWH_ABS nor XYXY_ABS.
    """
    boxes = np.array([box["bbox"] for box in annotations], np.float64).reshape(-1, 4)  # (N, 4)
    modes = [box["bbox_mode"] for box in annotations]
    if modes.count(BoxMode.XYWH_ABS) < len(modes):
        corners = np.array(modes, np.int64) == BoxMode.XYXY_ABS
        if not np.count_nonzero(corners) + modes.count(BoxMode.XYWH_ABS) == len(modes):
            raise InputError("every bbox_mode of the training data must be XYWH_ABS or XYXY_ABS")
        boxes[corners, 2:] -= boxes[corners, :2]
    return boxes


def _image_dict(image: ImageRecord, image_dir: str | os.PathLike[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "file_name": str(Path(image_dir, image.file_name)),
        "image_id": image.image_id,
        "height": image.height,
        "width": image.width,
        "annotations": [],
    }
    if image.corner is not None:
        entry["corner"] = image.corner
    return entry


def _stamp(path: str) -> tuple[int, int] | None:
    """Changes when the file does; None if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
