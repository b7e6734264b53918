import re
from itertools import pairwise

import pytest

from scale_match.report.axes import WIDTH, Panel, fraction_axis, label_axis, nice_steps


@pytest.mark.parametrize("highest", [1e-7, 0.3, 1, 4.99, 5, 5.01, 99, 100, 1234.5, 9e8])
@pytest.mark.parametrize("lowest", [0, -0.1, -7, -3000.0])
def test_steps_reach_around_all_values_and_are_few_and_even(highest, lowest):
    steps = nice_steps(highest, lowest)
    slack = 1e-8 * (highest - lowest)  # nobody sees less than that
    assert steps[0] <= lowest + slack
    assert steps[-1] >= highest - slack
    assert any(abs(step) < 1e-12 for step in steps)
    assert 2 <= len(steps) <= 7
    widths = [b - a for a, b in pairwise(steps)]
    assert widths == pytest.approx([widths[0]] * len(widths))


def test_literal_steps():
    assert nice_steps(100) == [0, 20, 40, 60, 80, 100]
    assert nice_steps(0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_fractions_have_places_from_0_to_1():
    axis = fraction_axis("AP", 0.87)
    assert axis.place(0.0) == 0.0
    assert axis.place(1.0) == 1.0
    assert axis.ticks[1] == (0.2, "20")


def test_names_have_places_side_by_side():
    axis = label_axis("size range", ["a", "b"])
    assert [axis.place(0), axis.place(1)] == [0.25, 0.75]
    assert label_axis("", []).ticks == ()


def test_a_panel_draws_upwards_and_stays_inside():
    panel = Panel(fraction_axis("recall"), fraction_axis("precision"))
    assert panel.x(0) < panel.x(1) <= WIDTH
    assert 0 <= panel.y(1) < panel.y(0) < panel.height
    x, y = map(float, panel.points([0.5], [0.5]).split(","))
    assert (x, y) == pytest.approx((panel.x(0.5), panel.y(0.5)), abs=0.01)


def test_a_chart_says_what_it_shows():
    chart = Panel(fraction_axis("recall"), fraction_axis("precision <")).draw(
        title="a & b", description="falls", identity="c1"
    )
    assert 'role="img" aria-labelledby="c1-title c1-text"' in chart
    assert '<title id="c1-title">a &amp; b</title><desc id="c1-text">falls</desc>' in chart
    assert "precision &lt;" in chart
    assert not re.search(r"nan|inf", chart)
