"""The charts of the page as SVG, coloured by the page's style sheet.

Every chart names what it shows, and says its numbers, for readers who do not see it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scale_match.core.records import FloatArray, IntArray
from scale_match.report.axes import (
    WIDTH,
    Axis,
    Panel,
    fraction_axis,
    label_axis,
    nice_steps,
    svg_text,
)
from scale_match.report.markup import Markup, element, number, text_of
from scale_match.report.series import MARKS

__all__ = [
    "Bar",
    "Estimate",
    "bar_chart",
    "curve_chart",
    "interval_chart",
    "size_chart",
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value to be drawn with its interval.

    Attributes:
        value: A fraction; negative where there is nothing to measure.
        interval: Lower and upper bound; None where there is none.
    """

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of bars.

    Attributes:
        label: Its name.
        values: One fraction for each series; None where it is absent.
    """

    label: str
    values: tuple[float | None, ...]


def interval_chart(
    labels: Sequence[str],
    series: Sequence[Sequence[Estimate]],
    *,
    quantity: str,
    highest: float,
    title: str,
    identity: str,
) -> Markup:
    """Values with intervals, one place for each label, the series side by side in it.

    Args:
        labels: Names of the places.
        series: For each series one estimate for each label.
        quantity: Title of the vertical axis.
        highest: Largest value of the axis, so that panels side by side have one scale.
        title: For readers who do not see it.
        identity: Unique on the page.

    Returns:
        The chart.
    """
    panel = Panel(label_axis("size range", labels), fraction_axis(quantity, highest))
    step = min(0.8 / max(len(series), 1), 0.28)
    marks = [
        element(
            "g",
            *(
                _estimate(panel, place + step * (index - (len(series) - 1) / 2), estimate, index)
                for place, estimate in enumerate(estimates)
                if estimate.value >= 0
            ),
            class_=f"mark s{index}",
        )
        for index, estimates in enumerate(series)
    ]
    said = "; ".join(
        f"{label} {' and '.join(_said(estimates[place].value) for estimates in series)}"
        for place, label in enumerate(labels)
    )
    return panel.draw(*marks, title=title, description=said, identity=identity)


def curve_chart(
    curves: Sequence[FloatArray],
    levels: FloatArray,
    *,
    title: str,
    description: str,
    identity: str,
) -> Markup:
    """Precision against recall.

    Args:
        curves: Precision of each series at the recall levels, (L,) each; negative where there is
            nothing to measure.
        levels: Recall, (L,).
        title: For readers who do not see it.
        description: Likewise.
        identity: Unique on the page.

    Returns:
        The chart.
    """
    panel = Panel(fraction_axis("recall (%)"), fraction_axis("precision (%)"))
    marks = [
        element("polyline", points=_until_zero(panel, levels, curve), class_=f"curve s{index}")
        for index, curve in enumerate(curves)
        if curve[0] >= 0
    ]
    if not marks:
        marks = [svg_text("nothing to measure", WIDTH / 2, 110, anchor="middle", kind="axis")]
    return panel.draw(*marks, title=title, description=description, identity=identity)


def bar_chart(
    bars: Sequence[Bar],
    *,
    quantity: str,
    title: str,
    identity: str,
    series: int = 1,
    bounds: tuple[float, float] | None = None,
) -> Markup:
    """Horizontal bars with their values, the series of a row below each other.

    Args:
        bars: The rows, from above.
        quantity: Title of the horizontal axis.
        title: For readers who do not see it.
        identity: Unique on the page.
        series: Number of series.
        bounds: Lowest and highest value of the axis, so that panels side by side have one scale;
            those of the bars by default.

    Returns:
        The chart.
    """
    values = [value for bar in bars for value in bar.values if value is not None]
    thick = 16.0 if series == 1 else 11.0
    row = series * thick + 10.0
    height = 52.0 + row * len(bars)
    names = label_axis("", [bar.label for bar in bars])
    down = Axis("", lambda value: 1 - names.place(value), names.ticks, lines=False)
    lowest, highest = bounds or (min([0.0, *values]), max([0.0, *values]))
    # Room for the number that stands at the end of the longest bar.
    room = 0.2 * (highest - lowest)
    across = fraction_axis(quantity, highest + room, lowest - (room if lowest < 0 else 0))
    longest = max((len(bar.label) for bar in bars), default=0)
    panel = Panel(across, down, height, left=min(14 + 6.6 * longest, 150))
    marks = []
    for place, bar in enumerate(bars):
        for index, value in enumerate(bar.values):
            if value is not None:
                top = panel.y(place) + thick * (index - series / 2)
                marks.append(_bar(panel, value, top, thick - 2, index))
    said = "; ".join(
        f"{bar.label} {' and '.join('-' if v is None else f'{100 * v:.1f}' for v in bar.values)}"
        for bar in bars
    )
    return panel.draw(*marks, title=title, description=said, identity=identity)


def size_chart(
    edges: FloatArray,
    parts: Sequence[tuple[str, IntArray]],
    *,
    highest: int,
    title: str,
    description: str,
    identity: str,
) -> Markup:
    """Columns of object numbers by size, the parts on top of each other.

    Args:
        edges: Sizes in pixels that bound the columns, on a log axis, (B + 1,).
        parts: Class name of the style sheet and numbers (B,) of each part, from below.
        highest: Largest value of the axis.
        title: For readers who do not see it.
        description: Likewise.
        identity: Unique on the page.

    Returns:
        The chart.
    """
    panel = Panel(_size_axis(edges), _count_axis(highest), left=34 + 7 * len(str(highest)))
    marks = []
    below = [0] * (len(edges) - 1)
    for name, counts in parts:
        columns = []
        for place, count in enumerate(counts.tolist()):
            if count:
                left, right = panel.x(edges[place]) + 0.5, panel.x(edges[place + 1]) - 0.5
                top, bottom = panel.y(below[place] + count), panel.y(below[place])
                columns.append(
                    element("rect", x=left, y=top, width=right - left, height=bottom - top)
                )
                below[place] += count
        marks.append(element("g", *columns, class_=name))
    return panel.draw(*marks, title=title, description=description, identity=identity)


def _until_zero(panel: Panel, levels: FloatArray, curve: FloatArray) -> str:
    """The points of a curve up to its first zero, behind which it says nothing more."""
    stop = int(np.count_nonzero(curve)) + 1
    return panel.points(levels[:stop].tolist(), curve[:stop].tolist())


def _estimate(panel: Panel, place: float, estimate: Estimate, index: int) -> Markup:
    x = panel.x(place)
    mark = MARKS[index](x, panel.y(estimate.value))
    if estimate.interval is None:
        return mark
    low, high = (panel.y(bound) for bound in estimate.interval)
    caps = "".join(f"M{number(x - 3)} {number(y)}h6" for y in (low, high))
    whisker = element(
        "path", d=f"M{number(x)} {number(low)}V{number(high)}{caps}", class_="whisker"
    )
    return text_of(whisker, mark)


def _bar(panel: Panel, value: float, top: float, thick: float, index: int) -> Markup:
    start, end = panel.x(0.0), panel.x(value)
    after = value >= 0
    shown = svg_text(
        f"{100 * value:.1f}",
        end + (4 if after else -4),
        top + thick / 2 + 4,
        anchor="start" if after else "end",
        kind="value",
    )
    bar = element(
        "rect",
        x=min(start, end),
        y=top,
        width=max(abs(end - start), 0.5),
        height=thick,
        class_=f"bar s{index}",
    )
    return text_of(bar, shown)


def _size_axis(edges: FloatArray) -> Axis:
    low, high = float(edges[0]), float(edges[-1])
    octaves = [low * 2.0**k for k in range(round(math.log2(high / low)) + 1)]
    return Axis(
        "object size, square root of the area (pixels)",
        lambda value: math.log2(value / low) / math.log2(high / low),
        tuple((size, f"{size:g}") for size in octaves),
        lines=False,
    )


def _count_axis(highest: int) -> Axis:
    steps = nice_steps(max(highest, 5))
    last = steps[-1]
    return Axis("objects", lambda value: value / last, tuple((step, f"{step:g}") for step in steps))


def _said(value: float) -> str:
    return "nothing to measure" if value < 0 else f"{100 * value:.1f}"
