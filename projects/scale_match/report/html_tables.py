"""Tables of the page: captioned, scrolling by themselves on a narrow screen, sortable."""

from collections.abc import Sequence
from dataclasses import dataclass

from scale_match.report.markup import Markup, element, text_of

__all__ = ["Cell", "percent", "table"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        content: What it shows.
        value: What it is sorted by, a number or a text; the text shown if None.
        kind: Class names, for the style.
    """

    content: str
    value: float | str | None = None
    kind: str | None = None


def percent(value: float | None, interval: tuple[float, float] | None = None) -> Cell:
    """A fraction times 100 with two decimals, and its interval if there is one.

    Args:
        value: A fraction; a negative one means that there is nothing to measure, None that it was
            not asked for.
        interval: Lower and upper bound, fractions.

    Returns:
        The cell; it sorts by the value.
    """
    if value is None:
        return Cell("", kind="number")
    if value < 0:
        return Cell("-", value="", kind="number")
    shown = f"{100 * value:.2f}"
    if interval is None:
        return Cell(shown, value, "number")
    bounds = f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
    return Cell(text_of(shown, " ", element("span", bounds, class_="interval")), value, "number")


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    sortable: bool = True,
    kind: str | None = None,
    frame: str | None = None,
) -> Markup:
    """A table in a frame that scrolls sideways where the screen is narrower.

    Args:
        caption: What it shows.
        header: Names of the columns.
        rows: As long as the header each; the first cell of a row is its header.
        sortable: Let the reader sort it by a column (with the page's script).
        kind: Class names of the table.
        frame: Further class names of the frame.

    Returns:
        The element.
    """
    numeric = [
        any(isinstance(row[column], Cell) and _is_number(row[column]) for row in rows)
        for column in range(len(header))
    ]
    heads = [
        element("th", name, scope="col", class_="number" if right else None)
        for name, right in zip(header, numeric, strict=True)
    ]
    body = [element("tr", *_cells(row)) for row in rows]
    classes = " ".join(filter(None, ("sortable" if sortable and len(rows) > 1 else "", kind)))
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        class_=classes or None,
    )
    # A region that scrolls must be reachable by keyboard, and then it needs a name.
    return element(
        "div",
        whole,
        class_=f"scroll {frame or ''}".strip(),
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def _is_number(cell: Cell | str) -> bool:
    return isinstance(cell, Cell) and cell.kind is not None and "number" in cell.kind.split()


def _cells(row: Sequence[Cell | str]) -> list[Markup]:
    cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
    return [
        element(
            "td" if place else "th",
            cell.content,
            scope=None if place else "row",
            class_=cell.kind,
            data_value=None if cell.value is None else _sort_key(cell.value),
        )
        for place, cell in enumerate(cells)
    ]


def _sort_key(value: float | str) -> str:
    return value if isinstance(value, str) else repr(value)
