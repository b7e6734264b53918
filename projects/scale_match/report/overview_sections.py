"""The first sections of the page: what came out, and under which protocol."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from scale_match.report.html_tables import Cell, percent, table
from scale_match.report.markup import Markup, element, text_of
from scale_match.report.page import Section
from scale_match.scoring.run_figures import RunFigures, difference_to

__all__ = ["protocol_section", "summary_section"]

_NOT_GIVEN = "not given"


def summary_section(runs: Sequence[RunFigures], notices: Sequence[str]) -> Section:
    """The metric in question of every run, large, and the numbers around it.

    Args:
        runs: The runs.
        notices: Sentences that the reader must see first.

    Returns:
        The section.
    """
    metric = runs[0].metric
    differences = len(runs) > 1
    rows = [_summary_row(run, [_difference(runs[0], run)] if differences else []) for run in runs]
    header = [
        "run",
        metric.name,
        *([f"minus {runs[0].label}"] if differences else []),
        metric.name.replace("AP", "AR", 1),
        f"MR{metric.iou}_{metric.size_range}",
        "score",
        "precision",
        "recall",
        "images",
        "objects",
        "detections",
    ]
    note = element(
        "p",
        "Score: the least score of the best F1, from which on boxes are shown and counted below, "
        "and the precision and recall of the detections from it on. Objects: those that count in "
        f"the size range {metric.size_range}.",
        " The interval of a difference is that of the same resampled images in both runs."
        if differences
        else "",
        class_="soft",
    )
    tiles = element("ul", *map(_tile, runs), class_="tiles")
    return Section(
        "summary",
        "Summary",
        text_of(
            _notice(notices),
            tiles,
            table("The runs in numbers, fractions x100; - : nothing to measure", header, rows),
            note,
        ),
    )


def protocol_section(runs: Sequence[RunFigures]) -> Section:
    """Everything that the values depend on, and where runs differ in it.

    Args:
        runs: The runs.

    Returns:
        The section.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.protocol.entries))
    entries = [run.protocol.entries for run in runs]
    rows: list[list[Cell | str]] = [["hash", *(Cell(_code(run.protocol.hash)) for run in runs)]]
    for name in names:
        rows.append([name, *_entry_cells([each.get(name) for each in entries])])
    if len(runs) > 1:
        rows[0].append("")
        for row, name in zip(rows[1:], names, strict=True):
            row.append(_verdict([each.get(name) for each in entries]))
    header = ["entry", *(run.label for run in runs), *(["compared"] if len(runs) > 1 else [])]
    rule = element(
        "p",
        "Two values can be compared if every entry is given and equal. ",
        element("strong", _NOT_GIVEN),
        " marks what nobody has said, for example because the detections came without a protocol "
        "file; nobody can tell whether it agrees.",
    )
    entries_table = table(
        "What the values depend on", header, rows, sortable=False, kind="protocol"
    )
    parts = element(
        "details",
        element("summary", f"{len(names)} entries and the files"),
        entries_table,
        _inputs(runs),
        open=len(runs) > 1,
    )
    return Section("protocol", "Protocol", text_of(*map(_short_list, runs), rule, parts))


def _short_list(run: RunFigures) -> Markup:
    """The hash, and what is not given."""
    unknown = [name for name, value in run.protocol.entries.items() if value is None]
    return element(
        "p",
        element("strong", run.label),
        ": ",
        _code(run.protocol.hash),
        f"; {_NOT_GIVEN}: {', '.join(unknown)}." if unknown else "; every entry is given.",
    )


def _tile(run: RunFigures) -> Markup:
    value = run.value()
    interval = run.interval()
    shown = "nothing to measure" if value < 0 else f"{100 * value:.2f}"
    around = (
        ""
        if interval is None
        else f"{run.level:.0%} interval {100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
    )
    return element(
        "li",
        element("span", run.label, class_="run"),
        element("span", shown, class_="big"),
        element(
            "span",
            f"{run.metric.name}, best {run.max_dets} detections per image and category",
            class_="soft",
        ),
        *([element("span", around, class_="soft")] if around else []),
        *(
            element("span", f"{100 * value:.2f} with the best {limit}", class_="soft")
            for limit, value in run.values_at_other_limits().items()
            if value >= 0
        ),
    )


def _difference(first: RunFigures, run: RunFigures) -> Cell:
    """How much better a run is than the first, or why that is not said."""
    if run is first:
        return Cell("", "", "number")
    found = difference_to(first, run)
    if found is None:
        return Cell("not comparable", "", "number")
    difference, bounds = found
    shown = f"{100 * difference:+.2f}"
    if bounds is None:
        return Cell(shown, difference, "number")
    interval = f"{100 * bounds[0]:+.2f} to {100 * bounds[1]:+.2f}"
    return Cell(
        text_of(shown, " ", element("span", interval, class_="interval")), difference, "number"
    )


def _summary_row(run: RunFigures, difference: Sequence[Cell]) -> list[Cell | str]:
    point, metric = run.operating_point, run.metric
    ap = percent(run.value(), run.interval())
    return [
        run.label,
        ap,
        *difference,
        percent(run.values(run.block("AR")).get(metric.key)),
        percent(run.values("MR").get(metric.key)),
        Cell(f"{point.score:.3f}", point.score, "number"),
        percent(point.precision),
        percent(point.recall),
        _count(len(run.images.image_ids)),
        _count(int(run.images.objects.sum())),
        _count(len(run.scores.inputs.detections)),
    ]


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", value, "number")


def _notice(sentences: Sequence[str]) -> Markup:
    if not sentences:
        return Markup("")
    return element("div", *(element("p", each) for each in sentences), class_="notice", role="note")


def _entry_cells(values: Sequence[Any]) -> list[Cell]:
    differ = len({_canonical(value) for value in values}) > 1
    return [
        Cell(
            element("strong", _NOT_GIVEN) if value is None else _value(value),
            kind="marked" if differ or value is None else None,
        )
        for value in values
    ]


def _verdict(values: Sequence[Any]) -> str:
    if any(value is None for value in values):
        return "not comparable"
    return "equal" if len({_canonical(value) for value in values}) == 1 else "differs"


def _canonical(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    return json.dumps(value, sort_keys=True)


def _value(value: Any) -> Markup:  # noqa: ANN401 - JSON is any value
    """A JSON value for readers: tables of named values as lines."""
    if isinstance(value, Mapping):
        lines = [
            text_of(element("code", str(name)), ": ", _value(part)) for name, part in value.items()
        ]
        return Markup("<br>".join(lines))
    if isinstance(value, list) and not any(isinstance(part, (list, dict)) for part in value):
        return text_of(", ".join(map(_plain, value)))
    if isinstance(value, str) and (len(value) < 64 or " " in value):
        return text_of(value)
    return _code(_plain(value))


def _plain(value: Any) -> str:  # noqa: ANN401 - JSON is any value
    return value if isinstance(value, str) else json.dumps(value)


def _code(text: str) -> Markup:
    return element("code", text)


def _inputs(runs: Sequence[RunFigures]) -> Markup:
    rows: list[list[Cell | str]] = []
    for run in runs:
        rows.append([run.label, "scores", Cell(_code(str(run.saved.path.absolute()))), ""])
        for name, what in (("gt", "ground truth"), ("dt", "detections"), ("tiles", "tiles")):
            entry = run.saved.content["inputs"].get(name)
            if entry:
                cells = (Cell(_code(entry["path"])), Cell(_code(entry["sha256"])))
                rows.append([run.label, what, *cells])
    header = ["run", "file", "path", "SHA-256"]
    return table("Files", header, rows, sortable=False, kind="protocol")
