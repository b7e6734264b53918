import json
import re
from dataclasses import replace

import numpy as np
import pytest

from report_samples import make_run
from scale_match.core.errors import InputError
from scale_match.core.protocol import MODEL_ENTRIES
from scale_match.scoring.comparison import compare_scores
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.run_figures import (
    Metric,
    difference_to,
    gather_run,
    limits_text,
    parse_metric,
)
from scale_match.scoring.scores import ScoringOptions
from scale_match.scoring.uncertainty import bootstrap_block

TINY = parse_metric("AP50_tiny")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path, _ = make_run(tmp_path_factory.mktemp("run"))
    return read_saved_scores(path)


@pytest.fixture(scope="module")
def run(saved):
    return gather_run(saved, TINY)


def test_a_metric_is_named_as_the_trainer_does():
    tiny = parse_metric("AP50_tiny")
    assert tiny == Metric("tiny_50", "AP50_tiny", "tiny", 50, None)
    limited = parse_metric("AP25_small_maxDets1000")
    assert limited == Metric("small_25", "AP25_small_maxDets1000", "small", 25, 1000)


@pytest.mark.parametrize("text", ["AR50_tiny", "tiny_50", "AP50", "", "ap50_tiny", "AP50_tiny-x"])
def test_another_name_is_an_error(text):
    with pytest.raises(InputError, match=f"--metric needs the name of an AP .* received {text}$"):
        parse_metric(text)


def test_values_are_those_of_the_scores_file(saved, run):
    assert run.label == "run"
    assert run.max_dets == 1000
    assert run.block("AP") == "AP_maxDets1000"
    assert run.value() == saved.content["AP_maxDets1000"]["tiny_50"]
    assert run.value() == run.result.average_precision(1000)["tiny_50"]
    assert run.values("AR_maxDets1000") == saved.content["AR_maxDets1000"]
    assert run.values("nothing") == {}
    assert run.values_at_other_limits() == {200: saved.content["AP"]["tiny_50"]}
    assert run.protocol.to_dict() == saved.content["protocol"]
    assert run.curve("tiny", 0.5).mean() == pytest.approx(run.value())


def test_a_metric_of_another_limit_reads_its_own_block(saved):
    limited = gather_run(saved, parse_metric("AP50_tiny_maxDets200"))
    assert limited.max_dets == 200
    assert limited.block("AP") == "AP"
    assert limited.block("AP", 1000) == "AP_maxDets1000"
    assert limited.value() == saved.content["AP"]["tiny_50"]
    assert limited.values_at_other_limits() == {1000: saved.content["AP_maxDets1000"]["tiny_50"]}


@pytest.mark.parametrize("limits", [(2, 300, 5), (300, 5, 2), (5, 2, 300)])
def test_the_limit_is_the_largest_wherever_it_stands_and_the_others_follow(tmp_path, limits):
    path, _ = make_run(tmp_path, options=ScoringOptions(max_dets=limits))
    found = gather_run(read_saved_scores(path), TINY)
    values = {limit: found.result.average_precision(limit)["tiny_50"] for limit in limits}
    assert len(set(values.values())) == 3
    assert (found.max_dets, found.value()) == (300, values[300])
    assert list(found.values_at_other_limits().items()) == [(5, values[5]), (2, values[2])]
    tiny = found.curve("tiny", 0.5)
    assert (tiny == found.result.curve("tiny_50", 300)).all()
    assert (tiny != found.result.curve("tiny_50", 2)).any()


def test_the_limits_of_runs_are_named_once_each(run):
    others = [replace(run, max_dets=limit) for limit in (300, 1000)]
    assert limits_text([run]) == "1000"
    assert limits_text([run, *others]) == "1000 or 300"


def test_images_and_sizes_count_the_same_objects(run):
    assert run.images.objects.sum() == run.result.counts()["tiny_50"]["npos"]
    assert run.widest_range == "all"
    assert len(run.object_sizes) == run.result.counts()["all_50"]["npos"]
    sizes = run.sizes(np.array([1.0, 1000.0]))
    assert sizes.objects.tolist() == [len(run.object_sizes)]
    assert sizes.found[0] <= run.result.counts()["all_50"]["tp"]


