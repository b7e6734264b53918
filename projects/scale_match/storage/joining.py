"""Several COCO-format files joined into one, with ids that stay unique.

COCO's train and val files have no id in common, so theirs stay as they are. Where ids do clash, the
entry of the later file gets the next number above all ids, and the boxes follow their image.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry, refuse_tiles

__all__ = ["join_annotations"]


def join_annotations(
    parts: Mapping[str, Entry], *, prefixes: Sequence[str] = (), strict: bool = False
) -> tuple[Entry, dict[str, int]]:
    """Join the contents of several files.

    Categories are the same where their names are; one that only a later file has comes at the end.
    Other keys of the files (``info``, ``licenses``) are those of the first file.

    Args:
        parts: Name of each file (for messages) and its content, as ``read_raw_coco`` gives it;
            checked by ``read_annotations``. At least two.
        prefixes: Folders to put before the file_name of each file's images; none or one a file.
        strict: Refuse ids that clash instead of renumbering.

    Returns:
        The joined content, and how many entries got another id, for ``images``, ``annotations``
        and ``categories``.

    Raises:
        InputError: There are fewer than two files, one is of tiles, two images have one file_name,
            a file has two categories of one name, or ids clash and ``strict`` is set.
    """
    _check(parts, prefixes)
    ids = _JoinedIds(parts.values(), strict)
    joined: Entry = {**next(iter(parts.values())), "images": [], "annotations": []}
    file_of_name: dict[str, str] = {}
    before = prefixes or [""] * len(parts)
    for (source, part), prefix in zip(parts.items(), before, strict=True):
        category_ids = ids.categories.add(part["categories"], source)
        image_ids = {}
        for image in part["images"]:
            name = str(PurePosixPath(prefix, image["file_name"])) if prefix else image["file_name"]
            if name in file_of_name:
                raise InputError(
                    f"{source}: image id {image['id']} has the file_name {name!r}, as one in "
                    f"{file_of_name[name]}; prefixes would tell them apart"
                )
            file_of_name[name] = source
            image_ids[image["id"]] = ids.images.give(image["id"], source)
            joined["images"].append({**image, "id": image_ids[image["id"]], "file_name": name})
        for box in part["annotations"]:
            own = {"id": ids.annotations.give(box["id"], source)}
            own["image_id"] = image_ids[box["image_id"]]
            own["category_id"] = category_ids[box["category_id"]]
            joined["annotations"].append({**box, **own})
    joined["categories"] = ids.categories.entries
    return joined, ids.changed()


def _check(parts: Mapping[str, Entry], prefixes: Sequence[str]) -> None:
    if len(parts) < 2:
        raise InputError(f"at least two files are needed to merge, got {len(parts)}")
    if prefixes and len(prefixes) != len(parts):
        raise InputError(f"{len(prefixes)} prefixes for {len(parts)} files: one a file is needed")
    for source, part in parts.items():
        try:
            refuse_tiles(part, "merge the files of whole images, then cut them into tiles")
        except InputError as error:
            raise InputError(f"{source}: {error}") from error


class _JoinedIds:
    """The ids of all kinds in the joined file."""

    def __init__(self, parts: Collection[Entry], strict: bool) -> None:
        self.images = _Numbers("image", strict)
        self.annotations = _Numbers("annotation", strict)
        self.categories = _Categories(strict)
        for part in parts:
            self.images.reserve(entry["id"] for entry in part["images"])
            self.annotations.reserve(entry["id"] for entry in part["annotations"])
            self.categories.numbers.reserve(entry["id"] for entry in part["categories"])

    def changed(self) -> dict[str, int]:
        return {
            "images": self.images.changed,
            "annotations": self.annotations.changed,
            "categories": self.categories.numbers.changed,
        }


class _Numbers:
    """Gives ids: the own one where it is free, else the next above all."""

    def __init__(self, kind: str, strict: bool) -> None:
        self.kind, self.strict = kind, strict
        self.taken: set[int] = set()
        self.next = 0
        self.changed = 0

    def reserve(self, ids: Iterable[int]) -> None:
        """No new number is one of these."""
        self.next = max(self.next, max(ids, default=-1) + 1)

    def give(self, own: int, source: str) -> int:
        if own not in self.taken:
            self.taken.add(own)
            return own
        if self.strict:
            raise InputError(f"{source}: {self.kind} id {own} occurs in an earlier file, too")
        self.taken.add(self.next)
        self.changed += 1
        self.next += 1
        return self.next - 1


class _Categories:
    """The joined categories, told apart by their names."""

    def __init__(self, strict: bool) -> None:
        self.numbers = _Numbers("category", strict)
        self.entries: list[Entry] = []
        self._id_of_name: dict[str, int] = {}

    def add(self, categories: Sequence[Entry], source: str) -> dict[int, int]:
        """Take over a file's categories; returns its id -> the joined id."""
        names = [category["name"] for category in categories]
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise InputError(f"{source}: two categories are called {doubled!r}")
        joined = {}
        for category in categories:
            name = category["name"]
            if name not in self._id_of_name:
                self._id_of_name[name] = self.numbers.give(category["id"], source)
                self.entries.append({**category, "id": self._id_of_name[name]})
            joined[category["id"]] = self._id_of_name[name]
        return joined
