"""What the converters from other annotation formats share.

Each converter yields its images as :class:`LabelledImage`; :func:`coco_content` numbers them. An
image whose labels are broken is left out with all its boxes, not trained on as background.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry, check_distinct_files
from scale_match.storage.files import read_bytes
from scale_match.storage.image_files import IMAGE_SUFFIXES

__all__ = ["LabelledImage", "coco_content", "find_images", "numbers_of", "read_lines", "read_names"]


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image and its boxes.

    Attributes:
        file_name: Path relative to the image folder.
        width: In pixels.
        height: In pixels.
        boxes: Annotation entries with ``bbox`` and ``category`` (a name), and what else the format
            knows; ids, area and iscrowd are filled in later.
    """

    file_name: str
    width: int
    height: int
    boxes: list[Entry] = field(default_factory=list)


def coco_content(images: Iterable[LabelledImage], categories: Sequence[str]) -> Entry:
    """The content of a COCO-format file; ids of images, boxes and categories count up from 1.

    Args:
        images: In the order in which they get their ids.
        categories: Names, in the order of the category ids.

    Raises:
        InputError: There is no image, two have one file, or a category name occurs twice.
    """
    if len(set(categories)) < len(categories):
        raise InputError(f"category names must be different, got {', '.join(categories)}")
    ids = {name: position for position, name in enumerate(categories, 1)}
    content: Entry = {"images": [], "annotations": [], "categories": []}
    for image in images:
        image_id = len(content["images"]) + 1
        size = {"width": image.width, "height": image.height}
        content["images"].append({"id": image_id, "file_name": image.file_name, **size})
        for box in image.boxes:
            fields = {key: value for key, value in box.items() if key != "category"}
            entry = {
                "id": len(content["annotations"]) + 1,
                "image_id": image_id,
                "category_id": ids[box["category"]],
                "area": box["bbox"][2] * box["bbox"][3],
                "iscrowd": 0,
                **fields,
            }
            content["annotations"].append(entry)
    if not content["images"]:
        raise InputError("no usable image was found, so there is nothing to write")
    check_distinct_files(content)
    content["categories"] = [
        {"id": category_id, "name": name, "supercategory": "none"}
        for name, category_id in ids.items()
    ]
    return content


def find_images(folder: Path) -> list[Path]:
    """The image files in a folder and the folders below, relative to it, in order of their names.

    Raises:
        InputError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no image folder {folder}")
    found = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise InputError(f"there is no image in {folder} ({', '.join(IMAGE_SUFFIXES)})")
    return found


def read_names(path: Path) -> list[str]:
    """Category names from a file, in the order of their class numbers 0, 1, ...

    Args:
        path: Plain text with one name a line, or YAML (``.yaml``, ``.yml``) whose ``names`` are a
            list, or a mapping from 0, 1, ...

    Raises:
        InputError: The file cannot be read, or holds no such names.
    """
    data = read_bytes(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        names: Any = [line.strip() for line in _text(data, path).splitlines() if line.strip()]
    else:
        names = _yaml_names(data, path)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{path} must hold category names, got {names!r}")
    return list(names)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1.

    Raises:
        InputError: The file cannot be read or is not text.
    """
    lines = enumerate(_text(read_bytes(path), path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def numbers_of(values: Sequence[str], where: str) -> list[float]:
    """Texts as finite numbers.

    Raises:
        InputError: One is not; ``where`` begins the sentence.
    """
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if not numbers or any(number - number != 0 for number in numbers):  # not for nan and inf
        raise InputError(f"{where} must be finite numbers, got {' '.join(values)!r}")
    return numbers


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file: byte {error.start} is not utf-8") from error


def _yaml_names(data: bytes, path: Path) -> object:
    try:
        content = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        return [names[number] for number in range(len(names))]
    return names if isinstance(names, list) else None
