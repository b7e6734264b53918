"""A folder of links to images that lie in several folders, so that one annotation file serves."""

import os
from collections.abc import Mapping
from pathlib import Path

from scale_match.core.errors import InputError
from scale_match.storage.image_jobs import image_path
from scale_match.storage.problems import Problems

__all__ = ["link_images"]


def link_images(targets: Mapping[str, Path], folder: Path, problems: Problems) -> None:
    """Make a relative symbolic link for each image; those that are right already stay.

    Args:
        targets: Name in the new folder -> the image.
        folder: Made where it is missing.
        problems: Gets each image that does not exist.

    Raises:
        InputError: Something else is in the way of a link, a link cannot be made, a name leads out
            of the folder, or ``problems`` is strict and an image is missing.
    """
    for name, target in targets.items():
        if not target.is_file():
            problems.add(f"{target} does not exist")
            continue
        link = image_path(folder, name)
        wanted = os.path.relpath(target.resolve(), link.parent.resolve())
        try:
            if link.is_symlink() and os.readlink(link) == wanted:  # noqa: PTH115 - as it was written
                continue
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(wanted)
        except OSError as error:
            raise InputError(f"cannot make the link {link}: {error.strerror}") from error
