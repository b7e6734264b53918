"""COCO-format annotation files to core values, fast, and with errors that name the culprit.

A file is decoded by typed structures that hold only the fields we use (polygons are skipped), then
turned into columns. Only if that fails a second, plain pass looks for the entry to blame.
"""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from scale_match.core.boxes import GREATEST_COORDINATE
from scale_match.core.errors import InputError
from scale_match.core.records import (
    Annotations,
    AnnotationTable,
    BoolArray,
    CategoryRecord,
    ImageRecord,
    IntArray,
)
from scale_match.storage.annotation_entries import (
    ENTRIES,
    AnnotationEntry,
    AnnotationFile,
    ImageEntry,
    annotation_table,
    broken_rule,
    called,
    check_form,
    entry_ids,
)
from scale_match.storage.files import parse_json, read_bytes

__all__ = ["read_annotations", "read_raw_coco"]


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Read a COCO-format ground-truth file, or a tile ("corner") file, packed by gzip or not.

    ``iscrowd``, ``ignore`` and ``uncertain`` are false where they are absent; ``area`` is w*h then,
    and ``size`` sqrt(area). An absent ``iscrowd``, which COCO files must have, is noted. The
    visible share is ``vis_ratio``, or that of the visible box ``vis``, or 1. Boxes of zero size
    are legal here: who must not see them (histograms, training) leaves them out.

    Args:
        path: The annotation file.

    Returns:
        Images, categories and the table of boxes, in file order, and notes on absent fields.

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
    known = {"images": entry_ids(file.images), "categories": entry_ids(file.categories)}
    _check_unique(known["categories"], "category", source)
    table = annotation_table(file.annotations)
    _check_table(table, known, source)
    return Annotations(
        source=source,
        images=images,
        categories=tuple(CategoryRecord(entry.id, entry.name) for entry in file.categories),
        table=table,
        old_images=_image_records(file.old_images, "old image", source),
        notes=_notes(file.annotations, source),
    )


def read_raw_coco(path: str | os.PathLike[str]) -> dict[str, Any]:
    """All keys and fields of a COCO-format file as plain values, for tools that write one again.

    Only the outer form is checked; :func:`read_annotations` checks the content.

    Raises:
        InputError: The file is missing, not JSON, or has not the form of an annotation file.
    """
    raw = parse_json(read_bytes(path), str(path))
    check_form(raw, str(path))
    return dict(raw)


def _decode(data: bytes, source: str) -> AnnotationFile:
    try:
        return msgspec.json.decode(data, type=AnnotationFile)
    except msgspec.MsgspecError:
        # Broken JSON or a broken rule, for which the plain pass raises; or something that Python
        # takes though JSON has not: a byte order mark, or NaN, no harm in a field that is not read.
        raw = parse_json(data, source)
        check_form(raw, source)
        return AnnotationFile(
            images=_convert_entries(raw, "images", source),
            annotations=_convert_entries(raw, "annotations", source),
            categories=_convert_entries(raw, "categories", source),
            old_images=_convert_entries(raw, "old_images", source),
        )


def _convert_entries(raw: dict[str, Any], key: str, source: str) -> list[Any]:
    struct, kind = ENTRIES[key]
    entries = []
    for position, entry in enumerate(raw.get(key, [])):
        try:
            entries.append(msgspec.convert(entry, struct))
        except msgspec.ValidationError as error:
            reason = broken_rule(entry, struct) or str(error)
            raise InputError(f"{source}: {called(entry, kind, position)} {reason}") from error
    return entries


def _image_records(
    entries: Sequence[ImageEntry], kind: str, source: str
) -> tuple[ImageRecord, ...]:
    _check_unique(entry_ids(entries), kind, source)
    for entry in entries:
        if entry.corner is not None:
            _check_corner(entry, entry.corner, source)
    return tuple(
        ImageRecord(entry.id, entry.file_name, entry.width, entry.height, entry.corner)
        for entry in entries
    )


def _check_corner(entry: ImageEntry, corner: tuple[int, int, int, int], source: str) -> None:
    x1, y1, x2, y2 = corner
    if x1 < 0 or y1 < 0 or (x2 - x1, y2 - y1) != (entry.width, entry.height):
        raise InputError(
            f"{source}: image id {entry.id} has corner {list(corner)}, which must start at 0 or "
            f"later and span the tile's width {entry.width} and height {entry.height}"
        )


def _notes(entries: Sequence[AnnotationEntry], source: str) -> tuple[str, ...]:
    """What a user should hear about fields that stand in for absent ones."""
    absent = sum(entry.iscrowd is UNSET for entry in entries)
    if not absent:
        return ()
    return (f"{source}: {absent} of {len(entries)} annotations have no iscrowd, which means 0",)


def _check_table(table: AnnotationTable, known: dict[str, IntArray], source: str) -> None:
    """Check every row; ``known`` gives the ids that the lists 'images' and 'categories' have."""
    boxes, areas = table.boxes, table.areas
    finite = np.logical_and.reduce(np.isfinite(boxes), axis=1)
    _check_rows(table, finite, boxes, ("bbox", "four finite numbers"), source)
    small = np.logical_and.reduce(np.abs(boxes) <= GREATEST_COORDINATE, axis=1)
    rule = f"four numbers of at most {GREATEST_COORDINATE:g} pixels"
    _check_rows(table, small, boxes, ("bbox", rule), source)
    legal = np.logical_and.reduce(boxes[:, 2:] >= 0, axis=1)
    rule = "a box whose width and height are not negative"
    _check_rows(table, legal, boxes, ("bbox", rule), source)
    legal = np.isfinite(areas) & (areas >= 0)
    _check_rows(table, legal, areas, ("area", "a finite number that is not negative"), source)
    legal = np.isfinite(table.sizes) & (table.sizes >= 0)
    _check_rows(table, legal, table.sizes, ("size", "a finite number that is not negative"), source)
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
