"""Reads a COCO-format file that may be broken, and lists what is broken instead of stopping.

A file without broken entries is decoded at once, as by the strict reader; only one with some is
gone through entry by entry.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from scale_match.core.data_problems import Problem, problem
from scale_match.core.records import Annotations, CategoryRecord, ImageRecord
from scale_match.storage.annotation_entries import (
    ENTRIES,
    AnnotationFile,
    ImageEntry,
    annotation_table,
    broken_rule,
    called,
    check_form,
)
from scale_match.storage.files import parse_json, read_bytes

__all__ = ["AnnotationSurvey", "survey_annotations"]


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationSurvey:
    """What could be read of an annotation file.

    Attributes:
        annotations: The entries that keep the rules on their fields. Nothing is checked between
            them: ids may repeat, and boxes may name images and categories that are not there.
        problems: The entries that do not, as one problem; empty without one.
        broken_image_ids: Ids of images among them.
    """

    annotations: Annotations
    problems: tuple[Problem, ...]
    broken_image_ids: frozenset[int]


def survey_annotations(path: str | os.PathLike[str]) -> AnnotationSurvey:
    """Read what can be read.

    Args:
        path: The annotation file, packed by gzip or not.

    Raises:
        InputError: The file is missing, not JSON, or has not the outer form of an annotation file,
            so that nothing can be read.
    """
    data, source = read_bytes(path), str(path)
    sentences: list[str] = []
    broken_image_ids: set[int] = set()
    try:
        file = msgspec.json.decode(data, type=AnnotationFile)
    except msgspec.MsgspecError:
        raw = parse_json(data, source)
        check_form(raw, source)
        file, broken_image_ids = _legal_entries(raw, sentences)
    annotations = Annotations(
        source=source,
        images=_image_records(file.images),
        categories=tuple(CategoryRecord(entry.id, entry.name) for entry in file.categories),
        table=annotation_table(file.annotations),
        old_images=_image_records(file.old_images),
    )
    found = tuple(problem("broken_entry", sentences))
    return AnnotationSurvey(annotations, found, frozenset(broken_image_ids))


def _legal_entries(raw: dict[str, Any], sentences: list[str]) -> tuple[AnnotationFile, set[int]]:
    """The entries that keep their rules; notes a sentence on each other one."""
    legal: dict[str, list[Any]] = {}
    broken_image_ids: set[int] = set()
    for key, (struct, kind) in ENTRIES.items():
        legal[key] = []
        for position, entry in enumerate(raw.get(key, [])):
            try:
                legal[key].append(msgspec.convert(entry, struct))
            except msgspec.ValidationError as error:
                reason = broken_rule(entry, struct) or str(error)
                sentences.append(f"{called(entry, kind, position)} {reason}")
                if key == "images" and isinstance(entry, dict) and type(entry.get("id")) is int:
                    broken_image_ids.add(entry["id"])
    return AnnotationFile(**legal), broken_image_ids


def _image_records(entries: Sequence[ImageEntry]) -> tuple[ImageRecord, ...]:
    return tuple(
        ImageRecord(entry.id, entry.file_name, entry.width, entry.height, entry.corner)
        for entry in entries
    )
