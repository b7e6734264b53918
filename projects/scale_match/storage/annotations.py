"""COCO-format annotation files to core values, fast, and with errors that name the culprit.

A file is decoded by typed structures that hold only the fields we use (polygons are skipped), then
turned into columns. Only if that fails a second, plain pass looks for the entry to blame.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from scale_match.core.errors import InputError
from scale_match.core.records import (
    Annotations,
    AnnotationTable,
    BoolArray,
    CategoryRecord,
    ImageRecord,
    IntArray,
)
from scale_match.storage.files import parse_json, read_bytes

__all__ = ["read_annotations", "read_raw_coco"]

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


class _Image(msgspec.Struct, gc=False):
    id: _Id
    file_name: _Name
    width: _Side
    height: _Side
    corner: _Corner | None = None


class _Category(msgspec.Struct, gc=False):
    id: _Id
    name: _Name


class _Annotation(msgspec.Struct, gc=False):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: _Box
    area: _Area = None
    iscrowd: _Flag = False
    ignore: _Flag = False
    uncertain: _Flag = False


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]
    old_images: list[_Image] = []


# Key of the file -> structure of its entries, and what messages call one of them.
_ENTRIES: dict[str, tuple[type[msgspec.Struct], str]] = {
    "images": (_Image, "image"),
    "annotations": (_Annotation, "annotation"),
    "categories": (_Category, "category"),
    "old_images": (_Image, "old image"),
}
_REQUIRED_KEYS = ("images", "annotations", "categories")

_Struct = TypeVar("_Struct", _Image, _Category, _Annotation)


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Read a COCO-format ground-truth file, or a tile ("corner") file, packed by gzip or not.

    ``iscrowd``, ``ignore`` and ``uncertain`` are false where they are absent; ``area`` is w*h then.
    Boxes of zero size are legal here: who must not see them (histograms, training) leaves them out.

    Args:
        path: The annotation file.

    Returns:
        Images, categories and the table of boxes, in file order.

    Raises:
        InputError: The file is missing or not JSON, a key is missing, an entry breaks a rule (the
            message names its id, the field, the rule and the value), ids occur twice, or there is
            no image.
    """
    source = str(path)
    file = _decode(read_bytes(path), source)
    images = _image_records(file.images, "image", source)
    if not images:
        raise InputError(f"{source} has no image at all: 'images' is empty")
    known = {"images": _ids(file.images), "categories": _ids(file.categories)}
    _check_unique(known["categories"], "category", source)
    table = _annotation_table(file.annotations)
    _check_table(table, known, source)
    return Annotations(
        source=source,
        images=images,
        categories=tuple(CategoryRecord(entry.id, entry.name) for entry in file.categories),
        table=table,
        old_images=_image_records(file.old_images, "old image", source),
    )


def read_raw_coco(path: str | os.PathLike[str]) -> dict[str, Any]:
    """All keys and fields of a COCO-format file as plain values, for tools that write one again.

    Only the outer form is checked; :func:`read_annotations` checks the content.

    Raises:
        InputError: The file is missing, not JSON, or has not the form of an annotation file.
    """
    raw = parse_json(read_bytes(path), str(path))
    _check_form(raw, str(path))
    return dict(raw)


def _decode(data: bytes, source: str) -> _File:
    try:
        return msgspec.json.decode(data, type=_File)
    except msgspec.MsgspecError:
        # Broken JSON or a broken rule, for which the plain pass raises; or something that Python
        # takes though JSON has not: a byte order mark, or NaN, no harm in a field that is not read.
        raw = parse_json(data, source)
        _check_form(raw, source)
        return _File(
            images=_convert_entries(raw, "images", source),
            annotations=_convert_entries(raw, "annotations", source),
            categories=_convert_entries(raw, "categories", source),
            old_images=_convert_entries(raw, "old_images", source),
        )


def _check_form(raw: Any, source: str) -> None:  # noqa: ANN401 - JSON is any value
    if not isinstance(raw, dict):
        raise InputError(
            f"{source} is not a COCO annotation file: an object with images, annotations and "
            f"categories is needed, not a JSON {_json_type(raw)}"
        )
    for key in _REQUIRED_KEYS:
        if key not in raw:
            raise InputError(f"{source} is not a COCO annotation file: it has no key '{key}'")
    for key in _ENTRIES:
        if not isinstance(raw.get(key, []), list):
            raise InputError(f"{source}: '{key}' must be a list, not a JSON {_json_type(raw[key])}")


