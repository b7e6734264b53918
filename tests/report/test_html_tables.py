import re

import pytest

from scale_match.report.html_tables import Cell, percent, table


def test_a_table_has_caption_headers_and_a_frame_that_the_keyboard_reaches():
    made = table("Things", ["name", "size"], [["a", Cell("1", 1.0, "number")]])
    assert '<div class="scroll" tabindex="0" role="region" aria-label="Things">' in made
    assert "<caption><span>Things</span></caption>" in made
    assert '<th scope="col">name</th><th scope="col" class="number">size</th>' in made
    assert '<th scope="row">a</th><td class="number" data-value="1.0">1</td>' in made


def test_only_what_has_rows_to_sort_is_sortable():
    rows = [["a"], ["b"]]
    assert 'class="sortable"' in table("t", ["n"], rows)
    assert 'class="sortable wide"' in table("t", ["n"], rows, kind="wide")
    for made in (table("t", ["n"], rows[:1]), table("t", ["n"], rows, sortable=False)):
        assert "sortable" not in made
    assert 'class="scroll tall"' in table("t", ["n"], rows, frame="tall")


def test_foreign_text_is_escaped_everywhere():
    made = table("<i>", ["<i>"], [["<i>"], [Cell("<i>", "<i>", "<i>")]])
    assert "<i>" not in made


@pytest.mark.parametrize(
    ("value", "interval", "text", "key"),
    [
        (0.12345678, None, "12.35", 0.12345678),
        (1.0, None, "100.00", 1.0),
        (0.0, None, "0.00", 0.0),
        (-1.0, None, "-", ""),
        (None, None, "", None),
        (0.5, (0.412, 0.589), "50.00 41.2 to 58.9", 0.5),
    ],
)
def test_fractions_are_shown_times_100_and_sorted_by_all_digits(value, interval, text, key):
    cell = percent(value, interval)
    assert re.sub("<[^>]*>", "", cell.content) == text
    assert cell.value == key
    assert cell.kind == "number"


def test_an_empty_table_is_a_table():
    assert "<tbody></tbody>" in table("t", ["n"], [])
