"""One COCO-format file split into a training and a test file, whole groups of images together.

Neighbouring frames of a video, and tiles that overlap, show the same objects: on both sides they
would make the score too good.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from scale_match.core.checks import whole_number
from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry, without_images

__all__ = ["FOLDER", "SplitSide", "split_annotations"]

FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class SplitSide:
    """The training or the test side.

    Attributes:
        content: Of the annotation file.
        num_groups: How many groups its images are of.
    """

    content: Entry
    num_groups: int


def split_annotations(
    raw: Entry, *, share: float = 0.2, seed: int = 0, group_by: str | None = None
) -> tuple[SplitSide, SplitSide]:
    """Split a file's images, and with them their boxes; all else is the same on both sides.

    The groups are gone through in random order, and each goes to the test side that brings its
    number of images nearer to the share, rounded up. A share above one half draws the training
    side in this way. A tile, also one that is an image file of its own, counts by the name of its
    whole image. ``old_images`` go with their tiles, those without any to the training side.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        share: Share of the images for the test side, between 0 and 1.
        seed: Equal ones draw the same groups from the same file.
        group_by: None makes each image file a group; ``folder`` each folder; anything else is a
            regular expression, whose first group in brackets, or whole match, names the group.

    Returns:
        The training side and the test side; each has an image.

    Raises:
        InputError: ``share`` or ``seed`` is out of range, ``group_by`` is no regular expression or
            does not match a file name, or all images are of one group.
    """
    if not 0 < share < 1:
        raise InputError(f"share must be above 0 and below 1, got {share}")
    whole_number("seed", seed, minimum=0)
    groups = _groups(raw, group_by)
    if len(groups) < 2:
        how = "" if group_by is None else f" by {group_by!r}"
        raise InputError(
            f"a split needs two groups of images at least, got {len(groups)}{how}, with all "
            f"{len(raw['images'])} images"
        )
    tested = _draw({name: len(images) for name, images in groups.items()}, share, seed)
    training = groups.keys() - tested
    train, test = (
        without_images(raw, {image["id"] for name in other for image in groups[name]})
        for other in (tested, training)
    )
    if "old_images" in raw:
        files = {image["file_name"] for image in test["images"]}
        old: tuple[list[Entry], list[Entry]] = ([], [])
        for image in raw["old_images"]:
            old[image["file_name"] in files].append(image)
        train["old_images"], test["old_images"] = old
    return SplitSide(train, len(training)), SplitSide(test, len(tested))


def _groups(raw: Entry, group_by: str | None) -> dict[str, list[Entry]]:
    """The images of each group; groups and images in file order."""
    pattern = None if group_by in (None, FOLDER) else _compiled(str(group_by))
    groups: dict[str, list[Entry]] = {}
    for image in raw["images"]:
        path = PurePosixPath(_whole_name(image))
        if pattern is not None:
            name = _matched(pattern, image)
        else:
            name = str(path if group_by is None else path.parent)
        groups.setdefault(name, []).append(image)
    return groups


def _whole_name(image: Entry) -> str:
    """The file name of an image, or of that which it was cut from (``tile_image_files``)."""
    whole = image.get("tile_of")
    name = whole.get("file_name") if isinstance(whole, dict) else None
    return name if isinstance(name, str) else str(image["file_name"])


def _compiled(group_by: str) -> re.Pattern[str]:
    try:
        return re.compile(group_by)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(
            f"group_by must be {FOLDER!r} or a regular expression, got {group_by!r}: {error}"
        ) from error


def _matched(pattern: re.Pattern[str], image: Entry) -> str:
    """The part of an image's file name that names its group."""
    name = _whole_name(image)
    match = pattern.search(name)
    group = match[1 if pattern.groups else 0] if match else None
    if group is None:
        part = "the first group of group_by" if match else "group_by"
        raise InputError(
            f"image id {image['id']} has the file_name {name!r}, which {part} "
            f"{pattern.pattern!r} does not match"
        )
    return str(group)


def _draw(sizes: Mapping[str, int], share: float, seed: int) -> set[str]:
    """The groups of the test side, from the number of images of each of two groups or more."""
    total = sum(sizes.values())
    # Rounded, because 0.07 * 100 is a little above 7.
    wanted = math.ceil(round(share * total, 6))
    # Drawing the side with fewer images never takes all.
    fewer = min(wanted, total - wanted)
    names = list(sizes)
    rng = np.random.Generator(np.random.PCG64(seed))
    order = [names[index] for index in rng.permutation(len(names)).tolist()]
    drawn: set[str] = set()
    count = 0
    for name in order:
        if abs(count + sizes[name] - fewer) <= fewer - count:
            drawn.add(name)
            count += sizes[name]
    # Where every group is larger than twice that, the smallest is nearest.
    drawn = drawn or {min(order, key=sizes.__getitem__)}
    return drawn if fewer == wanted else set(names) - drawn
