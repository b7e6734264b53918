"""Whether scores files may be ranked: all entries of their protocols known, and the same."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scale_match.core.errors import InputError
from scale_match.core.metric_tables import MetricTable
from scale_match.core.protocol import Protocol
from scale_match.scoring.files import SavedScores

__all__ = ["Conflict", "check_agreement", "conflict_table", "find_conflicts"]

_LONGEST_VALUE = 48  # characters of a value in a table
_LONGEST_NAME = 24  # characters of a file's name as the head of a column


@dataclass(frozen=True, slots=True)
class Conflict:
    """An entry because of which scores cannot be compared.

    Attributes:
        entry: Its name.
        values: One for each scores file; None where it was not given.
    """

    entry: str
    values: tuple[Any, ...]

    @property
    def is_unknown(self) -> bool:
        """Whether it was not given somewhere, so that nobody can say if the values agree."""
        return any(value is None for value in self.values)


def find_conflicts(saved: Sequence[SavedScores]) -> tuple[Conflict, ...]:
    """The entries of the protocols that differ, or that are not known everywhere.

    Args:
        saved: Scores files.

    Returns:
        Those that differ first.

    Raises:
        InputError: An entry is no JSON value with finite numbers.
    """
    protocols = [Protocol(each.content["protocol"]["entries"]) for each in saved]
    names = dict.fromkeys(name for protocol in protocols for name in protocol.entries)
    all_values = {
        name: tuple(protocol.entries.get(name) for protocol in protocols) for name in names
    }
    conflicts = [
        Conflict(name, values)
        for name, values in all_values.items()
        if values[0] is None or any(value != values[0] for value in values)
    ]
    return tuple(sorted(conflicts, key=lambda conflict: conflict.is_unknown))


def check_agreement(saved: Sequence[SavedScores], conflicts: Sequence[Conflict]) -> None:
    """Refuse scores that cannot be ranked.

    Args:
        saved: Scores files.
        conflicts: Of these.

    Raises:
        InputError: There are conflicts; the message is a table of the values in each file.
    """
    if not conflicts:
        return
    raise InputError(
        "these scores cannot be ranked, because their protocols differ or are not known "
        "(--allow-different-protocols ranks them all the same)\n"
        + conflict_table(conflicts, [str(each.path) for each in saved]).plain()
    )


def conflict_table(conflicts: Sequence[Conflict], names: Sequence[str]) -> MetricTable:
    """The entries that conflict: a row each, a column for each file.

    Args:
        conflicts: One at least.
        names: Of the files; if one is long they stand below, and columns have numbers.
    """
    numbers = [str(number) for number in range(1, len(names) + 1)]
    are_short = max(map(len, names)) <= _LONGEST_NAME
    notes = [f"{number} : {name}" for number, name in zip(numbers, names, strict=True)]
    if any(each.is_unknown for each in conflicts):
        notes.append("null : not given, so not comparable")
    return MetricTable(
        "protocol entries that differ or are not known",
        ("entry", *(names if are_short else numbers)),
        tuple((each.entry, *map(_shortened, each.values)) for each in conflicts),
        tuple(notes[len(names) :] if are_short else notes),
    )


def _shortened(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
