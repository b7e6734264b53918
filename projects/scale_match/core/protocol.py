"""What a score depends on, as a list that people read and a hash that programs compare.

An entry is a JSON value under a name. ``None`` means that nobody has said what it is; it is not the
same as :data:`NONE`, which says that there is no such thing (no tiles, no limit).
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from scale_match.core.errors import InputError

__all__ = ["MODEL_ENTRIES", "NONE", "Difference", "Protocol", "plain_value"]

NONE = "none"
"""The value of an entry that does not apply: no tiles, no merging, no limit."""

MODEL_ENTRIES: Mapping[str, str] = MappingProxyType(
    {
        "tile_size": "width and height of a tile in pixels",
        "tile_overlap": "overlap of neighbouring tiles in x and y in pixels",
        "merge": "how the detections of tiles are merged",
        "merge_threshold": "IoU at which merging suppresses",
        "max_per_image": "detections that the model keeps per image",
        "max_per_tile": "detections that the model keeps per tile",
        "candidates_per_level": "candidates of a pyramid level before suppression",
        "score_threshold": "least score of a candidate",
        "nms_threshold": "IoU at which the model's own suppression starts",
        "test_scale": "size of the tested images: 1 = as in the file",
    }
)
"""Name -> meaning of what only the model knows; a results file says nothing about it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that keeps two scores from being compared.

    Attributes:
        name: Of the entry.
        first: Its value in one protocol; None where it was not given.
        second: Its value in the other.
    """

    name: str
    first: Any
    second: Any

    @property
    def is_unknown(self) -> bool:
        """Whether a value was not given, so that nobody can say if they agree."""
        return self.first is None or self.second is None


@dataclass(frozen=True, slots=True)
class Protocol:
    """The entries of a protocol, in the order in which they are shown.

    Args:
        entries: Name -> JSON value; None where it was not given.

    Raises:
        InputError: A value is no JSON value, or a number is not finite.

    Example:
        >>> ours = Protocol({"max_dets": [200, 1000], "score_threshold": 0.05})
        >>> theirs = Protocol({"max_dets": (200, 1000.0), "score_threshold": None})
        >>> ours.differences(theirs)
        (Difference(name='score_threshold', first=0.05, second=None),)
    """

    entries: Mapping[str, Any]

    def __post_init__(self) -> None:
        plain = {name: plain_value(name, value) for name, value in self.entries.items()}
        object.__setattr__(self, "entries", MappingProxyType(plain))

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of the entries in canonical form; their order does not matter."""
        text = json.dumps(dict(self.entries), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The form in which files hold it: ``hash`` and ``entries``."""
        return {"hash": self.hash, "entries": dict(self.entries)}

    def differences(self, other: "Protocol") -> tuple[Difference, ...]:
        """The entries because of which scores under the two cannot be compared.

        Args:
            other: Another protocol.

        Returns:
            Entries with unequal values, and those that are None in one or in both.
        """
        names = dict.fromkeys([*self.entries, *other.entries])
        pairs = (
            Difference(name, self.entries.get(name), other.entries.get(name)) for name in names
        )
        return tuple(pair for pair in pairs if pair.is_unknown or pair.first != pair.second)


def plain_value(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    """A JSON value in the one form in which equal values are equal texts.

    Tuples become lists, and numbers without a fraction whole numbers.

    Args:
        name: Of the entry, for messages.
        value: The value.

    Raises:
        InputError: It is no JSON value, or a number is not finite.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain_value(name, part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [plain_value(name, part) for part in value]
    raise InputError(
        f"protocol entry {name} must be a JSON value with finite numbers, received {value!r}"
    )
