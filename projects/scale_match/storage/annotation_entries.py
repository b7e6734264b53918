"""The entries of a COCO-format file: which fields are read, and the rule that each must keep.

Shared by the strict reader (``annotations``) and the one that lists all problems
(``annotation_survey``).
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, UnsetType

from scale_match.core.errors import InputError
from scale_match.core.records import AnnotationTable, FloatArray, IntArray

__all__ = [
    "ENTRIES",
    "REQUIRED_KEYS",
    "AnnotationEntry",
    "AnnotationFile",
    "CategoryEntry",
    "ImageEntry",
    "annotation_table",
    "broken_rule",
    "called",
    "check_form",
    "entry_ids",
    "json_type",
]

# The descriptions are the rules as they stand in messages.
_Id = Annotated[
    int, Meta(ge=-(2**63), le=2**63 - 1, description="a whole number without a decimal point")
]
_Side = Annotated[int, Meta(gt=0, le=2**31, description="a positive whole number of pixels")]
_Name = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
_Flag = Annotated[bool | Annotated[int, Meta(ge=0, le=1)], Meta(description="true, false, 1 or 0")]
_Corner = Annotated[
    tuple[int, int, int, int],
    Meta(description="four whole numbers x1, y1, x2, y2 of a tile, or absent"),
]
_Box = Annotated[
    tuple[float, float, float, float],
    Meta(description="four numbers x, y, width, height in pixels"),
]
_Area = Annotated[float | None, Meta(description="a number of square pixels, or absent")]
_VisRatio = Annotated[float | None, Meta(description="the visible share, a number, or absent")]
_Vis = Annotated[
    tuple[float, float, float, float] | None,
    Meta(description="the visible box, four numbers x, y, width, height, or absent"),
]
_Size = Annotated[float | None, Meta(description="a number of pixels, or absent")]


class ImageEntry(msgspec.Struct, gc=False):
    """An image, or a tile of one."""

    id: _Id
    file_name: _Name
    width: _Side
    height: _Side
    corner: _Corner | None = None


class CategoryEntry(msgspec.Struct, gc=False):
    """A category."""

    id: _Id
    name: _Name


class AnnotationEntry(msgspec.Struct, gc=False):
    """A box with its flags."""

    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: _Box
    area: _Area = None
    iscrowd: _Flag | UnsetType = UNSET
    ignore: _Flag = False
    uncertain: _Flag = False
    vis_ratio: _VisRatio = None
    vis: _Vis = None
    size: _Size = None


class AnnotationFile(msgspec.Struct):
    """A file, decoded whole."""

    images: list[ImageEntry]
    annotations: list[AnnotationEntry]
    categories: list[CategoryEntry]
    old_images: list[ImageEntry] = []


# Key of the file -> structure of its entries, and what messages call one of them.
ENTRIES: dict[str, tuple[type[msgspec.Struct], str]] = {
    "images": (ImageEntry, "image"),
    "annotations": (AnnotationEntry, "annotation"),
    "categories": (CategoryEntry, "category"),
    "old_images": (ImageEntry, "old image"),
}
REQUIRED_KEYS = ("images", "annotations", "categories")

_Entry = TypeVar("_Entry", ImageEntry, CategoryEntry, AnnotationEntry)


def entry_ids(entries: Sequence[_Entry]) -> IntArray:
    """The ids of entries in file order, (N,)."""
    return _column(entries, "id", np.int64)


def _column(entries: Sequence[_Entry], name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.fromiter(map(attrgetter(name), entries), dtype, len(entries))


def annotation_table(entries: Sequence[AnnotationEntry]) -> AnnotationTable:
    """The columns of entries, with what stands in for absent fields; no value is judged."""
    numbers: Iterable[float] = chain.from_iterable(map(attrgetter("bbox"), entries))
    boxes = np.fromiter(numbers, np.float64, 4 * len(entries)).reshape(-1, 4)  # (N, 4)
    # None becomes NaN; an area of NaN in the file itself counts as absent, too.
    areas = np.array([entry.area for entry in entries], np.float64)  # (N,)
    # Negative areas, and numbers that are too large, are found by the check of the rows.
    with np.errstate(over="ignore"):
        areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas)
    sizes = np.array([entry.size for entry in entries], np.float64)  # (N,)
    with np.errstate(invalid="ignore"):
        sizes = np.where(np.isnan(sizes), np.sqrt(areas), sizes)
    return AnnotationTable(
        ids=entry_ids(entries),
        image_ids=_column(entries, "image_id", np.int64),
        category_ids=_column(entries, "category_id", np.int64),
        boxes=boxes,
        areas=areas,
        iscrowd=np.array([entry.iscrowd is not UNSET and entry.iscrowd for entry in entries], bool),
        ignore=_column(entries, "ignore", np.bool_),
        uncertain=_column(entries, "uncertain", np.bool_),
        visibilities=_visibilities(entries, boxes),
        sizes=sizes,
    )


def _visibilities(entries: Sequence[AnnotationEntry], boxes: FloatArray) -> FloatArray:
    """The visible share of each object, (N,); 1 for a box without area, of which nothing is hid."""
    shares = np.array([entry.vis_ratio for entry in entries], np.float64)
    rows = [row for row, entry in enumerate(entries) if entry.vis is not None]
    visible = np.array([entries[row].vis for row in rows], np.float64).reshape(-1, 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = visible[:, 2:] / boxes[rows, 2:]
    absent = np.isnan(shares[rows])
    shares[rows] = np.where(absent, ratios[:, 0] * ratios[:, 1], shares[rows])
    return np.where(np.isnan(shares), 1.0, shares)


def check_form(raw: Any, source: str) -> None:  # noqa: ANN401 - JSON is any value
    """Refuse what has not the outer form of an annotation file.

    Raises:
        InputError: It is no object, a key is missing, or an entry is no list.
    """
    if not isinstance(raw, dict):
        raise InputError(
            f"{source} is not a COCO annotation file: an object with images, annotations and "
            f"categories is needed, not a JSON {json_type(raw)}"
        )
    for key in REQUIRED_KEYS:
        if key not in raw:
            raise InputError(f"{source} is not a COCO annotation file: it has no key '{key}'")
    for key in ENTRIES:
        if not isinstance(raw.get(key, []), list):
            raise InputError(f"{source}: '{key}' must be a list, not a JSON {json_type(raw[key])}")


def broken_rule(entry: Any, struct: type[msgspec.Struct]) -> str | None:  # noqa: ANN401
    """What is wrong with an entry that its structure refused, as the rest of a sentence."""
    if not isinstance(entry, dict):
        return f"must be an object, not a JSON {json_type(entry)}"
    for field in msgspec.structs.fields(struct):
        if field.name not in entry:
            if field.required:
                return f"has no key '{field.name}'"
            continue
        value = entry[field.name]
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            return f"has {field.name} {value!r}, which must be {_rule(field.type)}"
    return None


def _rule(field_type: Any) -> str:  # noqa: ANN401 - a type expression
    """The description of a field's type; the first one found, inside a union too."""
    parts = [field_type, *getattr(field_type, "__args__", ())]
    metas = chain.from_iterable(getattr(part, "__metadata__", ()) for part in parts)
    return next(str(meta.description) for meta in metas if meta.description)


def called(entry: Any, kind: str, position: int) -> str:  # noqa: ANN401 - JSON is any value
    """What a message calls an entry: by its id, else by its place in the list, counted from 0."""
    if isinstance(entry, dict) and "id" in entry:
        return f"{kind} id {entry['id']!r}"
    return f"{kind} number {position + 1}"


def json_type(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    """What JSON calls the type of a value."""
    names = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
