"""What keeps AP50 from 100: the split of its gap, the seams of tiles, and the oracle ladder."""

from collections.abc import Mapping, Sequence
from typing import Any

from scale_match.report.charts import Bar, bar_chart
from scale_match.report.html_tables import Cell, percent, table
from scale_match.report.markup import Markup, element, text_of
from scale_match.report.page import Section
from scale_match.report.series import legend
from scale_match.report.value_sections import figure
from scale_match.scoring.run_figures import RunFigures

__all__ = ["error_section", "ladder_section"]

_Block = Mapping[str, Any]

_MEANINGS = (
    ("classification", "at an object (IoU 0.5 or more) of another category"),
    ("localisation", "at an object of its category, but loosely (IoU 0.1 to 0.5)"),
    ("both", "loosely at an object of another category"),
    ("duplicate", "at an object that a better detection has found"),
    ("background", "at no object (IoU below 0.1)"),
    ("missed", "objects that no detection finds, nor any error explains"),
)


def error_section(runs: Sequence[RunFigures]) -> Section:
    """The TIDE-like split of the gap between AP50 and 100, by size range and by tile seams.

    Args:
        runs: The runs.

    Returns:
        The section.
    """
    names = [run.label for run in runs]
    blocks = [run.errors for run in runs]
    text = element(
        "p",
        "What 100 - AP50 is made of: what fixing each type of error gains, averaged over all "
        "orders of fixing the types one after the other, so that the parts sum to the gap, with "
        f"the best {_limits(blocks)} detections per image and category. False positives are of "
        "five types; the sixth are objects that were not found.",
    )
    meanings = element(
        "dl",
        *(text_of(element("dt", name), element("dd", meaning)) for name, meaning in _MEANINGS),
    )
    labels = _labels([block["size_ranges"] for block in blocks])
    parts = [
        each["share"]
        for block in blocks
        for entry in block["size_ranges"].values()
        if entry["AP"] >= 0
        for each in entry["types"].values()
    ]
    bounds = (min([0.0, *parts]), max([0.0, *parts]))
    charts = [
        _split_chart(runs, blocks, label, bounds=bounds, identity=f"errors-{place}")
        for place, label in enumerate(labels)
    ]
    tables = [_split_table(runs, blocks, labels), *_seam_parts(runs, blocks)]
    order = legend(names, "bars") if len(runs) > 1 else Markup("")
    drawn = element("div", *charts, class_="charts")
    content = text_of(text, meanings, order, drawn, *tables, _left_out(runs, blocks))
    return Section("errors", "Errors", content)


def ladder_section(runs: Sequence[RunFigures]) -> Section:
    """AP50 if parts of the pipeline were perfect, one after the other.

    Args:
        runs: The runs.

    Returns:
        The section.
    """
    blocks = [run.ladder for run in runs]
    rungs = list(dict.fromkeys(each["rung"] for block in blocks for each in block["rungs"]))
    bars = [Bar("as it is", tuple(_measured(block["AP"]) for block in blocks))]
    rows: list[list[Cell | str]] = [
        ["as it is", *(percent(block["AP"]) for block in blocks for _ in range(2))]
    ]
    for rung in rungs:
        found = [_rung(block, rung) for block in blocks]
        bars.append(Bar(f"+ {rung}", tuple(None if e is None else e["cumulative"] for e in found)))
        rows.append(
            [
                f"perfect {rung}",
                *(
                    percent(None if entry is None else entry[key])
                    for entry in found
                    for key in ("alone", "cumulative")
                ),
            ]
        )
    suffixes = ["" if len(runs) == 1 else f" ({run.label})" for run in runs]
    header = [
        "rung",
        *(name + suffix for suffix in suffixes for name in ("alone", "cumulative")),
    ]
    first = blocks[0]
    name = f"AP50_{first['size_range']}"
    text = element(
        "p",
        f"{name}, with the best {_limits(blocks)} detections per image and category, if the "
        "merging of tiles, the limit of detections, the boxes and the categories were perfect: "
        "each bar has the perfections of those above it, too.",
    )
    chart = bar_chart(
        bars,
        quantity=f"{name} x100",
        title="Oracle ladder",
        identity="ladder-chart",
        series=len(runs),
    )
    order = legend([run.label for run in runs], "bars") if len(runs) > 1 else Markup("")
    notes = [
        element("li", f"{run.label}: {note}." if len(runs) > 1 else f"{note}.")
        for run, block in zip(runs, blocks, strict=True)
        for note in block["notes"]
    ]
    parts = (
        text,
        order,
        element("div", figure(name, chart), class_="charts"),
        table(f"{name} x100 with perfect parts", header, rows, sortable=False),
        element("ul", *notes, class_="soft") if notes else Markup(""),
        _left_out(runs, blocks),
    )
    return Section("ladder", "Oracle ladder", text_of(*parts))


