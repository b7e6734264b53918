from pathlib import Path

import pytest

from scale_match.core.errors import InputError
from scale_match.scoring.files import SavedScores
from scale_match.scoring.saved_metrics import default_metric_name, find_metric, lower_is_better


def saved(name="run.json", **content):
    whole = {
        "AP": {"tiny_50": 0.5, "all_25": -1.0},
        "AR": {"tiny_50": 0.6},
        "AP_maxDets1000": {"tiny_50": 0.55, "all_25": -1.0, "small_25": 0.3},
        "AR_maxDets1000": {"tiny_50": 0.65},
        "MR": {"tiny_50": 0.9},
        "COCO": {"AP50": 0.4},
        "options": {"max_dets": [200, 1000]},
    }
    return SavedScores(Path(name), whole | content)


@pytest.mark.parametrize(
    ("name", "value", "block", "key", "max_dets"),
    [
        ("AP50_tiny", 0.55, "AP_maxDets1000", "tiny_50", 1000),
        ("AP25_all", -1.0, "AP_maxDets1000", "all_25", 1000),
        ("AP50_tiny_maxDets200", 0.5, "AP", "tiny_50", 200),
        ("AP50_tiny_maxDets1000", 0.55, "AP_maxDets1000", "tiny_50", 1000),
        ("AR50_tiny", 0.65, "AR_maxDets1000", "tiny_50", 1000),
        ("AR50_tiny_maxDets200", 0.6, "AR", "tiny_50", 200),
        ("MR50_tiny", 0.9, "MR", "tiny_50", None),
        ("COCO_AP50", 0.4, "COCO", "AP50", None),
    ],
)
def test_a_name_leads_to_its_value(name, value, block, key, max_dets):
    found = find_metric(saved(), name)
    assert (found.name, found.value, found.block, found.key) == (name, value, block, key)
    assert found.max_dets == max_dets
    assert found.kind == block.partition("_")[0]
    assert found.is_resampled == (max_dets is not None)


@pytest.mark.parametrize(
    ("limits", "value", "block", "max_dets"),
    [
        ([1000, 200], 0.5, "AP", 1000),
        ([200, 3000, 1000], 0.7, "AP_maxDets3000", 3000),
        ([200], 0.5, "AP", 200),
    ],
)
def test_a_name_without_a_limit_is_at_the_largest_wherever_that_stands(
    limits, value, block, max_dets
):
    content = {"options": {"max_dets": limits}, "AP_maxDets3000": {"tiny_50": 0.7}}
    found = find_metric(saved(**content), "AP50_tiny")
    assert (found.value, found.block, found.max_dets) == (value, block, max_dets)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "AP75_tiny",
            "run.json has no AP75_tiny: its AP_maxDets1000 holds tiny_50, all_25, small_25",
        ),
        ("AP50_tiny_maxDets7", "has no AP50_tiny_maxDets7: it was evaluated at maxDets 200, 1000"),
        ("AP25_small_maxDets200", "no AP25_small_maxDets200: its AP holds tiny_50, all_25$"),
        ("MR50_small", "has no MR50_small: its MR holds tiny_50"),
        ("COCO_AP99", "has no COCO_AP99: its COCO holds AP50"),
        ("tiny_50", "--metric needs names such as AP50_tiny, .*; received tiny_50"),
        ("", "--metric needs names such as AP50_tiny, .*; received $"),
    ],
)
def test_what_the_file_does_not_have_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        find_metric(saved(), name)


def test_a_block_that_is_gone_is_named():
    with pytest.raises(InputError, match="no AR50_tiny: there is no block AR_maxDets1000 in it"):
        find_metric(saved(AR_maxDets1000=None), "AR50_tiny")


@pytest.mark.parametrize("limits", [None, [], ["200"], 200])
def test_broken_limits_are_named(limits):
    with pytest.raises(InputError, match=r"options.max_dets must be a list of whole numbers, rec"):
        find_metric(saved(options={"max_dets": limits}), "AP50_tiny")


def test_a_value_that_is_no_number_is_not_found():
    broken = saved(AP_maxDets1000={"tiny_50": "0.55"})
    with pytest.raises(InputError, match="has no AP50_tiny: its AP_maxDets1000 holds tiny_50"):
        find_metric(broken, "AP50_tiny")


def test_ap50_tiny_is_the_default_where_all_have_it():
    assert default_metric_name([saved(), saved()]) == "AP50_tiny"


def test_otherwise_the_default_is_the_first_that_all_have():
    other = saved(AP={"small_25": 0.1, "all_25": 0.2})
    assert default_metric_name([saved(), other]) == "AP25_all"


def test_files_without_a_common_ap_have_no_default():
    other = saved("other.json", AP={"mine_33": 0.1})
    with pytest.raises(InputError, match=r"no AP in common, .*: run\.json, other\.json"):
        default_metric_name([saved(), other])


def test_only_the_miss_rate_is_better_when_it_is_lower():
    names = ("AP50_tiny", "AR50_tiny", "MR50_tiny", "COCO_AP50")
    assert [lower_is_better(name) for name in names] == [False, False, True, False]
