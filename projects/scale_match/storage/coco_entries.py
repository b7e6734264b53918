"""Small steps on the plain content of COCO-format files, shared by the data tools.

The content is what ``read_raw_coco`` gives, checked by ``read_annotations``. Functions return new
lists and dictionaries and leave their arguments as they are.
"""

from collections.abc import Collection
from typing import Any

from scale_match.core.errors import InputError

__all__ = [
    "Entry",
    "boxes_of_images",
    "check_distinct_files",
    "ids_of_files",
    "refuse_tiles",
    "without_images",
]

Entry = dict[str, Any]


def boxes_of_images(raw: Entry) -> dict[int, list[Entry]]:
    """The annotations of each image id, in file order; images without any have an empty list."""
    boxes: dict[int, list[Entry]] = {image["id"]: [] for image in raw["images"]}
    for box in raw["annotations"]:
        boxes[box["image_id"]].append(box)
    return boxes


def refuse_tiles(raw: Entry, instead: str) -> None:
    """Refuse a file of tiles where only whole images make sense.

    Raises:
        InputError: An image has a ``corner``; ``instead`` ends the sentence.
    """
    if any(image.get("corner") is not None for image in raw["images"]):
        raise InputError(
            f"the annotations are of tiles already (they have 'corner' entries): {instead}"
        )


def check_distinct_files(raw: Entry) -> None:
    """Refuse two images with one file.

    Raises:
        InputError: A file_name occurs twice.
    """
    seen: dict[str, int] = {}
    for image in raw["images"]:
        name, image_id = image["file_name"], image["id"]
        if name in seen:
            raise InputError(f"image ids {seen[name]} and {image_id} have one file_name {name!r}")
        seen[name] = image_id


def without_images(raw: Entry, image_ids: Collection[int]) -> Entry:
    """The content without some images and their boxes."""
    if not image_ids:
        return raw
    images = [image for image in raw["images"] if image["id"] not in image_ids]
    boxes = [box for box in raw["annotations"] if box["image_id"] not in image_ids]
    return {**raw, "images": images, "annotations": boxes}


def ids_of_files(raw: Entry, file_names: Collection[str]) -> set[int]:
    """The ids of the images with these names."""
    return {image["id"] for image in raw["images"] if image["file_name"] in file_names}
