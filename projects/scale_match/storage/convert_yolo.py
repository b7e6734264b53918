"""YOLO labels to COCO: a text file for each image, one line a box.

A line is ``class x y width height``: the number of the class from 0, the centre and the sides of
the box as parts of the image's width and height. A line ``class x1 y1 x2 y2 x3 y3 ...`` is a
polygon, of which the enclosing box is taken. An image without a label file has no objects.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry
from scale_match.storage.conversion import (
    LabelledImage,
    coco_content,
    find_images,
    numbers_of,
    read_lines,
)
from scale_match.storage.image_files import image_size
from scale_match.storage.problems import Problems

__all__ = ["convert_yolo"]

# Rounding in the files: this much over 1 or under 0 is no error.
_TOLERANCE = 1e-5
_NOT_LABELS = ("classes", "labels", "notes")  # lists that labelling programs put beside the labels


def convert_yolo(
    images: Path,
    labels: Path,
    names: Sequence[str],
    problems: Problems,
    *,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Entry:
    """Read the labels of all images of a folder.

    Args:
        images: Folder of the images; their files tell the sizes.
        labels: Folder of the labels: ``a/b.txt`` belongs to the image ``a/b.jpg``.
        names: Of the classes 0, 1, ...; they become the categories 1, 2, ...
        problems: Gets each image that is left out, and each label file without an image.
        progress: Wraps the list of images.

    Returns:
        The content of a COCO-format file.

    Raises:
        InputError: A folder is missing, no image has labels, none is usable, or ``problems`` is
            strict.
    """
    if not labels.is_dir():
        raise InputError(f"there is no label folder {labels}")
    found = find_images(images)
    _check_labels(found, labels, problems)
    labelled = []
    for path in progress(found):
        try:
            width, height = image_size(images / path)
            boxes = _read_boxes(labels / path.with_suffix(".txt"), names, width, height)
        except InputError as error:
            problems.add(str(error))
            continue
        labelled.append(LabelledImage(path.as_posix(), width, height, boxes))
    return coco_content(labelled, names)


def _check_labels(images: Sequence[Path], labels: Path, problems: Problems) -> None:
    stems = {path.with_suffix("") for path in images}
    if not any((labels / f"{stem}.txt").is_file() for stem in stems):
        raise InputError(f"none of {len(images)} images has a label file in {labels}")
    for path in sorted(labels.rglob("*.txt")):
        stem = path.relative_to(labels).with_suffix("")
        if stem not in stems and stem.name not in _NOT_LABELS:
            problems.add(f"{path} belongs to no image")


def _read_boxes(path: Path, names: Sequence[str], width: int, height: int) -> list[Entry]:
    if not path.exists():
        return []
    boxes = []
    for number, line in read_lines(path):
        where = f"{path}, line {number}:"
        box, category = _box(line.split(), names, where)
        x, y, w, h = box
        bbox = [x * width, y * height, w * width, h * height]
        boxes.append({"bbox": bbox, "category": category})
    return boxes


def _box(
    values: Sequence[str], names: Sequence[str], where: str
) -> tuple[tuple[float, float, float, float], str]:
    """The box, XYWH as parts of the image, and its category."""
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        raise InputError(
            f"{where} a box has 5 values (class x y width height), a polygon an odd number from 7, "
            f"got {len(values)}"
        )
    label, *rest = numbers_of(values, f"{where} values")
    if label not in range(len(names)):
        raise InputError(
            f"{where} the class must be a whole number from 0 to {len(names) - 1}, got {values[0]}"
        )
    if any(not -_TOLERANCE <= value <= 1 + _TOLERANCE for value in rest):
        raise InputError(
            f"{where} coordinates are parts of the image, in [0, 1], got {' '.join(values[1:])}"
        )
    category = names[int(label)]
    if len(rest) == 4:
        x, y, w, h = rest
        return (x - w / 2, y - h / 2, max(w, 0.0), max(h, 0.0)), category
    xs, ys = rest[0::2], rest[1::2]
    return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)), category
