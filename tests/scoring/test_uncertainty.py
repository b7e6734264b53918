import json

import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from scale_match.core.bootstrap import bootstrap_average_precision, bootstrap_average_recall
from scale_match.core.errors import InputError
from scale_match.scoring.inputs import table_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.scoring.uncertainty import bootstrap_block

LIMITS = ("", "_maxDets200", "_maxDets1000")


@pytest.fixture(scope="module")
def scores():
    ground_truth, results = crowded(0, images=12, truths=120, detections=500)
    inputs = table_inputs(as_annotations(ground_truth), as_detections(results))
    return score(inputs, ScoringOptions(max_dets=(10, 200, 1000)))


def test_every_ap_and_ar_has_an_interval_under_its_own_name(scores):
    content, block = scores.to_dict(), bootstrap_block(scores, 50, 3)
    names = [name for name in content if name.startswith(("AP", "AR")) and "counts" not in name]
    assert names == [f"{kind}{limit}" for limit in LIMITS for kind in ("AP", "AR")]
    for name in names:
        assert list(block[name]) == list(content[name])
        for key, entry in block[name].items():
            assert (entry is None) == (content[name][key] == -1)
            if entry:
                assert 0 <= entry["low"] <= entry["high"] <= 1
                assert 0 < entry["resamples_used"] <= 50
    assert {name: value for name, value in block.items() if name not in names} == {
        "resamples": 50,
        "seed": 3,
        "level": 0.95,
        "unit": "images",
        "method": "percentile",
    }


def test_the_interval_is_that_of_the_samples(scores):
    block = bootstrap_block(scores, 200, 1)
    kinds = {"AP": bootstrap_average_precision, "AR": bootstrap_average_recall}
    for suffix, limit in zip(LIMITS, scores.ap.max_dets, strict=True):
        for kind, function in kinds.items():
            samples = function(scores.ap, resamples=200, seed=1, keys=["all_25"], max_dets=limit)
            values = samples["all_25"]
            assert block[kind + suffix]["all_25"] == {
                "low": pytest.approx(np.percentile(values, 2.5)),
                "high": pytest.approx(np.percentile(values, 97.5)),
                "standard_error": pytest.approx(values.std(ddof=1)),
                "resamples_used": 200,
            }
    assert block["AP"]["all_25"] != block["AP_maxDets200"]["all_25"]


def test_the_block_is_json_and_a_function_of_the_seed(scores):
    block = bootstrap_block(scores, 20, 0)
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    assert bootstrap_block(scores, 20, 0) == block
    assert bootstrap_block(scores, 20, 1) != block


def test_resamples_without_ground_truth_are_not_among_those_used():
    # Two images, ground truth in one of them: a quarter of the resamples lacks it.
    ground_truth = {
        "images": [{"id": i, "file_name": "a", "width": 99, "height": 99} for i in (1, 2)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [9, 9, 9, 9]}],
        "categories": [{"id": 1, "name": "person"}],
    }
    ground_truth["annotations"][0]["area"] = 81
    inputs = table_inputs(as_annotations(ground_truth), as_detections([]))
    entry = bootstrap_block(score(inputs), 400, 0)["AP"]["tiny_50"]
    assert entry["resamples_used"] == pytest.approx(300, abs=30)
    assert (entry["low"], entry["high"]) == (0, 0)


def test_progress_sees_every_key_of_every_limit(scores):
    seen = []
    bootstrap_block(scores, 2, 0, progress=lambda keys: seen.extend(keys) or keys)
    assert seen == 3 * list(scores.ap.average_precision())


@pytest.mark.parametrize(
    ("resamples", "seed", "message"),
    [(0, 0, "at least one resample; received 0"), (5, -1, "not be negative; received -1")],
)
def test_what_cannot_be_drawn_is_refused(scores, resamples, seed, message):
    with pytest.raises(InputError, match=message):
        bootstrap_block(scores, resamples, seed)