def test_without_a_bootstrap_there_are_no_intervals(run):
    assert run.interval() is None
    assert run.intervals_of("AP") == {}


def test_intervals_are_drawn_or_those_of_the_file(saved, tmp_path):
    drawn = gather_run(saved, TINY, resamples=20, seed=3)
    block = bootstrap_block(drawn.scores, 20, 3)
    expected = block["AP_maxDets1000"]["tiny_50"]
    assert drawn.interval() == (expected["low"], expected["high"])
    measured = {key for key, entry in block["AR_maxDets1000"].items() if entry}
    assert drawn.intervals_of("AR_maxDets1000").keys() == measured
    assert (drawn.level, drawn.resamples) == (0.95, 20)
    path, _ = make_run(tmp_path, blocks={"bootstrap": block})
    assert gather_run(read_saved_scores(path), TINY).interval() == drawn.interval()


def test_a_value_that_is_nothing_has_no_interval(tmp_path):
    block = {"resamples": 5, "seed": 1, "level": 0.9, "AP": {}, "AR": {}}
    block["AP_maxDets1000"] = {"tiny_50": None}
    path, _ = make_run(tmp_path, blocks={"bootstrap": block})
    found = gather_run(read_saved_scores(path), TINY)
    assert found.interval() is None
    assert (found.level, found.resamples, found.seed) == (0.9, 5, 1)


def test_errors_and_ladder_are_found_now(run):
    assert run.errors["size_ranges"].keys() == set(run.result.size_ranges)
    assert run.ladder["size_range"] == "tiny"


EVERYTHING = dict.fromkeys(MODEL_ENTRIES, 1)


@pytest.fixture
def two(tmp_path):
    """Two runs under one protocol that is wholly known."""
    return [
        read_saved_scores(make_run(tmp_path, name=name, seed=seed, protocol=EVERYTHING)[0])
        for seed, name in enumerate(("one", "other"))
    ]


def test_the_difference_of_two_runs_has_the_interval_of_compare(two):
    first, run = (gather_run(each, TINY, resamples=30, seed=2) for each in two)
    difference, interval = difference_to(first, run)
    assert difference == run.value() - first.value()
    comparison = compare_scores(two, ["AP50_tiny"], resamples=30, seed=2)
    cell = comparison.rows[1].cells["AP50_tiny"]  # of the worse run, to the better
    bounds = (cell.difference_interval.low, cell.difference_interval.high)
    mine = (interval, (-interval[1], -interval[0]))
    assert bounds == pytest.approx(mine[difference > 0])


def test_without_the_same_resamples_a_difference_has_no_interval(two):
    first, run = (gather_run(each, TINY, resamples=9, seed=seed) for seed, each in enumerate(two))
    assert difference_to(first, run) == (run.value() - first.value(), None)
    first, run = (gather_run(each, TINY) for each in two)
    assert difference_to(first, run) == (run.value() - first.value(), None)


def test_runs_that_cannot_be_compared_have_no_difference(run, two):
    assert difference_to(run, run) is None  # its protocol is not known
    known = gather_run(two[0], TINY)
    assert difference_to(known, known) == (0.0, None)
    nothing = replace(known, content={"AP_maxDets1000": {"tiny_50": -1.0}})
    assert difference_to(known, nothing) is None


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("AP51_tiny", r"run\.json: tiny_51 was not evaluated, only \['all_25'"),
        ("AP50_tiny_maxDets7", r"run\.json: maxDets 7 was not evaluated, only \[200, 1000\]"),
    ],
)
def test_a_metric_that_was_not_evaluated_is_an_error(saved, metric, message):
    with pytest.raises(InputError, match=message):
        gather_run(saved, parse_metric(metric))


def test_inputs_that_are_gone_are_an_error(tmp_path):
    path, _ = make_run(tmp_path)
    detections = tmp_path / "run_detections.json"
    detections.write_text(json.dumps(json.loads(detections.read_text())[1:]))
    with pytest.raises(InputError, match=re.escape(f"{detections} has changed since {path}")):
        gather_run(read_saved_scores(path), TINY)
    detections.unlink()
    with pytest.raises(
        InputError, match=r"run\.json was computed from .*run_detections\.json, which is not"
    ):
        gather_run(read_saved_scores(path), TINY)
