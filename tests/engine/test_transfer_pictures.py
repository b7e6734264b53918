import json

import numpy as np
import pytest

from engine.tiny import RUNNERS, make_data
from scale_match.engine.transfer_pictures import _source_sizes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def sizes(data, tmp_path, **changes):
    return _source_sizes(RUNNERS["yacs"].config(data, tmp_path, **changes))


def test_sizes_before_and_after_are_those_of_the_objects(data, tmp_path):
    before, after = sizes(data, tmp_path)
    assert np.sort(after) == pytest.approx(np.sort(before), abs=1e-4)


def test_regions_without_background_loss_are_no_objects(data, tmp_path):
    content = json.loads(data[0].read_text())
    for box in content["annotations"][::2]:
        box["ignore"] = True
    flagged = tmp_path / "flagged.json"
    flagged.write_text(json.dumps(content))
    regions = {"SCALE_MATCH.IGNORE_REGIONS": "mask"}
    before, after = sizes((flagged, data[1]), tmp_path, **regions)
    assert len(after) == len(before) == len(content["annotations"]) // 2


def test_mosaics_have_the_sizes_of_their_parts(data, tmp_path):
    small = make_data(tmp_path / "small", width=48, height=32)
    mosaic = {"SCALE_MATCH.AUGMENT.MOSAIC": [64, 80], "target": small[0]}
    before, after = sizes(data, tmp_path, **mosaic)
    assert np.median(after) < 0.8 * np.median(before)
