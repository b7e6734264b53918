"""What tells one series of a chart from another, with colours or without.

A series (a run, or an IoU) has its colour, its dashes and the shape of its marks: classes ``s0`` to
``s5`` of the style sheet, and the shapes here.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from scale_match.report.markup import Markup, element, number

__all__ = ["MARKS", "MOST_SERIES", "legend"]

_RADIUS = 4.0


def _circle(x: float, y: float) -> Markup:
    return element("circle", cx=x, cy=y, r=_RADIUS)


def _shape(path: str) -> Callable[[float, float], Markup]:
    def draw(x: float, y: float) -> Markup:
        return element("path", d=path, transform=f"translate({number(x)} {number(y)})")

    return draw


MARKS: tuple[Callable[[float, float], Markup], ...] = (
    _circle,
    _shape("M-4-4h8v8h-8z"),
    _shape("M0-5.5L5 4h-10z"),
    _shape("M0-5.5L5.5 0L0 5.5L-5.5 0z"),
    _shape("M0 5.5L5-4h-10z"),
    _shape("M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z"),
)
"""Functions that draw the mark of a series at a place."""

MOST_SERIES = len(MARKS)
"""Series that can be told apart."""


def legend(names: Sequence[str], kind: Literal["marks", "lines", "bars"] = "marks") -> Markup:
    """The names of series beside what they look like.

    Args:
        names: In the order of the series, at most MOST_SERIES.
        kind: In which kind of chart.

    Returns:
        A list.
    """
    items = [
        element(
            "li",
            element("svg", _sample(place, kind), viewBox="0 0 36 14", aria_hidden="true"),
            element("span", name),
        )
        for place, name in enumerate(names)
    ]
    return element("ul", *items, class_="legend")


def _sample(place: int, kind: str) -> Markup:
    if kind == "lines":
        return element("line", x1="1", x2="35", y1="7", y2="7", class_=f"curve s{place}")
    if kind == "bars":
        return element("rect", x="1", y="2", width="34", height="10", class_=f"bar s{place}")
    return element("g", MARKS[place](18, 7), class_=f"mark s{place}")
