"""Pascal VOC labels to COCO: an XML file for each image.

VOC counts pixels from 1 and names the last one of a box: x = xmin - 1, width = xmax - xmin + 1.
Many programs write such files with coordinates from 0 and the far corner exclusive; ``zero_based``
reads those. A ``difficult`` object, which VOC's evaluation leaves out, becomes an ignore region.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry
from scale_match.storage.conversion import LabelledImage, coco_content, numbers_of
from scale_match.storage.files import read_bytes
from scale_match.storage.image_files import IMAGE_SUFFIXES, image_size
from scale_match.storage.problems import Problems

__all__ = ["convert_voc"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def convert_voc(
    labels: Path,
    problems: Problems,
    *,
    images: Path | None = None,
    names: Sequence[str] = (),
    zero_based: bool = False,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Entry:
    """Read all XML files of a folder.

    Args:
        labels: Folder of the XML files.
        problems: Gets each image that is left out.
        images: Folder of the images; where it is given, each image must be there and have the size
            that the XML states. Without it the XML must state a size.
        names: Categories in the order of their ids; by default those found, in alphabetical order.
        zero_based: Corners count from 0, and the far one is exclusive.
        progress: Wraps the list of files.

    Returns:
        The content of a COCO-format file.

    Raises:
        InputError: The folder has no XML file, no image is usable, or ``problems`` is strict.
    """
    found = sorted(labels.rglob("*.xml")) if labels.is_dir() else []
    if not found:
        raise InputError(f"there is no .xml file in {labels}")
    labelled = []
    for path in progress(found):
        try:
            labelled.append(_read_image(path, labels, images, names, zero_based))
        except InputError as error:
            problems.add(str(error))
    present = {box["category"] for image in labelled for box in image.boxes}
    return coco_content(labelled, names or sorted(present))


def _read_image(
    path: Path, labels: Path, images: Path | None, names: Sequence[str], zero_based: bool
) -> LabelledImage:
    try:
        root = ElementTree.fromstring(read_bytes(path))
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not valid XML: {error}") from error
    file_name = (path.relative_to(labels).parent / _file_name(root, path)).as_posix()
    size = _stated_size(root, path)
    if images is not None:
        file_name = _existing(images, file_name, path)
        found = image_size(images / file_name)
        if size is not None and size != found:
            raise InputError(
                f"{path} states {size[0]}x{size[1]} pixels, {images / file_name} has "
                f"{found[0]}x{found[1]}"
            )
        size = found
    if size is None:
        raise InputError(f"{path} states no size, and no image folder was given to find it")
    boxes = [
        _box(entry, f"{path}, object {number}:", names, zero_based)
        for number, entry in enumerate(root.findall("object"), 1)
    ]
    return LabelledImage(file_name, *size, boxes)


def _file_name(root: ElementTree.Element, path: Path) -> str:
    named = (root.findtext("filename") or "").strip()
    # Only the last part: some programs write whole paths of the machine that they ran on.
    return Path(named.replace("\\", "/")).name or path.with_suffix(".jpg").name


def _existing(images: Path, file_name: str, path: Path) -> str:
    """The image of a label file: as it says, or called like the label file."""
    stem = Path(file_name).with_name(path.stem)
    for candidate in (Path(file_name), *(stem.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)):
        if (images / candidate).is_file():
            return candidate.as_posix()
    raise InputError(f"{path} has no image: there is no {file_name} in {images}")


def _stated_size(root: ElementTree.Element, path: Path) -> tuple[int, int] | None:
    texts = [(root.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
    if not any(texts) or texts == ["0", "0"]:  # some programs write zeros for "not known"
        return None
    width, height = numbers_of(texts, f"{path}: width and height")
    if width < 1 or height < 1 or width % 1 or height % 1:
        raise InputError(f"{path}: width and height must be whole and positive, got {texts}")
    return int(width), int(height)


def _box(entry: ElementTree.Element, where: str, names: Sequence[str], zero_based: bool) -> Entry:
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where} it has no name")
    if names and name not in names:
        raise InputError(f"{where} its name {name!r} is none of {', '.join(names)}")
    texts = [(entry.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
    x1, y1, x2, y2 = numbers_of(texts, f"{where} xmin, ymin, xmax, ymax")
    if x2 < x1 or y2 < y1:
        raise InputError(f"{where} the box must not end before it starts, got {' '.join(texts)}")
    if not zero_based:
        x1, y1 = x1 - 1, y1 - 1
    box: Entry = {"bbox": [x1, y1, x2 - x1, y2 - y1], "category": name}
    if (entry.findtext("difficult") or "").strip() == "1":
        box["ignore"] = True
    return box
