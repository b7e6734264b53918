"""What a sweep combines, and what it refuses to."""

import pytest

from scale_match.core.errors import InputError
from scale_match.engine.sweep_settings import SweepSettings, metric_key
from scale_match.scoring.scores import ScoringOptions


def test_the_defaults_are_the_rows_of_the_authors_study():
    rows = list(SweepSettings(score_thresholds=(0.05,)).rows())
    assert len(rows) == len(set(rows)) == 2 * 3 * 3 * 2
    found = {
        (row.crop, row.suppression.candidates, row.max_detections, row.max_dets) for row in rows
    }
    # The nine rows of their two tables.
    assert found > {
        ("yes", 1000, 100, 200),
        ("yes", 5000, 1000, 200),
        ("yes", 2000, 1000, 200),
        ("yes", 1000, 1000, 200),
        ("yes", 2000, 1000, 1000),
        ("no", 1000, 100, 200),
        ("no", 1000, 500, 1000),
    }
    assert {(row.suppression.nms, row.suppression.threshold) for row in rows} == {
        ("class-aware", 0.5)
    }


def test_rows_go_from_crop_to_max_dets():
    settings = SweepSettings(
        candidates=(7, 5), max_detections=(3,), max_dets=(2, 1), score_thresholds=(0.1,)
    )
    assert [row.label for row in settings.rows()][:4] == [
        "crop-yes_cand-7_img-3_class-aware-0.5_score-0.1_dets-2",
        "crop-yes_cand-7_img-3_class-aware-0.5_score-0.1_dets-1",
        "crop-yes_cand-5_img-3_class-aware-0.5_score-0.1_dets-2",
        "crop-yes_cand-5_img-3_class-aware-0.5_score-0.1_dets-1",
    ]


def test_every_row_has_a_label_of_its_own():
    settings = SweepSettings(
        nms=("class-aware", "class-agnostic"),
        nms_thresholds=(0.5, 0.51),
        score_thresholds=(0.05, 0.0),
    )
    labels = [row.label for row in settings.rows()]
    assert len(set(labels)) == len(labels) == 36 * 8


def test_a_metric_is_found_in_its_block():
    assert metric_key("AP50_tiny") == ("AP", "tiny_50")
    assert metric_key("AR25_reasonable") == ("AR", "reasonable_25")
    assert metric_key("MR75_All") == ("MR", "All_75")
    for name in ("AP50", "AP60_tiny", "MR50_all", "ap50_tiny", "AP50_tiny_maxDets200", ""):
        assert metric_key(name) is None


def test_every_metric_of_the_standard_has_a_name():
    options = ScoringOptions()
    for label in options.standard.size_ranges:
        assert metric_key(f"AP75_{label}") == ("AP", f"{label}_75")
    for label in options.standard.miss_rate_ranges:
        assert metric_key(f"MR25_{label}") == ("MR", f"{label}_25")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": ("maybe",)}, "--crop needs values of yes, no, each once; received .'maybe'"),
        ({"crop": ()}, r"--crop needs values of yes, no, each once; received \[\]"),
        ({"crop": ("yes", "yes")}, "--crop needs values of yes, no, each once"),
        ({"candidates": (0,)}, r"--candidates needs values that are at least 1, .*ved \[0\]"),
        ({"candidates": (5, 5)}, r"--candidates needs .* each once; received \[5, 5\]"),
        ({"max_detections": (-1,)}, r"--max-per-image needs values that are at least 1"),
        ({"max_dets": ()}, r"--max-dets needs values that are at least 1"),
        ({"nms": ("soft",)}, "--nms needs values of class-aware, class-agnostic, each once"),
        ({"nms_thresholds": (1.5,)}, r"--nms-threshold needs values in \[0, 1\], .*\[1.5\]"),
        ({"nms_thresholds": ()}, r"--nms-threshold needs values in \[0, 1\]"),
        ({"nms_thresholds": (float("nan"),)}, r"--nms-threshold needs values in \[0, 1\]"),
        ({"score_thresholds": (-0.1,)}, r"--score-threshold needs values in \[0, 1\]"),
        ({"metrics": ("AP51_tiny",)}, "--metric needs values as AP50_tiny, AR25_all or MR50_tiny"),
        ({"metrics": ()}, "--metric needs values as AP50_tiny"),
    ],
)
def test_values_out_of_range_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        SweepSettings(**wrong)
