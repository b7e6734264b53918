import pytest

from report_samples import make_run
from scale_match.core.errors import InputError
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.saved_bootstrap import bootstrap_intervals, read_bootstrap
from scale_match.scoring.uncertainty import bootstrap_block


def saved_with(folder, blocks=None):
    return read_saved_scores(make_run(folder, blocks=blocks)[0])


def test_what_was_written_is_read(tmp_path):
    block = bootstrap_block(saved_with(tmp_path).reload(), 4, 1)
    found = read_bootstrap(saved_with(tmp_path, {"bootstrap": block}))
    assert found == block
    intervals = bootstrap_intervals(found)
    assert intervals.keys() == {"AP", "AR", "AP_maxDets1000", "AR_maxDets1000"}
    entry = block["AP_maxDets1000"]["tiny_50"]
    assert intervals["AP_maxDets1000"]["tiny_50"] == (entry["low"], entry["high"])


def test_a_file_without_a_bootstrap_has_no_intervals(tmp_path):
    assert read_bootstrap(saved_with(tmp_path)) == {}
    assert bootstrap_intervals({}) == {}


def test_nothing_to_measure_has_no_interval():
    assert bootstrap_intervals({"resamples": 3, "AP": {"tiny_50": None}}) == {"AP": {}}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ([], "Expected `object`, got `array`"),
        ({"resamples": 0, "seed": 0, "level": 0.9, "AP": {}, "AR": {}}, ">= 1"),
        ({"resamples": 3, "seed": 0, "level": 0.9, "AP": {"a": 1}, "AR": {}}, r"\$\.AP"),
        ({"resamples": 3, "seed": 0, "level": 0.9, "AP": {}}, "missing required field `AR`"),
    ],
)
def test_a_broken_bootstrap_block_is_an_error(tmp_path, block, message):
    saved = saved_with(tmp_path, {"bootstrap": block})
    with pytest.raises(InputError, match=rf"run\.json: bootstrap is broken: .*{message}"):
        read_bootstrap(saved)