def _convert_entries(raw: dict[str, Any], key: str, source: str) -> list[Any]:
    struct, kind = _ENTRIES[key]
    entries = []
    for position, entry in enumerate(raw.get(key, [])):
        try:
            entries.append(msgspec.convert(entry, struct))
        except msgspec.ValidationError as error:
            reason = _broken_rule(entry, struct) or str(error)
            raise InputError(f"{source}: {_called(entry, kind, position)} {reason}") from error
    return entries


def _broken_rule(entry: Any, struct: type[msgspec.Struct]) -> str | None:  # noqa: ANN401
    """What is wrong with an entry that its structure refused, as the rest of a sentence."""
    if not isinstance(entry, dict):
        return f"must be an object, not a JSON {_json_type(entry)}"
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


def _called(entry: Any, kind: str, position: int) -> str:  # noqa: ANN401 - JSON is any value
    if isinstance(entry, dict) and "id" in entry:
        return f"{kind} id {entry['id']!r}"
    return f"{kind} number {position + 1}"


def _json_type(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    names = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _image_records(entries: Sequence[_Image], kind: str, source: str) -> tuple[ImageRecord, ...]:
    _check_unique(_ids(entries), kind, source)
    for entry in entries:
        if entry.corner is not None:
            _check_corner(entry, entry.corner, source)
    return tuple(
        ImageRecord(entry.id, entry.file_name, entry.width, entry.height, entry.corner)
        for entry in entries
    )


def _check_corner(entry: _Image, corner: tuple[int, int, int, int], source: str) -> None:
    x1, y1, x2, y2 = corner
    if x1 < 0 or y1 < 0 or (x2 - x1, y2 - y1) != (entry.width, entry.height):
        raise InputError(
            f"{source}: image id {entry.id} has corner {list(corner)}, which must start at 0 or "
            f"later and span the tile's width {entry.width} and height {entry.height}"
        )


def _ids(entries: Sequence[_Struct]) -> IntArray:
    return _column(entries, "id", np.int64)


def _column(entries: Sequence[_Struct], name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.fromiter(map(attrgetter(name), entries), dtype, len(entries))


def _annotation_table(entries: Sequence[_Annotation]) -> AnnotationTable:
    numbers: Iterable[float] = chain.from_iterable(map(attrgetter("bbox"), entries))
    boxes = np.fromiter(numbers, np.float64, 4 * len(entries)).reshape(-1, 4)  # (N, 4)
    # None becomes NaN; an area of NaN in the file itself counts as absent, too.
    areas = np.array([entry.area for entry in entries], np.float64)  # (N,)
    return AnnotationTable(
        ids=_ids(entries),
        image_ids=_column(entries, "image_id", np.int64),
        category_ids=_column(entries, "category_id", np.int64),
        boxes=boxes,
        areas=np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas),
        iscrowd=_column(entries, "iscrowd", np.bool_),
        ignore=_column(entries, "ignore", np.bool_),
        uncertain=_column(entries, "uncertain", np.bool_),
    )


def _check_table(table: AnnotationTable, known: dict[str, IntArray], source: str) -> None:
    """Check every row; ``known`` gives the ids that the lists 'images' and 'categories' have."""
    boxes, areas = table.boxes, table.areas
    finite = np.logical_and.reduce(np.isfinite(boxes), axis=1)
    _check_rows(table, finite, boxes, ("bbox", "four finite numbers"), source)
    legal = np.logical_and.reduce(boxes[:, 2:] >= 0, axis=1)
    rule = "a box whose width and height are not negative"
    _check_rows(table, legal, boxes, ("bbox", rule), source)
    legal = np.isfinite(areas) & (areas >= 0)
    _check_rows(table, legal, areas, ("area", "a finite number that is not negative"), source)
    for field, references, key in (
        ("image_id", table.image_ids, "images"),
        ("category_id", table.category_ids, "categories"),
    ):
        legal = np.isin(references, known[key])
        _check_rows(table, legal, references, (field, f"the id of an entry of '{key}'"), source)
    _check_unique(table.ids, "annotation", source)


def _check_rows(
    table: AnnotationTable,
    legal: BoolArray,
    values: npt.NDArray[Any],
    field_and_rule: tuple[str, str],
    source: str,
) -> None:
    if legal.all():
        return
    row = int(np.argmin(legal))
    field, rule = field_and_rule
    raise InputError(
        f"{source}: annotation id {table.ids[row]} has {field} {values[row].tolist()}, which must "
        f"be {rule}"
    )


def _check_unique(ids: IntArray, kind: str, source: str) -> None:
    in_order = np.sort(ids)
    repeated = in_order[1:][in_order[1:] == in_order[:-1]]
    if repeated.size:
        raise InputError(f"{source}: {kind} id {repeated[0]} occurs more than once; ids are unique")
