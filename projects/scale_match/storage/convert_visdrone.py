"""VisDrone-DET annotations to COCO: a text file for each image, one line a box.

A line is ``left,top,width,height,score,category,truncation,occlusion``. Category 0 is an ignored
region and 11 are "others"; the benchmark's evaluation leaves both out, and boxes of score 0, too.
All these become ignore regions.
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

__all__ = ["VISDRONE_CATEGORIES", "convert_visdrone"]

VISDRONE_CATEGORIES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
)
_IGNORED_REGION, _OTHERS = 0, 11


def convert_visdrone(
    images: Path,
    labels: Path,
    problems: Problems,
    *,
    regions_in_each: bool = False,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Entry:
    """Read the annotations of all images of a folder.

    Args:
        images: Folder of the images; their files tell the sizes.
        labels: Folder of the text files: ``b.txt`` belongs to the image ``b.jpg``.
        problems: Gets each image that is left out.
        regions_in_each: Write each region of category 0 and 11 once for every category, so that an
            evaluation by category ignores detections of all of them there. By default it is
            written once, under the first category: enough for training and for a single class.
        progress: Wraps the list of images.

    Returns:
        The content of a COCO-format file; ``truncation`` and ``occlusion`` are kept as fields.

    Raises:
        InputError: A folder is missing, no image is usable, or ``problems`` is strict.
    """
    if not labels.is_dir():
        raise InputError(f"there is no label folder {labels}")
    labelled = []
    for path in progress(find_images(images)):
        try:
            width, height = image_size(images / path)
            boxes = _read_boxes(labels / path.with_suffix(".txt"), regions_in_each)
        except InputError as error:
            problems.add(str(error))
            continue
        labelled.append(LabelledImage(path.as_posix(), width, height, boxes))
    return coco_content(labelled, VISDRONE_CATEGORIES)


def _read_boxes(path: Path, regions_in_each: bool) -> list[Entry]:
    boxes: list[Entry] = []
    for number, line in read_lines(path):
        boxes += _entries(line, f"{path}, line {number}:", regions_in_each)
    return boxes


def _entries(line: str, where: str, regions_in_each: bool) -> list[Entry]:
    values = [value.strip() for value in line.rstrip(",").split(",")]
    if len(values) != 8:
        raise InputError(f"{where} 8 values separated by commas are needed, got {len(values)}")
    x, y, w, h, score, category, truncation, occlusion = numbers_of(values, f"{where} values")
    if w < 0 or h < 0:
        raise InputError(f"{where} width and height must not be negative, got {w:g} and {h:g}")
    if category not in range(_OTHERS + 1):
        raise InputError(
            f"{where} the category must be a whole number from 0 to {_OTHERS}, got {values[5]}"
        )
    region = category in (_IGNORED_REGION, _OTHERS)
    entry: Entry = {
        "bbox": [x, y, w, h],
        "ignore": region or score == 0,
        "truncation": int(truncation),
        "occlusion": int(occlusion),
    }
    names = [VISDRONE_CATEGORIES[0 if region else int(category) - 1]]
    if region and regions_in_each:
        names = list(VISDRONE_CATEGORIES)
    return [{**entry, "category": name} for name in names]
