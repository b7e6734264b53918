import pytest

from scale_match.core.errors import InputError
from scale_match.core.metric_tables import compare_runs, sizes_by_iou

METRICS = {
    "AP25_all": 0.5,
    "AP25_tiny": 1 / 3,
    "AP50_all": 0.25,
    "AP50_tiny": -1.0,
    "AR50_tiny": 0.0,
    "AP50_tiny_maxDets200": 0.125,
    "seconds": 12.0,
}


def test_one_evaluation_shows_sizes_as_columns_and_ious_as_rows():
    table = sizes_by_iou(METRICS)
    assert table.header == ("", "all", "tiny")
    assert table.rows == (
        ("AP25", "50.00", "33.33"),
        ("AP50", "25.00", "-"),
        ("AR50", "", "0.00"),
    )
    assert table.caption == "AP and AR by size range, values x100"
    assert table.notes == ("- : nothing to measure",)


def test_another_limit_has_its_own_table_and_says_so():
    table = sizes_by_iou(METRICS, max_dets=200)
    assert table.rows == (("AP50", "12.50"),)
    assert table.caption == "AP and AR at maxDets 200 by size range, values x100"
    assert table.notes == ()


def test_runs_stand_side_by_side():
    runs = {"pretrained": {"AP50_tiny": 0.5, "AP25_tiny": 0.6}, "scratch": {"AP50_tiny": 0.25}}
    table = compare_runs(runs)
    assert table.header == ("metric", "pretrained", "scratch")
    assert table.rows == (("AP50_tiny", "50.00", "25.00"), ("AP25_tiny", "60.00", ""))
    assert table.caption == "comparison of runs, values x100"


def test_chosen_metrics_stand_in_the_order_asked_for():
    table = compare_runs({"ours": METRICS}, ["AP50_tiny", "AP25_all"])
    assert [row[0] for row in table.rows] == ["AP50_tiny", "AP25_all"]
    assert table.notes == ("- : nothing to measure",)


def test_the_plain_form_is_aligned():
    assert sizes_by_iou(METRICS).plain().splitlines() == [
        "AP and AR by size range, values x100",
        "        all   tiny",
        "AP25  50.00  33.33",
        "AP50  25.00      -",
        "AR50          0.00",
        "- : nothing to measure",
    ]


def test_a_table_without_metrics_is_refused():
    with pytest.raises(InputError, match=r"no AP or AR at maxDets 7 among \['AP25_all'"):
        sizes_by_iou(METRICS, max_dets=7)
    with pytest.raises(InputError, match=r"no AP or AR at maxDets max among \['seconds'\]"):
        sizes_by_iou({"seconds": 1.0})


def test_a_comparison_needs_runs_and_known_names():
    with pytest.raises(InputError, match="at least one run"):
        compare_runs({})
    with pytest.raises(InputError, match=r"no run has a metric AP50_huge; the runs are \['ours'\]"):
        compare_runs({"ours": METRICS}, ["AP50_huge"])
