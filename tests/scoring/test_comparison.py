import json
from pathlib import Path

import numpy as np
import pytest

from comparison_samples import KNOWN, make_saved
from scale_match.core.bootstrap import bootstrap_average_precision
from scale_match.core.errors import InputError
from scale_match.core.resampling import interval
from scale_match.scoring.comparison import compare_scores, run_labels
from scale_match.scoring.files import SavedScores, read_saved_scores, write_scores
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scoring_files import write

FEW = {"resamples": 60, "seed": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs over the same images, not in the order of their values."""
    folder = tmp_path_factory.mktemp("runs")
    shares = {"half": 0.5, "whole": 1.0, "most": 0.8}
    return [make_saved(folder, name, share=share) for name, share in shares.items()]


def compared(runs, names=None, **options):
    return compare_scores(runs, names, **(FEW | options))


def value(saved, key="tiny_50", block="AP_maxDets1000"):
    return saved.content[block][key]


# ---- Ranking ----


def test_the_best_comes_first_with_differences_to_it(runs):
    found = compared(runs)
    values = [row.cells["AP50_tiny"].value for row in found.rows]
    assert values == sorted(map(value, runs), reverse=True)
    assert [row.label for row in found.rows] == ["whole", "most", "half"]
    differences = [row.cells["AP50_tiny"].difference for row in found.rows]
    assert differences == [None, values[1] - values[0], values[2] - values[0]]
    assert found.metrics == ("AP50_tiny",)


def test_the_first_metric_decides_and_a_lower_miss_rate_is_better(runs):
    found = compared(runs, ["MR25_tiny", "AP25_all"])
    rates = [row.cells["MR25_tiny"].value for row in found.rows]
    assert rates == sorted(value(each, "tiny_25", "MR") for each in runs)
    assert all(row.cells["MR25_tiny"].interval is None for row in found.rows)
    assert found.unsampled == ("MR25_tiny",)
    assert found.rows[1].cells["AP25_all"].difference_interval is not None


def test_equal_values_stay_in_the_order_of_the_arguments(tmp_path):
    twins = [make_saved(tmp_path, name) for name in ("one", "two", "three")]
    found = compared(twins)
    assert [row.label for row in found.rows] == ["one", "two", "three"]
    between = found.rows[1].cells["AP50_tiny"].difference_interval
    assert (between.low, between.high, between.excludes_zero) == (0, 0, False)


def test_what_could_not_be_measured_comes_last_without_a_difference(tmp_path, runs):
    # Ranges that no object is in: AP and MR of -1, which must not pass for a low miss rate.
    content = dict(runs[0].content)
    for block, key in (("AP_maxDets1000", "tiny_50"), ("MR", "tiny_50")):
        content[block] = content[block] | {key: -1.0}
    nothing = read_saved_scores(write(tmp_path / "nothing.json", content))
    for name in ("AP50_tiny", "MR50_tiny"):
        found = compare_scores([nothing, *runs], [name], resamples=0)
        assert found.rows[-1].label == "nothing"
        assert found.rows[-1].cells[name].difference is None


def test_labels_that_are_equal_get_a_number():
    paths = ("a/scores.json", "b/scores.json", "x/a/scores.json", "a.json")
    labels = run_labels([SavedScores(Path(path), {}) for path in paths])
    assert labels == ["a (1)", "b", "a (2)", "a (3)"]


# ---- Intervals ----


def test_intervals_pair_the_runs_image_by_image(runs):
    found = compared(runs)
    samples = {
        each.label: bootstrap_average_precision(
            each.reload().ap, keys=["tiny_50"], max_dets=1000, **FEW
        )
        for each in runs
    }
    best = samples["whole"]["tiny_50"]
    for row in found.rows:
        cell, own = row.cells["AP50_tiny"], samples[row.label]["tiny_50"]
        assert cell.interval == interval(own)
        if row.label != "whole":
            assert cell.difference_interval == interval(own - best)
        assert row.notes == ()
    # Paired, the difference is surer than the values are.
    assert found.rows[1].cells["AP50_tiny"].difference_interval.standard_error < (
        0.6 * np.hypot(best.std(), samples["most"]["tiny_50"].std())
    )


def test_without_resamples_nothing_is_read_again(tmp_path, runs):
    saved = [make_saved(tmp_path, name) for name in ("one", "two")]
    for each in saved:
        (each.path.parent / "dt.json").unlink()
    found = compared(saved, resamples=0)
    assert all(row.cells["AP50_tiny"].interval is None for row in found.rows)
    assert all(row.notes == () for row in found.rows)
    assert found.to_dict()["bootstrap"] is None


def test_a_run_whose_inputs_are_gone_stays_without_interval(tmp_path):
    saved = [make_saved(tmp_path, name, share=s) for name, s in (("one", 1.0), ("two", 0.5))]
    (tmp_path / "two" / "dt.json").unlink()
    first, second = compared(saved).rows
    assert first.cells["AP50_tiny"].interval is not None
    assert second.cells["AP50_tiny"].interval is None
    assert second.cells["AP50_tiny"].difference < 0
    assert len(second.notes) == 1
    assert second.notes[0].startswith("no interval: ")
    assert "dt.json, which is not there" in second.notes[0]


def test_without_the_best_runs_inputs_the_others_have_no_interval_of_the_difference(tmp_path):
    saved = [make_saved(tmp_path, name, share=s) for name, s in (("one", 1.0), ("two", 0.5))]
    (tmp_path / "one" / "dt.json").unlink()
    second = compared(saved).rows[1]
    assert second.cells["AP50_tiny"].interval is not None
    assert second.cells["AP50_tiny"].difference_interval is None
    assert second.notes == ("no interval of the difference: there are no resamples of one",)


def test_other_images_are_not_paired(tmp_path):
    # The same number of images, with other ids.
    saved = [make_saved(tmp_path, "one")]
    files = [tmp_path / "gt0.json", tmp_path / "one" / "dt.json"]
    gt, dt = (json.loads(path.read_text()) for path in files)
    for entry in gt["images"]:
        entry["id"] += 1000
    for entry in [*gt["annotations"], *dt]:
        entry["image_id"] += 1000
    saved.append(_scored(tmp_path / "two", gt, dt))
    second = compared(saved, allow_different_protocols=True).rows[1]
    assert second.cells["AP50_tiny"].interval is not None
    assert second.cells["AP50_tiny"].difference_interval is None
    assert second.notes == ("no interval of the difference: its image ids are not those of one",)


def test_other_ground_truth_is_not_paired(tmp_path):
    saved = [make_saved(tmp_path, "one")]
    gt = json.loads((tmp_path / "gt0.json").read_text())
    gt["annotations"][0]["ignore"] = not gt["annotations"][0]["ignore"]
    saved.append(_scored(tmp_path / "two", gt, json.loads((tmp_path / "one/dt.json").read_text())))
    rows = compared(saved, allow_different_protocols=True).rows
    note = f"no interval of the difference: its ground truth is not that of {rows[0].label}"
    assert rows[1].notes == (note,)
    assert rows[1].cells["AP50_tiny"].difference_interval is None


def _scored(folder, ground_truth, results):
    gt, dt = write(folder / "gt.json", ground_truth), write(folder / "dt.json", results)
    write_scores(folder / "scores.json", score(load_inputs(gt, dt), None, KNOWN))
    return read_saved_scores(folder / "scores.json")


def test_progress_sees_every_file(runs):
    seen = []
    compared(runs, resamples=0, progress=lambda saved: seen.extend(saved) or saved)
    assert seen == runs


# ---- Protocols ----


def test_different_protocols_are_ranked_on_request_only(tmp_path):
    first = make_saved(tmp_path, "one")
    second = make_saved(tmp_path, "two", share=0.5, protocol=KNOWN | {"nms_threshold": 0.3})
    with pytest.raises(InputError, match=r"cannot be ranked(.|\n)*nms_threshold +\"none\" +0.3"):
        compared([first, second])
    found = compared([second, first], allow_different_protocols=True)
    assert [row.label for row in found.rows] == ["one", "two"]
    assert found.to_dict()["protocol_differences"] == [
        {"entry": "nms_threshold", "values": {"one": "none", "two": 0.3}}
    ]
    assert found.to_dict()["protocols_agree"] is False


def test_an_unknown_entry_is_not_comparable_even_if_both_lack_it(tmp_path):
    protocol = KNOWN | {"test_scale": None}
    saved = [make_saved(tmp_path, name, protocol=protocol) for name in ("one", "two")]
    with pytest.raises(InputError, match=r"cannot be ranked(.|\n)*test_scale +null +null"):
        compared(saved)


def test_other_limits_are_another_protocol(tmp_path, runs):
    other = make_saved(tmp_path, "one", options=ScoringOptions(max_dets=(10,)))
    with pytest.raises(InputError, match=r"max_dets +\[10\] +\[200, 1000\]"):
        compared([other, runs[1]])
    found = compared([other, runs[1]], allow_different_protocols=True)
    assert {row.cells["AP50_tiny"].max_dets for row in found.rows} == {10, 1000}


def test_a_name_without_a_limit_is_ranked_by_the_largest(tmp_path):
    # With the best two detections of an image the order of the runs is another.
    options = ScoringOptions(max_dets=(2, 1000))
    saved = [make_saved(tmp_path, name, options=options) for name in ("one", "two")]
    changed = dict(saved[1].content)
    changed["AP"] = changed["AP"] | {"tiny_50": value(saved[1], block="AP") + 0.1}
    changed["AP_maxDets1000"] = changed["AP_maxDets1000"] | {"tiny_50": value(saved[1]) - 0.1}
    saved[1] = read_saved_scores(write(tmp_path / "two.json", changed))
    cells = {}
    for name in ("AP50_tiny", "AP50_tiny_maxDets2"):
        rows = compare_scores(saved, [name], resamples=0).rows
        cells[name] = [(row.label, row.cells[name].value, row.cells[name].max_dets) for row in rows]
    assert cells["AP50_tiny"] == [
        ("one", value(saved[0]), 1000), ("two", value(saved[0]) - 0.1, 1000)
    ]  # fmt: skip
    assert [(label, limit) for label, _, limit in cells["AP50_tiny_maxDets2"]] == [
        ("two", 2), ("one", 2)
    ]  # fmt: skip


# ---- JSON ----


def test_the_json_holds_all_of_it(runs):
    found = compared(runs, ["AP50_tiny", "MR50_tiny"])
    content = found.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["metrics"] == ["AP50_tiny", "MR50_tiny"]
    assert content["protocols_agree"] is True
    assert content["bootstrap"] == {
        "resamples": 60,
        "seed": 2,
        "level": 0.95,
        "unit": "images",
        "not_resampled": ["MR50_tiny"],
    }
    assert [row["rank"] for row in content["rows"]] == [1, 2, 3]
    second, cell = content["rows"][1], found.rows[1].cells["AP50_tiny"]
    assert (second["label"], second["path"]) == ("most", str(runs[2].path))
    assert second["metrics"]["AP50_tiny"] == {
        "value": cell.value,
        "max_dets": 1000,
        "interval": {
            "low": cell.interval.low,
            "high": cell.interval.high,
            "standard_error": cell.interval.standard_error,
            "resamples_used": 60,
        },
        "difference": cell.difference,
        "difference_interval": {
            "low": cell.difference_interval.low,
            "high": cell.difference_interval.high,
            "standard_error": cell.difference_interval.standard_error,
            "resamples_used": 60,
        },
        "excludes_zero": cell.difference_interval.excludes_zero,
    }
    assert second["metrics"]["MR50_tiny"]["excludes_zero"] is None


# ---- Errors ----


@pytest.mark.parametrize(
    ("count", "names", "options", "message"),
    [
        (1, None, {}, "at least two scores files; received 1"),
        (2, ["AP50_tiny", "AP50_tiny"], {}, "each once; received AP50_tiny, AP50_tiny"),
        (2, [], {}, "each once; received none"),
        (2, ["AP51_tiny"], {}, "half/scores.json has no AP51_tiny"),
        (2, None, {"resamples": -1}, "--bootstrap must not be negative; received -1"),
        (2, None, {"seed": -1}, "--seed must not be negative; received -1"),
    ],
)
def test_what_cannot_be_compared_is_refused(runs, count, names, options, message):
    with pytest.raises(InputError, match=message):
        compared(runs[:count], names, **options)
