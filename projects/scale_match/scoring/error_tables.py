"""The blocks ``errors`` and ``ladder`` of a scores file as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from scale_match.core.error_types import ERROR_TYPES
from scale_match.core.metric_tables import MetricTable

__all__ = ["error_tables", "explanation_text", "ladder_table"]

_Block = Mapping[str, Any]


def explanation_text(errors: _Block, ladder: _Block) -> str:
    """Both blocks as tables with what was left out, without a trailing line break.

    Args:
        errors: As of ``scale_match.scoring.errors.error_block``.
        ladder: As of ``scale_match.scoring.errors.ladder_block``.
    """
    tables = [*error_tables(errors), ladder_table(ladder)]
    return "\n\n".join(table.plain() for table in tables)


def error_tables(block: _Block) -> list[MetricTable]:
    """What each type of error costs, how often it occurs, and where; one table each.

    Args:
        block: As of ``scale_match.scoring.errors.error_block``.

    Returns:
        Gain by fixing each type alone, parts of the gap, numbers, and, where they are known, the
        numbers by distance to a seam of the first size range named tiny, or the first.
    """
    ranges: Mapping[str, _Block] = block["size_ranges"]
    costs = ("", "AP50", "gap", *ERROR_TYPES)
    tables = [
        MetricTable(caption, costs, tuple(_cost_row(label, ranges[label], key) for label in ranges))
        for caption, key in (
            (f"what AP50 gains if one type of error is fixed{_limit(block)}, values x100", "delta"),
            ("parts of the gap between AP50 and 100, which sum to it, values x100", "share"),
        )
    ]
    tables.append(
        MetricTable(
            "objects, and false positives by type",
            ("", *_TARGETS, *ERROR_TYPES[:-1]),
            tuple(
                _number_row(label, each, {k: v["count"] for k, v in each["types"].items()})
                for label, each in ranges.items()
            ),
            _left_out_notes(block),
        )
    )
    if "seams" in block:
        bands = block["seams"]["size_ranges"]
        label = "tiny" if "tiny" in bands else next(iter(bands))
        tables.append(
            MetricTable(
                f"{label} objects, and false positives, by distance to a tile seam in pixels",
                ("", *_TARGETS, *ERROR_TYPES[:-1]),
                tuple(_number_row(each["band"], each, each["types"]) for each in bands[label]),
            )
        )
    return tables


def ladder_table(block: _Block) -> MetricTable:
    """AP50 on the rungs of the oracle ladder.

    Args:
        block: As of ``scale_match.scoring.errors.ladder_block``.
    """
    actual = _percent(block["AP"])
    rows = [("as it is", actual, actual)]
    rows += [
        (f"perfect {each['rung']}", _percent(each["alone"]), _percent(each["cumulative"]))
        for each in block["rungs"]
    ]
    return MetricTable(
        f"oracle ladder: AP50_{block['size_range']}{_limit(block)}, values x100",
        ("", "alone", "with those above"),
        tuple(rows),
        (*block["notes"], *_left_out_notes(block)),
    )


_TARGETS = ("objects", "found", "explained", "missed")


def _cost_row(label: str, entry: _Block, key: str) -> tuple[str, ...]:
    types = entry["types"]
    values = [entry["AP"], entry["gap"], *(types[name][key] for name in ERROR_TYPES)]
    return (label, *map(_percent, values))


def _number_row(name: str, entry: _Block, types: Mapping[str, int]) -> tuple[str, ...]:
    numbers: Sequence[int] = [
        entry["npos"],
        *(entry[key] for key in _TARGETS[1:]),
        *(types[kind] for kind in ERROR_TYPES[:-1]),
    ]
    return (name, *map(str, numbers))


def _percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.2f}"


def _limit(block: _Block) -> str:
    return f" at maxDets {block['max_dets']}"


def _left_out_notes(block: _Block) -> tuple[str, ...]:
    return tuple(f"left out: {each['row']}: {each['reason']}" for each in block["left_out"])
