"""Detections and metrics, from files and to files.

Detections are kept in the COCO results form: a list of objects with ``image_id``,
``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``. Further keys are skipped.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, BoolArray, DetectionTable
from scale_match.storage.files import parse_json, read_bytes, write_bytes, write_json

__all__ = ["read_detections", "write_detections", "write_metrics"]

_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_LONGEST_VALUE = 200  # characters of a received value that a message repeats

# Bytes decoded at a time. Python objects need several times the memory of the text and of the
# columns, so they are made for a part of the file only.
_PIECE = 1 << 21
_BETWEEN_ENTRIES = re.compile(rb"\}\s*,\s*(?=\{)")


class _Detection(msgspec.Struct, gc=False):
    image_id: _Id
    category_id: _Id
    bbox: tuple[float, float, float, float]
    score: float


_DECODER = msgspec.json.Decoder(list[_Detection])


def read_detections(
    path: str | os.PathLike[str], annotations: Annotations | None = None
) -> DetectionTable:
    """Read a results file, packed by gzip or not.

    Args:
        path: The file; an empty list is legal, and so is a box of zero size.
        annotations: The ground truth, if the image ids are to be checked. Categories are not
            checked: the evaluation drops those that the ground truth does not declare.

    Returns:
        The detections in file order.

    Raises:
        InputError: If the file is missing or broken, an entry lacks a key or has a value of the
            wrong kind, a number is not finite, a width or height is negative, or an image is
            unknown. The message names the file, the entry's place, the rule and the value.
    """
    source = str(path)
    table = _decode(read_bytes(path), source)
    _check_table(table, source)
    if annotations is not None:
        known = [image.image_id for image in annotations.images]
        _check_rows(
            np.isin(table.image_ids, known),
            table.image_ids,
            f"an image_id that {annotations.source} lists (are these detections of another data "
            "set?)",
            source,
        )
    return table


def write_detections(path: str | os.PathLike[str], table: DetectionTable) -> None:
    """Write a results file with all digits, so that reading it gives the same numbers.

    Args:
        path: The file to make or to replace.
        table: The detections.

    Raises:
        ValueError: If a number is not finite, which JSON cannot say.
        InputError: If the file cannot be written.
    """
    if not (np.isfinite(table.boxes).all() and np.isfinite(table.scores).all()):
        raise ValueError("detections need finite boxes and scores")
    entries = map(
        _Detection,
        table.image_ids.tolist(),
        table.category_ids.tolist(),
        table.boxes.tolist(),
        table.scores.tolist(),
    )
    write_bytes(path, msgspec.json.encode(list(entries)))


def write_metrics(path: str | os.PathLike[str], metrics: Mapping[str, float]) -> None:
    """Write metrics as one JSON object, name -> fraction (-1.0: nothing to measure).

    Args:
        path: The file to make or to replace.
        metrics: As of ``scale_match.core.metric_names.tiny_metrics``.

    Raises:
        ValueError: If a value is not finite.
        InputError: If the file cannot be written.
    """
    write_json(path, dict(metrics), indent=1)


def _decode(data: bytes, source: str) -> DetectionTable:
    # First in pieces, then as a whole, because a cut may have fallen into an entry. If that fails,
    # too, a plain pass finds the culprit. It may find none: Python writes NaN, which JSON does not
    # have; that is for the check of the numbers.
    for pieces in (_pieces(data), (data,)):
        with contextlib.suppress(msgspec.MsgspecError):
            return _joined([_columns(_DECODER.decode(piece)) for piece in pieces])
    return _columns(_convert_entries(parse_json(data, source), source))


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut a list of objects between its entries into shorter lists.

    If all of them are valid, the list is, and has their entries: a parser that has read complete
    entries is where it would be at the beginning of a list. A cut inside of an entry leaves a piece
    that is not valid.
    """
    start = 0
    opening = b""
    while cut := _BETWEEN_ENTRIES.search(data, start + _PIECE):
        yield opening + data[start : cut.start() + 1] + b"]"
        start, opening = cut.end(), b"["
    yield opening + data[start:]


def _joined(tables: list[DetectionTable]) -> DetectionTable:
    return DetectionTable(
        image_ids=np.concatenate([table.image_ids for table in tables]),
        category_ids=np.concatenate([table.category_ids for table in tables]),
        boxes=np.concatenate([table.boxes for table in tables]),
        scores=np.concatenate([table.scores for table in tables]),
    )


def _convert_entries(raw: Any, source: str) -> list[_Detection]:  # noqa: ANN401 - JSON is any value
    if not isinstance(raw, list):
        raise InputError(
            f"{source} is not a results file: a list of detections is needed, not {_shortened(raw)}"
        )
    entries = []
    for place, entry in enumerate(raw):
        try:
            entries.append(msgspec.convert(entry, _Detection))
        except msgspec.ValidationError as error:
            raise InputError(
                f"{source}: {_called(place)} is {_shortened(entry)}, which is no detection: {error}"
            ) from error
    return entries


def _columns(entries: list[_Detection]) -> DetectionTable:
    def column(name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
        return np.fromiter(map(attrgetter(name), entries), dtype, len(entries))

    numbers = chain.from_iterable(map(attrgetter("bbox"), entries))
    return DetectionTable(
        image_ids=column("image_id", np.int64),
        category_ids=column("category_id", np.int64),
        boxes=np.fromiter(numbers, np.float64, 4 * len(entries)).reshape(-1, 4),
        scores=column("score", np.float64),
    )


def _check_table(table: DetectionTable, source: str) -> None:
    boxes, scores = table.boxes, table.scores
    _check_rows(_whole_rows(np.isfinite(boxes)), boxes, "a bbox of four finite numbers", source)
    _check_rows(
        _whole_rows(boxes[:, 2:] >= 0),
        boxes,
        "a bbox whose width and height are not negative",
        source,
    )
    _check_rows(np.isfinite(scores), scores, "a finite score", source)


def _check_rows(legal: BoolArray, values: npt.NDArray[Any], rule: str, source: str) -> None:
    if not legal.all():
        place = int(np.argmin(legal))
        raise InputError(
            f"{source}: {_called(place)} has {values[place].tolist()}, but needs {rule}"
        )


def _whole_rows(cells: BoolArray) -> BoolArray:
    """Rows of (M, n) that are all true, (M,)."""
    rows: BoolArray = np.logical_and.reduce(cells, axis=1)
    return rows


def _called(place: int) -> str:
    return f"entry {place} (counted from 0)"


def _shortened(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
