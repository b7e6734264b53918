import re

import numpy as np
import pytest

from scale_match.report.axes import WIDTH
from scale_match.report.charts import (
    Bar,
    Estimate,
    bar_chart,
    curve_chart,
    interval_chart,
    size_chart,
)

NAMED = {"title": "t", "identity": "c"}


def numbers(chart, pattern):
    return [tuple(map(float, found)) for found in re.findall(pattern, chart)]


def test_every_estimate_has_a_mark_and_a_whisker():
    chart = interval_chart(
        ["tiny", "small"],
        [[Estimate(0.5, (0.4, 0.6)), Estimate(0.2)], [Estimate(0.3, (0.2, 0.5)), Estimate(-1.0)]],
        quantity="AP",
        highest=0.6,
        **NAMED,
    )
    assert chart.count("<circle") == 2
    assert chart.count('class="whisker"') == 2
    assert "tiny 50.0 and 30.0; small 20.0 and nothing to measure" in chart


def test_a_higher_value_stands_higher():
    chart = interval_chart(
        ["a", "b"], [[Estimate(0.1), Estimate(0.9)]], quantity="AP", highest=1.0, **NAMED
    )
    (x1, y1), (x2, y2) = numbers(chart, r'<circle cx="([\d.]+)" cy="([\d.]+)"')
    assert x1 < x2
    assert y1 > y2


def test_curves_end_at_their_first_zero():
    curve = np.array([1.0, 0.5, 0.0, 0.0, 0.0])
    chart = curve_chart([curve], np.linspace(0, 1, 5), description="d", **NAMED)
    (points,) = re.findall('points="([^"]*)"', chart)
    assert len(points.split()) == 3


def test_a_curve_without_ground_truth_is_said_not_drawn():
    nothing = np.full(5, -1.0)
    chart = curve_chart([nothing], np.linspace(0, 1, 5), description="d", **NAMED)
    assert "nothing to measure" in chart
    assert "polyline" not in chart


def test_a_curve_of_zeros_has_one_point():
    chart = curve_chart([np.zeros(5)], np.linspace(0, 1, 5), description="d", **NAMED)
    assert len(re.findall('points="([^"]*)"', chart)[0].split()) == 1


def test_bars_have_the_length_of_their_value_and_its_number():
    chart = bar_chart(
        [Bar("a", (0.2, None)), Bar("b", (0.1, -0.05))], quantity="AP", series=2, **NAMED
    )
    bars = numbers(chart, r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"')
    assert len(bars) == 3
    (x1, w1), (x2, w2), (x3, w3) = bars
    assert x1 == x2
    assert w1 == pytest.approx(2 * w2, rel=0.01)
    assert x3 + w3 == pytest.approx(x1, abs=0.02)  # a negative bar ends at zero
    assert all(f">{text}<" in chart for text in ("20.0", "10.0", "-5.0"))


def test_bars_of_one_scale_can_be_compared_between_panels():
    def width(value, bounds):
        chart = bar_chart([Bar("a", (value,))], quantity="q", bounds=bounds, **NAMED)
        return float(re.findall(r'width="([\d.]+)" height="14"', chart)[0])

    assert width(0.1, (0, 0.4)) == pytest.approx(width(0.4, (0, 0.4)) / 4, rel=0.01)


@pytest.mark.parametrize("values", [(0.0,), (None,), (-1e-3,)])
def test_bars_of_nothing_are_drawn_all_the_same(values):
    chart = bar_chart([Bar("a", values)], quantity="q", **NAMED)
    assert not re.search(r"nan|inf", chart)
    assert not bar_chart([], quantity="q", **NAMED).count("<rect")


def test_columns_stand_on_each_other_and_fill_the_bins():
    parts = [("low", np.array([2, 0])), ("high", np.array([1, 3]))]
    edges = np.array([4.0, 8.0, 16.0])
    chart = size_chart(edges, parts, highest=3, description="d", **NAMED)
    boxes = numbers(chart, r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"')
    low, above, alone = boxes
    assert above[1] + above[3] == pytest.approx(low[1], abs=0.02)
    assert above[3] == pytest.approx(low[3] / 2, abs=0.02)
    assert alone[1] == above[1]  # three objects each
    assert alone[0] > low[0] + low[2]
    assert alone[0] + alone[2] < WIDTH


def test_no_objects_are_no_columns():
    none = np.zeros(2, dtype=np.int64)
    chart = size_chart(
        np.array([4.0, 8.0, 16.0]), [("low", none)], highest=0, description="d", **NAMED
    )
    assert "<rect" not in chart
    assert not re.search(r"nan|inf", chart)