def _split_chart(
    runs: Sequence[RunFigures],
    blocks: Sequence[_Block],
    label: str,
    *,
    bounds: tuple[float, float],
    identity: str,
) -> Markup:
    entries = [block["size_ranges"].get(label) for block in blocks]
    bars = [
        Bar(name, tuple(_part(entry, name) for entry in entries)) for name in _types(blocks, label)
    ]
    actual = " and ".join(
        "nothing to measure" if entry is None or entry["AP"] < 0 else f"{100 * entry['AP']:.1f}"
        for entry in entries
    )
    chart = bar_chart(
        bars,
        quantity="part of 100 - AP50",
        title=f"Errors, size range {label}",
        identity=identity,
        series=len(runs),
        bounds=bounds,
    )
    return figure(label, chart, f"AP50 {actual}")


def _split_table(
    runs: Sequence[RunFigures], blocks: Sequence[_Block], labels: Sequence[str]
) -> Markup:
    rows: list[list[Cell | str]] = []
    for label in labels:
        for run, block in zip(runs, blocks, strict=True):
            entry = block["size_ranges"].get(label)
            if entry is None:
                continue
            for name, each in entry["types"].items():
                nothing = entry["AP"] < 0
                rows.append(
                    [
                        label,
                        *([run.label] if len(runs) > 1 else []),
                        name,
                        Cell(f"{each['count']:,}", each["count"], "number"),
                        _signed(None if nothing else each["share"]),
                        _signed(None if nothing else each["delta"]),
                    ]
                )
    header = [
        "size range",
        *(["run"] if len(runs) > 1 else []),
        "type",
        "count",
        "part of the gap",
        "gain if fixed alone",
    ]
    whole = table("Numbers of errors, and their cost in AP50 x100", header, rows, frame="tall")
    return element("details", element("summary", "Numbers of the errors"), whole)


def _seam_parts(runs: Sequence[RunFigures], blocks: Sequence[_Block]) -> list[Markup]:
    """Objects found by distance to a tile seam, in the metric's size range."""
    wanted = runs[0].metric.size_range
    known = [
        (run, block["seams"]["size_ranges"][wanted])
        for run, block in zip(runs, blocks, strict=True)
        if wanted in block.get("seams", {}).get("size_ranges", {})
    ]
    if not known:
        return []
    rows: list[list[Cell | str]] = []
    for run, bands in known:
        for band in bands:
            types = band["types"]
            objects, found = band["npos"], band["found"]
            share = percent(found / objects if objects else -1.0)
            numbers = [objects, found, band["explained"], band["missed"], *types.values()]
            rows.append(
                [
                    band["band"],
                    *([run.label] if len(runs) > 1 else []),
                    share,
                    *(Cell(f"{value:,}", value, "number") for value in numbers),
                ]
            )
    header = [
        "distance (px)",
        *(["run"] if len(runs) > 1 else []),
        "found %",
        "objects",
        "found",
        "explained",
        "missed",
        *known[0][1][0]["types"],
    ]
    heading = element("h3", "By distance to the nearest tile seam")
    caption = f"Objects of the size range {wanted}, and false positives by type"
    return [heading, table(caption, header, rows)]


def _left_out(runs: Sequence[RunFigures], blocks: Sequence[_Block]) -> Markup:
    concerned: dict[str, list[str]] = {}
    for run, block in zip(runs, blocks, strict=True):
        for each in block["left_out"]:
            concerned.setdefault(f"{each['row']}: {each['reason']}.", []).append(run.label)
    return text_of(
        *(
            element(
                "p",
                f"Left out ({', '.join(labels)}): " if len(runs) > 1 else "Left out: ",
                sentence,
                class_="soft",
            )
            for sentence, labels in concerned.items()
        )
    )


def _limits(blocks: Sequence[_Block]) -> str:
    """The limits of detections of the blocks, for a sentence."""
    return " or ".join(dict.fromkeys(str(block["max_dets"]) for block in blocks))


def _labels(size_ranges: Sequence[_Block]) -> list[str]:
    return list(dict.fromkeys(label for each in size_ranges for label in each))


def _types(blocks: Sequence[_Block], label: str) -> list[str]:
    entries = [block["size_ranges"][label] for block in blocks if label in block["size_ranges"]]
    return list(entries[0]["types"])


def _part(entry: _Block | None, name: str) -> float | None:
    if entry is None or entry["AP"] < 0:
        return None
    return float(entry["types"][name]["share"])


def _rung(block: _Block, rung: str) -> _Block | None:
    found: _Block | None = next((each for each in block["rungs"] if each["rung"] == rung), None)
    return None if found is None or found["cumulative"] < 0 else found


def _measured(value: float) -> float | None:
    return value if value >= 0 else None


def _signed(value: float | None) -> Cell:
    if value is None:
        return Cell("-", "", "number")
    return Cell(f"{100 * value:.2f}", value, "number")
