import pytest

from scale_match.report.series import MARKS, MOST_SERIES, legend


def test_every_series_has_a_mark_of_its_own():
    assert len({mark(0, 0) for mark in MARKS}) == MOST_SERIES


@pytest.mark.parametrize(
    ("kind", "part"),
    [("marks", '<g class="mark s1">'), ("lines", "curve s1"), ("bars", "bar s1")],
)
def test_a_legend_shows_each_series_as_its_chart_does(kind, part):
    made = legend(["ours", "<theirs>"], kind)
    assert made.count("<li>") == 2
    assert part in made
    assert "<span>&lt;theirs&gt;</span>" in made


def test_a_style_exists_for_every_series(repository):
    style = (repository / "projects/scale_match/report/style.css").read_text()
    for place in range(MOST_SERIES):
        assert style.count(f"--s{place}:") == 2  # light and dark
        assert f".s{place} {{" in style
