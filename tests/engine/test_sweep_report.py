"""The table is the authors' one; files keep all digits."""

import csv
import io

from scale_match.engine.sweep_report import SweepRow, sweep_table, to_csv
from scale_match.engine.sweep_settings import SweepSettings

SCORES = {"score_thresholds": (0.05,)}


def rows(values, **settings):
    swept = SweepSettings(**{**SCORES, **settings})
    return [
        SweepRow(row, 7, {"AP50_tiny": value, "AR50_tiny": -1.0}, {"hash": "x", "entries": {}})
        for row, value in zip(swept.rows(), values, strict=True)
    ]


def lines(found, metrics=("AP50_tiny",), most=10**6):
    return (
        sweep_table(found, metrics, ground_truth="test.json", most_candidates=most)
        .plain()
        .splitlines()
    )


def test_a_literal_table():
    found = rows(
        [0.4293, 0.5, 1 / 3, 0.25], candidates=(1000,), max_detections=(100,), max_dets=(200, 1000)
    )
    assert lines(found) == [
        "test-time settings on test.json, NMS class-aware, NMS IoU 0.5, score > 0.05, values x100",
        "run-time crop  candidates  max per img  maxDets  AP50_tiny",
        "Y                    1000          100      200      42.93",
        "Y                    1000          100     1000      50.00",
        "N               1000/crop     100/crop      200      33.33",
        "N               1000/crop     100/crop     1000      25.00",
    ]


def test_what_differs_has_a_column():
    found = rows(
        [0.1] * 4,
        crop=("yes",),
        candidates=(5,),
        max_detections=(3,),
        max_dets=(9,),
        nms=("class-aware", "class-agnostic"),
        nms_thresholds=(0.5, 0.6),
    )
    assert lines(found)[:3] == [
        "test-time settings on test.json, score > 0.05, values x100",
        "run-time crop  candidates  max per img             NMS  NMS IoU  maxDets  AP50_tiny",
        "Y                       5            3     class-aware      0.5        9      10.00",
    ]


def test_several_metrics_and_nothing_to_measure():
    found = rows([0.1], crop=("yes",), candidates=(5,), max_detections=(3,), max_dets=(9,))
    body = lines(found, ("AR50_tiny", "AP50_tiny"))
    assert body[1].split()[-2:] == ["AR50_tiny", "AP50_tiny"]
    assert body[2].split()[-2:] == ["-", "10.00"]
    assert body[3:] == ["- : nothing to measure"]


def test_candidates_that_no_tile_has_are_said():
    found = rows([0.1] * 2, crop=("yes",), candidates=(5, 6), max_detections=(3,), max_dets=(9,))
    note = "no level of a tile has more than 5 candidates: further ones change nothing"
    assert lines(found, most=5)[-1] == note
    assert len(lines(found, most=6)) == len(lines(found, most=5)) - 1


def test_csv_has_a_line_for_each_row_and_all_digits():
    found = rows([1 / 3, 0.25], crop=("no",), candidates=(5,), max_detections=(3,))
    (first, second) = csv.DictReader(io.StringIO(to_csv(found)))
    assert first == {
        "run_time_crop": "no",
        "candidates_per_level": "5",
        "max_detections": "3",
        "nms": "class-aware",
        "nms_threshold": "0.5",
        "score_threshold": "0.05",
        "max_dets": "200",
        "detections": "7",
        "AP50_tiny": repr(1 / 3),
        "AR50_tiny": "-1.0",
    }
    assert second["max_dets"] == "1000"


def test_a_row_in_json_says_its_settings():
    (row,) = rows([0.5], crop=("yes",), candidates=(5,), max_detections=(3,), max_dets=(9,))
    assert row.to_dict() == {
        "label": "crop-yes_cand-5_img-3_class-aware-0.5_score-0.05_dets-9",
        "run_time_crop": "yes",
        "candidates_per_level": 5,
        "max_detections": 3,
        "nms": "class-aware",
        "nms_threshold": 0.5,
        "score_threshold": 0.05,
        "max_dets": 9,
        "detections": 7,
        "metrics": {"AP50_tiny": 0.5, "AR50_tiny": -1.0},
        "protocol": {"hash": "x", "entries": {}},
    }
