import csv
import io

from scale_match.report.tables import compare_runs, sizes_by_iou, to_csv, to_markdown

RUNS = {
    "pretrained": {"AP50_tiny": 2 / 3, "AP50_small": -1.0},
    "scratch": {"AP50_tiny": 0.5, "AP50_small": -1.0},
}


def test_markdown_has_caption_rows_and_notes():
    assert to_markdown(compare_runs(RUNS)).split("\n") == [
        "comparison of runs, values x100",
        "",
        "| metric | pretrained | scratch |",
        "|---|---:|---:|",
        "| AP50_tiny | 66.67 | 50.00 |",
        "| AP50_small | - | - |",
        "",
        "- : nothing to measure",
        "",
    ]


def test_markdown_without_unmeasured_values_has_no_note():
    assert to_markdown(sizes_by_iou({"AP50_tiny": 0.5})).endswith("| AP50 | 50.00 |\n")


def test_titles_cannot_break_a_markdown_row():
    assert "| a\\|b |" in to_markdown(compare_runs({"a|b": {"AP50_tiny": 0.5}}))


def test_csv_keeps_fractions_with_all_digits():
    rows = list(csv.reader(io.StringIO(to_csv(RUNS))))
    assert rows[0] == ["run", "metric", "value"]
    assert rows[1] == ["pretrained", "AP50_tiny", repr(2 / 3)]
    assert {(run, name): float(value) for run, name, value in rows[1:]} == {
        (run, name): value for run, metrics in RUNS.items() for name, value in metrics.items()
    }
