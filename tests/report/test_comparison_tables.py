import csv
import io
from pathlib import Path

import pytest

from scale_match.core.resampling import Interval
from scale_match.report.comparison_tables import (
    comparison_csv,
    comparison_markdown,
    comparison_tables,
)
from scale_match.scoring.agreement import Conflict
from scale_match.scoring.comparison import Cell, Comparison, Row


def span(low, high, left_out=0):
    return Interval(low, high, 0.01, 1000 - left_out, left_out)


BEST = Cell(0.6123, 200, span(0.6, 0.625), None, None)
GOOD = Cell(0.6, 200, span(0.58, 0.62), -0.0123, span(-0.02, 0.005))
POOR = Cell(0.5, 200, span(0.48, 0.52), -0.1123, span(-0.125, -0.1))


def compared(*cells, metrics=("AP50_tiny",), notes=(), **options):
    """Runs named a, b, ...; a cell stands for itself or for a tuple, one for each metric."""
    rows = []
    for name, cell in zip("abcdef", cells, strict=False):
        columns = cell if isinstance(cell, tuple) else (cell,)
        values = dict(zip(metrics, columns, strict=True))
        rows.append(Row(name, Path(f"/runs/{name}.json"), values, notes if name == "b" else ()))
    settings = {
        "conflicts": (),
        "resamples": 1000,
        "seed": 7,
        "level": 0.95,
        "unsampled": (),
    }
    return Comparison(metrics, tuple(rows), **(settings | options))


def plain(comparison):
    return [table.plain().splitlines() for table in comparison_tables(comparison)]


def test_a_metric_is_a_table_with_intervals_and_differences():
    assert plain(compared(BEST, GOOD, POOR)) == [
        [
            "AP50_tiny at maxDets 200, values x100",
            "run   AP50_tiny    95% interval  difference  its 95% interval  excludes 0",
            "1  a      61.23  60.00 to 62.50        best",
            "2  b      60.00  58.00 to 62.00       -1.23    -2.00 to +0.50          no",
            "3  c      50.00  48.00 to 52.00      -11.23  -12.50 to -10.00         yes",
            "intervals: 1000 resamples of the images, seed 7; for a difference both runs have the "
            "same resamples",
        ]
    ]


def test_without_resamples_there_are_no_columns_for_intervals():
    cells = (Cell(0.6, 200, None, None, None), Cell(0.5, 200, None, -0.1, None))
    assert plain(compared(*cells, resamples=0)) == [
        [
            "AP50_tiny at maxDets 200, values x100",
            "run   AP50_tiny  difference",
            "1  a      60.00        best",
            "2  b      50.00      -10.00",
        ]
    ]


def test_several_metrics_have_an_overview_first():
    rate = Cell(0.9, None, None, None, None), Cell(0.95, None, None, 0.05, None)
    tables = plain(
        compared(
            (BEST, rate[0]),
            (GOOD, rate[1]),
            metrics=("AP50_tiny", "MR50_tiny"),
            unsampled=("MR50_tiny",),
        )
    )
    assert [table[0] for table in tables] == [
        "best AP50_tiny first, values x100",
        "AP50_tiny at maxDets 200, values x100",
        "MR50_tiny, values x100 (lower is better)",
    ]
    assert tables[0][1:] == [
        "run   AP50_tiny  MR50_tiny",
        "1  a      61.23      90.00",
        "2  b      60.00      95.00",
    ]
    assert tables[2][2:] == [
        "1  a      90.00                      best",
        "2  b      95.00                     +5.00",
        "no intervals: only AP and AR can be resampled without matching again",
    ]


def test_the_reason_for_a_missing_interval_stands_below():
    cell = Cell(0.5, 200, None, -0.1, None)
    (table,) = plain(compared(BEST, cell, notes=("no interval: dt.json is gone",)))
    assert table[3].split() == ["2", "b", "50.00", "-10.00"]
    assert table[-1] == "b: no interval: dt.json is gone"


def test_what_could_not_be_measured_is_a_dash():
    (table,) = plain(compared(BEST, Cell(-1.0, 200, None, None, None)))
    assert table[3].split() == ["2", "b", "-", "-"]
    assert "- : nothing to measure" in table


def test_resamples_without_ground_truth_are_counted():
    cell = Cell(0.5, 200, span(0.4, 0.6, left_out=12), None, None)
    (table,) = plain(compared(cell, GOOD))
    assert "12 resamples hold nothing to measure and are left out" in table


def test_limits_that_differ_have_a_column():
    (table,) = plain(compared(BEST, Cell(0.5, 1000, None, -0.1, None)))
    assert table[0] == "AP50_tiny, values x100"
    assert [line.split()[2] for line in table[2:4]] == ["200", "1000"]


def test_protocol_entries_that_differ_are_a_table():
    tables = plain(compared(BEST, GOOD, conflicts=(Conflict("score", (0.1, None)),)))
    assert tables[-1] == [
        "protocol entries that differ or are not known",
        "entry    a     b",
        "score  0.1  null",
        "null : not given, so not comparable",
    ]


def test_markdown_holds_the_same_tables():
    text = comparison_markdown(compared(BEST, GOOD, conflicts=(Conflict("score", (0.1, 0.2)),)))
    assert "| 2  b | 60.00 | 58.00 to 62.00 | -1.23 | -2.00 to +0.50 | no |" in text
    assert "| score | 0.1 | 0.2 |" in text
    assert text.endswith("|\n")


def test_csv_keeps_fractions_with_all_digits():
    text = comparison_csv(compared(BEST, GOOD, notes=("so it is",)))
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {
        "rank": "1",
        "run": "a",
        "path": "/runs/a.json",
        "metric": "AP50_tiny",
        "max_dets": "200",
        "value": "0.6123",
        "low": "0.6",
        "high": "0.625",
        "difference": "",
        "difference_low": "",
        "difference_high": "",
        "excludes_zero": "",
        "notes": "",
    }
    assert float(second["difference"]) == -0.0123
    assert (second["excludes_zero"], second["notes"]) == ("false", "so it is")


@pytest.mark.parametrize("value", [1 / 3, -1.0])
def test_csv_repeats_the_value_exactly(value):
    text = comparison_csv(compared(Cell(value, None, None, None, None)))
    (row,) = csv.DictReader(io.StringIO(text))
    assert float(row["value"]) == value
    assert row["max_dets"] == ""
