"""Looks at every image file of a data set and lists what is wrong with them."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scale_match.core.data_problems import Problem, problem
from scale_match.core.records import ImageRecord
from scale_match.storage.image_files import (
    UnreadableImageError,
    decode,
    image_size,
    jpeg_is_closed,
    read_image_bytes,
)

__all__ = ["ImageSurvey", "survey_images"]

Progress = Callable[[Iterable[str]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class ImageSurvey:
    """What was found in an image folder.

    Attributes:
        num_files: Files that were looked for: those that the images name, each once.
        verified: They were decoded, not only opened.
        problems: In the order of ``PROBLEM_KINDS``.
    """

    num_files: int
    verified: bool
    problems: tuple[Problem, ...]


def survey_images(
    images: Sequence[ImageRecord],
    folder: str | os.PathLike[str],
    *,
    verify: bool = False,
    progress: Progress = iter,
) -> ImageSurvey:
    """Check that every image file is there, can be read, and has the size that is stated.

    Args:
        images: Images, or tiles; a tile must lie inside its file.
        folder: What file names are relative to.
        verify: Decode all pixels, which finds damage inside of a file; else headers are read, and
            JPEGs decoded that have no end.
        progress: Wraps the loop over the file names.
    """
    users: dict[str, list[ImageRecord]] = {}
    for image in images:
        users.setdefault(image.file_name, []).append(image)
    missing, unreadable, wrong = [], [], []
    for name in progress(users):
        path = Path(folder, name)
        if not path.is_file():
            missing.append(name)
            continue
        try:
            size = image_size(path)
            if verify or not jpeg_is_closed(path):
                decode(read_image_bytes(path), path, size)
        except UnreadableImageError as error:
            unreadable.append(str(error))
            continue
        wrong += [sentence for image in users[name] if (sentence := _size_error(image, size))][:1]
    found = [
        *problem("missing_file", missing),
        *problem("unreadable_file", unreadable, most=None),
        *problem("wrong_size", wrong),
    ]
    return ImageSurvey(len(users), verify, tuple(found))


def _size_error(image: ImageRecord, size: tuple[int, int]) -> str | None:
    """What is wrong with the stated size, or corner, of a file of (width, height)."""
    if image.corner is not None:
        if image.corner[2] <= size[0] and image.corner[3] <= size[1]:
            return None
        stated = f"has a tile {list(image.corner)}"
    else:
        if (image.width, image.height) == size:
            return None
        stated = f"is stated as {image.width}x{image.height}"
    return f"{image.file_name} (image id {image.image_id}) is {size[0]}x{size[1]}, but {stated}"
