import json
from dataclasses import replace

import numpy as np
import pytest

from comparison_samples import make_saved, make_scores
from scale_match.core.bootstrap import bootstrap_average_precision, bootstrap_average_recall
from scale_match.core.errors import InputError
from scale_match.scoring import scores
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.image_samples import draw_samples
from scale_match.scoring.saved_metrics import find_metric
from scale_match.scoring.scores import ScoringOptions
from scale_match.scoring.standards import COCO, Standard

NAMES = ("AP50_tiny", "AP25_all_maxDets4", "AR50_tiny", "MR50_tiny")
LIMITS = ScoringOptions(max_dets=(4, 1000))


def samples_of(saved, names=NAMES, **options):
    metrics = [find_metric(saved, name) for name in names]
    return draw_samples(saved, metrics, **({"resamples": 30, "seed": 1} | options))


def test_samples_are_those_of_the_evaluation(tmp_path):
    saved = make_saved(tmp_path, "run", options=LIMITS)
    found, result = samples_of(saved), saved.reload().ap
    assert list(found.samples) == list(NAMES[:3])
    options = {"resamples": 30, "seed": 1}
    expected = [
        bootstrap_average_precision(result, max_dets=1000, **options)["tiny_50"],
        bootstrap_average_precision(result, max_dets=4, **options)["all_25"],
        bootstrap_average_recall(result, max_dets=1000, **options)["tiny_50"],
    ]
    for name, values in zip(NAMES[:3], expected, strict=True):
        assert (found.samples[name] == values).all()
    assert (found.image_ids == result.record.image_ids).all()
    assert found.gt_sha256 == saved.content["inputs"]["gt"]["sha256"]


def test_a_value_without_ground_truth_has_samples_without_values(tmp_path):
    standard = Standard("mine", {"giant": (500.0, 600.0)}, {"giant": (500.0, 600.0)})
    saved = make_saved(tmp_path, "run", options=ScoringOptions(standard=standard))
    assert find_metric(saved, "AP50_giant").value == -1
    assert np.isnan(samples_of(saved, ["AP50_giant"]).samples["AP50_giant"]).all()


def test_the_miss_rate_and_coco_are_not_computed_again(tmp_path, monkeypatch):
    saved = make_saved(tmp_path, "run", options=replace(LIMITS, standard=COCO))
    monkeypatch.setattr(scores, "evaluate_miss_rate", None)
    monkeypatch.setattr(scores, "coco_metrics", None)
    assert list(samples_of(saved).samples) == list(NAMES[:3])


def test_a_file_that_is_gone_is_named(tmp_path):
    saved = make_saved(tmp_path, "run", options=LIMITS)
    (tmp_path / "run" / "dt.json").unlink()
    with pytest.raises(InputError, match=r"scores.json was computed from .*dt.json, which is not"):
        samples_of(saved)


def test_a_value_that_comes_out_differently_is_named(tmp_path):
    path = make_scores(tmp_path, "run", options=LIMITS)
    content = json.loads(path.read_text())
    content["AP_maxDets1000"]["tiny_50"] += 1e-8
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"scores.json has AP50_tiny = 0\.\d+, but its inputs giv"):
        samples_of(read_saved_scores(path))


def test_resamples_are_needed(tmp_path):
    with pytest.raises(InputError, match="at least one resample; received 0"):
        samples_of(make_saved(tmp_path, "run", options=LIMITS), resamples=0)
