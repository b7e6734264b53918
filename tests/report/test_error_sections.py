import re
from dataclasses import replace

import pytest

from scale_match.report.error_sections import error_section, ladder_section

TYPES = ("classification", "localisation", "both", "duplicate", "background", "missed")


def test_every_size_range_has_its_bars(runs):
    content = error_section(runs[:1]).content
    for label in runs[0].result.size_ranges:
        assert f"<figcaption>{label}<" in content
    assert all(f"<dt>{name}</dt>" in content for name in TYPES)
    share = runs[0].errors["size_ranges"]["tiny"]["types"]["background"]["share"]
    chart = re.search("<svg(?:(?!<svg).)*?size range tiny</title>.*?</svg>", content).group(0)
    assert f'class="value">{100 * share:.1f}</text>' in chart


def test_the_parts_of_the_table_sum_to_the_gap(runs):
    content = error_section(runs[:1]).content
    rows = re.findall('<tr><th scope="row">tiny</th>(.*?)</tr>', content)
    parts = [float(re.findall('data-value="([^"]*)"', row)[1]) for row in rows]
    assert len(parts) == 6
    assert sum(parts) == pytest.approx(runs[0].errors["size_ranges"]["tiny"]["gap"])


def test_seams_are_shown_where_the_tiles_are_known(runs):
    content = error_section(runs[:1]).content
    assert "By distance to the nearest tile seam" in content
    bands = runs[0].errors["seams"]["size_ranges"]["tiny"]
    for band in bands:
        assert band["band"] in content.replace("&lt;", "<").replace("&gt;", ">")


def test_what_is_left_out_is_said_with_the_reason(runs):
    content = error_section(runs[2:]).content
    (left_out,) = runs[2].errors["left_out"]
    assert "tile seam" not in content
    assert f"Left out: seams: {left_out['reason']}.".replace("&", "&amp;") in content
    assert "Left out: merging: needs" in ladder_section(runs[:1]).content


def test_runs_that_lack_the_same_are_named_together(runs):
    assert "Left out (first, second): merging: " in ladder_section(runs[:2]).content


def test_the_ladder_has_a_bar_for_each_rung(runs):
    content = ladder_section(runs[:1]).content
    for rung in runs[0].ladder["rungs"]:
        assert f"+ {rung['rung']}" in content
        assert f"{100 * rung['cumulative']:.2f}" in content
    assert content.count('class="bar s0"') == 1 + len(runs[0].ladder["rungs"])


def test_nothing_to_measure_is_no_bar(runs):
    tiny = runs[0].errors["size_ranges"]["tiny"]
    nothing = {
        **tiny,
        "AP": -1.0,
        "gap": -1.0,
        "types": {
            name: {**each, "share": -1.0, "delta": -1.0} for name, each in tiny["types"].items()
        },
    }
    errors = {**runs[0].errors, "size_ranges": {"tiny": nothing}}
    ladder = {**runs[0].ladder, "AP": -1.0}
    ladder["rungs"] = [{**each, "alone": -1.0, "cumulative": -1.0} for each in ladder["rungs"]]
    run = replace(runs[0], errors=errors, ladder=ladder)
    assert "<figcaption>tiny<" in error_section([run]).content
    for content in (error_section([run]).content, ladder_section([run]).content):
        assert "-100" not in content
        assert 'class="bar' not in content
    assert "AP50 nothing to measure" in error_section([run]).content
