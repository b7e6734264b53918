"""Annotations and images with erased regions, as TinyPerson's authors train on.

In their erased set no annotation is flagged ``ignore`` or ``uncertain`` any more: what is erased is
gone from both, the picture and the annotation file.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from scale_match.core.erasing import erase_regions, touched_pixels
from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import (
    Entry,
    boxes_of_images,
    check_distinct_files,
    refuse_tiles,
)
from scale_match.storage.image_files import Picture
from scale_match.storage.image_jobs import ImageJob, image_path

__all__ = ["REGION_FLAGS", "Erase", "erase_jobs", "erased_annotations"]

REGION_FLAGS = ("ignore", "uncertain", "iscrowd", "logo")

_Boxes = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Erase:
    """Fills regions with their mean colours; see :func:`scale_match.core.erasing.erase_regions`.

    Attributes:
        regions: XYWH boxes to fill.
        objects: XYWH boxes whose pixels stay.
    """

    regions: _Boxes
    objects: _Boxes = ()

    def apply(self, picture: Picture) -> Picture:
        """The picture with the regions filled."""
        erased = erase_regions(picture.pixels, self.regions, self.objects)
        return Picture(erased, picture.icc_profile)


def erased_annotations(raw: Entry, flags: Collection[str] = ("ignore", "uncertain")) -> Entry:
    """The annotations that are left when those with one of the flags are erased.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        flags: Some of ``REGION_FLAGS``.

    Raises:
        InputError: A flag is unknown, or there is none.
    """
    _check_flags(flags)
    left = [box for box in raw["annotations"] if not _is_region(box, flags)]
    return {**raw, "annotations": left}


def erase_jobs(
    raw: Entry,
    images: Path,
    output: Path,
    *,
    flags: Collection[str] = ("ignore", "uncertain"),
    cover_objects: bool = False,
    keep_others: bool = False,
) -> list[ImageJob]:
    """What to write so that the regions of all images are erased.

    An image without a region is copied as it is.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        images: Folder of the images.
        output: Folder to write to; names are kept.
        flags: An annotation with one of these is a region, every other one an object.
        cover_objects: Fill regions even where objects that are trained on lie in them.
        keep_others: See :class:`scale_match.storage.image_jobs.ImageJob`.

    Raises:
        InputError: The file is one of tiles, a flag is unknown, two images have one file, or a
            file_name leads out of the folder.
    """
    _check_flags(flags)
    refuse_tiles(raw, "erase the whole images, then cut them into tiles")
    check_distinct_files(raw)
    boxes = boxes_of_images(raw)
    jobs = []
    for image in raw["images"]:
        name, size = image["file_name"], (image["width"], image["height"])
        edit = _edit(boxes[image["id"]], size, flags, cover_objects)
        target = image_path(output, name)
        jobs.append(ImageJob(name, image_path(images, name), size, ((target, edit),), keep_others))
    return jobs


def _edit(
    boxes: list[Entry], size: tuple[int, int], flags: Collection[str], cover_objects: bool
) -> Erase | None:
    regions = _coordinates(box for box in boxes if _is_region(box, flags))
    if not touched_pixels(regions, *size).any():
        return None
    objects = () if cover_objects else _coordinates(b for b in boxes if _is_object(b))
    return Erase(regions, objects)


def _coordinates(boxes: Iterable[Entry]) -> _Boxes:
    return tuple(tuple(float(value) for value in box["bbox"]) for box in boxes)


def _is_region(box: Entry, flags: Collection[str]) -> bool:
    return any(box.get(flag) for flag in flags)


def _is_object(box: Entry) -> bool:
    """Whether training uses the box: only then its pixels are worth keeping."""
    return not (box.get("ignore") or box.get("uncertain") or box.get("iscrowd"))


def _check_flags(flags: Collection[str]) -> None:
    unknown = [flag for flag in flags if flag not in REGION_FLAGS]
    if unknown or not flags:
        raise InputError(
            f"flags must be some of {', '.join(REGION_FLAGS)}, got {', '.join(unknown) or 'none'}"
        )
