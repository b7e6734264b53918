"""Panels of charts: the frame, the axes and the way from values to coordinates.

All panels have one width, 360 units, which is a phone's width in CSS pixels: a text of 12 units is
as large there as a text of 12 px, and larger elsewhere. A page shows more at once by more panels
in a row, not by wider ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scale_match.report.markup import Markup, element, number

__all__ = ["WIDTH", "Axis", "Panel", "fraction_axis", "label_axis", "nice_steps", "svg_text"]

WIDTH = 360.0

_TOP, _RIGHT, _BOTTOM, _LEFT = 10.0, 10.0, 42.0, 46.0
_GAP = 6.0  # between an axis and its numbers


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a panel.

    Attributes:
        title: Quantity and unit.
        place: Value -> 0 at the start to 1 at the end of the axis.
        ticks: Values and their texts.
        lines: Draw a line through the panel at each tick.
    """

    title: str
    place: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]
    lines: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """The frame of a chart.

    Attributes:
        across: Horizontal axis.
        up: Vertical axis.
        height: Of the whole panel.
        left: Space left of the drawing, for the numbers or names of the vertical axis.
    """

    across: Axis
    up: Axis
    height: float = 240.0
    left: float = field(default=_LEFT)

    def x(self, value: float) -> float:
        """Horizontal coordinate of a value."""
        return self.left + self.across.place(value) * (WIDTH - _RIGHT - self.left)

    def y(self, value: float) -> float:
        """Vertical coordinate of a value."""
        bottom = self.height - _BOTTOM
        return bottom - self.up.place(value) * (bottom - _TOP)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """The points of a polyline."""
        return " ".join(
            f"{number(self.x(x))},{number(self.y(y))}" for x, y in zip(xs, ys, strict=True)
        )

    def draw(self, *marks: Markup, title: str, description: str, identity: str) -> Markup:
        """The chart.

        Args:
            *marks: What stands in the frame.
            title: What it shows, for readers who do not see it.
            description: What it says in one or two sentences, likewise.
            identity: Unique on the page.

        Returns:
            An ``svg`` element.
        """
        return element(
            "svg",
            element("title", title, id=f"{identity}-title"),
            element("desc", description, id=f"{identity}-text"),
            *self._across_marks(),
            *self._up_marks(),
            *marks,
            viewBox=f"0 0 {number(WIDTH)} {number(self.height)}",
            role="img",
            aria_labelledby=f"{identity}-title {identity}-text",
            class_="chart",
        )

    def _across_marks(self) -> list[Markup]:
        top, bottom = _TOP, self.height - _BOTTOM
        marks = []
        for value, text in self.across.ticks:
            x = self.x(value)
            if self.across.lines:
                marks.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
            marks.append(svg_text(text, x, bottom + _GAP + 10, anchor="middle"))
        middle = (self.left + WIDTH - _RIGHT) / 2
        marks.append(
            svg_text(self.across.title, middle, self.height - 6, anchor="middle", kind="axis")
        )
        return marks

    def _up_marks(self) -> list[Markup]:
        marks = []
        for value, text in self.up.ticks:
            y = self.y(value)
            if self.up.lines:
                marks.append(
                    element("line", x1=self.left, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
                )
            marks.append(svg_text(text, self.left - _GAP, y + 4, anchor="end"))
        if self.up.title:
            middle = (_TOP + self.height - _BOTTOM) / 2
            marks.append(
                element(
                    "text",
                    self.up.title,
                    class_="axis",
                    text_anchor="middle",
                    transform=f"translate(12 {number(middle)}) rotate(-90)",
                )
            )
        return marks


def svg_text(text: str, x: float, y: float, *, anchor: str, kind: str = "tick") -> Markup:
    """A text in a chart.

    Args:
        text: What it says.
        x: Where it starts, has its middle or ends.
        y: Its base line.
        anchor: "start", "middle" or "end".
        kind: Class names.

    Returns:
        The element.
    """
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=kind)


def fraction_axis(title: str, highest: float = 1.0, lowest: float = 0.0) -> Axis:
    """An axis of fractions that are shown times 100, with round ticks.

    Args:
        title: The quantity.
        highest: Largest value that must have a place.
        lowest: Smallest value that must have a place, at most 0.

    Returns:
        The axis.
    """
    steps = nice_steps(100 * highest, 100 * lowest)
    low, high = steps[0], steps[-1]
    return Axis(
        title,
        lambda value: (100 * value - low) / (high - low),
        tuple((step / 100, f"{step:g}") for step in steps),
    )


def label_axis(title: str, labels: Sequence[str]) -> Axis:
    """An axis with one place for each of several names; value k is the middle of place k.

    Args:
        title: What the names are.
        labels: The names.

    Returns:
        The axis.
    """
    count = max(len(labels), 1)
    return Axis(
        title,
        lambda value: (value + 0.5) / count,
        tuple((float(place), label) for place, label in enumerate(labels)),
        lines=False,
    )


def nice_steps(highest: float, lowest: float = 0.0, *, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from 0 or below to the highest value or above.

    Args:
        highest: Largest value.
        lowest: Smallest value; one above 0 counts as 0.
        most: How many steps at most, two at least.

    Returns:
        Ascending, at least two.

    Example:
        >>> nice_steps(87.0)
        [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        >>> nice_steps(3.0, -2.0)
        [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    """
    low, high = min(lowest, 0.0), max(highest, 0.0)
    if high == low:
        high = low + 1.0
    magnitude = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20, 50):
        step = factor * magnitude
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [place * step for place in range(first, last + 1)]
