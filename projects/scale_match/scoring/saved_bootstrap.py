"""The block ``bootstrap`` of a scores file, read back."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from scale_match.core.errors import InputError
from scale_match.scoring.files import SavedScores

__all__ = ["Interval", "bootstrap_intervals", "read_bootstrap"]

Interval = tuple[float, float]
"""Lower and upper bound, fractions."""


class _Bounds(msgspec.Struct):
    low: float
    high: float


_Block = dict[str, _Bounds | None]


class _Bootstrap(msgspec.Struct):
    """What is read of the block ``bootstrap``, apart from further limits."""

    resamples: Annotated[int, msgspec.Meta(ge=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    level: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    AP: _Block
    AR: _Block


def read_bootstrap(saved: SavedScores) -> Mapping[str, Any]:
    """The block as ``scoring.uncertainty.bootstrap_block`` makes it.

    Args:
        saved: A scores file.

    Returns:
        The block, checked; empty if the file has none.

    Raises:
        InputError: It has another form.
    """
    block = saved.content.get("bootstrap")
    if block is None:
        return {}
    try:
        msgspec.convert(block, _Bootstrap)
    except msgspec.ValidationError as error:
        raise InputError(f"{saved.path}: bootstrap is broken: {error}") from error
    found: Mapping[str, Any] = block
    return found


def bootstrap_intervals(bootstrap: Mapping[str, Any]) -> dict[str, dict[str, Interval]]:
    """The bounds in a block.

    Args:
        bootstrap: As of :func:`read_bootstrap`.

    Returns:
        Block of values (``AP``, ``AR_maxDets1000`` ...) -> key -> interval; a key whose value is
        nothing has none.
    """
    return {
        name: {key: (entry["low"], entry["high"]) for key, entry in entries.items() if entry}
        for name, entries in bootstrap.items()
        if isinstance(entries, dict)
    }
