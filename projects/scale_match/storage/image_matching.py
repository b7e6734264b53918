"""Which image of an annotation file an image on the disk is, by its name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, ImageRecord

__all__ = ["match_images"]


def match_images(annotations: Annotations, names: Mapping[Path, str]) -> list[int]:
    """The id in an annotation file of each of some images.

    The whole name decides first; where the file has no such name the last part of it, which must
    then be that of one image only.

    Args:
        annotations: Of whole images.
        names: Image file -> its name relative to its folder.

    Returns:
        Ids, in the order of ``names``.

    Raises:
        InputError: The file is of tiles; an image is not in it or could be several; or two images
            are the same one. The message names the image.
    """
    source = annotations.source
    if any(image.corner is not None for image in annotations.images):
        raise InputError(
            f"{source} is of tiles (it has 'corner' entries): name the file of the whole images"
        )
    by_name = _grouped((str(PurePosixPath(one.file_name)), one) for one in annotations.images)
    by_last_part = _grouped((PurePosixPath(one.file_name).name, one) for one in annotations.images)
    taken: dict[int, Path] = {}
    for path, name in names.items():
        candidates = by_name.get(name) or by_last_part.get(PurePosixPath(name).name, [])
        if not candidates:
            raise InputError(f"the image {path} is not in {source}: it has no file_name {name!r}")
        first, *others = candidates
        if others:
            raise InputError(
                f"the image {path} could be several of {source}: image ids {first.image_id} "
                f"({first.file_name}) and {others[0].image_id} ({others[0].file_name})"
            )
        if first.image_id in taken:
            raise InputError(
                f"the images {taken[first.image_id]} and {path} would both be image id "
                f"{first.image_id} ({first.file_name}) of {source}"
            )
        taken[first.image_id] = path
    return list(taken)


def _grouped(named: Iterable[tuple[str, ImageRecord]]) -> dict[str, list[ImageRecord]]:
    groups: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for name, image in named:
        groups[name].append(image)
    return dict(groups)
