"""``protocol.json``: what only the model knows of the protocol, beside its detections."""

import os
from collections.abc import Mapping
from typing import Any

from scale_match.core.errors import InputError
from scale_match.core.protocol import NONE, plain_value
from scale_match.storage.files import read_json, write_json

__all__ = ["PROTOCOL_FILE", "read_protocol", "write_protocol"]

PROTOCOL_FILE = "protocol.json"

_PAIRS = ("tile_size", "tile_overlap")
_COUNTS = ("max_per_image", "max_per_tile", "candidates_per_level")
_FRACTIONS = ("merge_threshold", "nms_threshold")


def write_protocol(path: str | os.PathLike[str], entries: Mapping[str, Any]) -> None:
    """Write the entries as one JSON object.

    Args:
        path: The file to make or to replace.
        entries: Name -> JSON value; names as in ``core.protocol.MODEL_ENTRIES``.

    Raises:
        InputError: The file cannot be written, or a value is no JSON value.
    """
    plain = {name: plain_value(name, value) for name, value in entries.items()}
    write_json(path, plain, indent=1)


def read_protocol(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a file says of the protocol.

    Args:
        path: A ``protocol.json``; a scores file is taken, too.

    Returns:
        Entry -> JSON value, without those that are null. Names that
        ``core.protocol.MODEL_ENTRIES`` has not are kept: a user may add some.

    Raises:
        InputError: The file is missing or no protocol, or an entry has a value that it cannot have.
    """
    raw = read_json(path)
    for key in ("protocol", "entries"):
        if isinstance(raw, dict):
            raw = raw.get(key, raw)
    if not isinstance(raw, dict):
        raise InputError(f"{path} is not a protocol file: a JSON object of entries is needed")
    try:
        entries = {name: plain_value(name, value) for name, value in raw.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for name, value in entries.items():
        if rule := _broken_rule(name, value):
            raise InputError(f"{path}: {name} must be {rule}, received {value!r}")
    return {name: value for name, value in entries.items() if value is not None}


def _broken_rule(name: str, value: Any) -> str | None:  # noqa: ANN401 - JSON is any value
    """The rule that a value of a known entry breaks; plain values only."""
    if value is None or value == NONE:
        return None
    if name in _PAIRS and not _is_pair(value):
        return f'two whole numbers of pixels or "{NONE}"'
    if name in _COUNTS and not (_is_number(value) and isinstance(value, int) and value > 0):
        return f'a positive whole number or "{NONE}"'
    if name in _FRACTIONS and not (_is_number(value) and 0 <= value <= 1):
        return f'a number in [0, 1] or "{NONE}"'
    if name == "score_threshold" and not _is_number(value):
        return f'a number or "{NONE}"'
    if name == "merge" and not isinstance(value, str):
        return "a text"
    return None


def _is_pair(value: Any) -> bool:  # noqa: ANN401 - JSON is any value
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_number(side) and isinstance(side, int) and side >= 0 for side in value)
    )


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON is any value
    return isinstance(value, (int, float)) and not isinstance(value, bool)
