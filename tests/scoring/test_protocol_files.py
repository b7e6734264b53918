import gzip
import json

import pytest

from scale_match.core.errors import InputError
from scale_match.scoring.protocol_files import read_protocol, write_protocol
from scoring_files import write

ENTRIES = {"tile_size": [640, 512], "merge": "joint", "score_threshold": 0.05, "test_scale": None}


def test_what_is_written_is_read_without_nulls(tmp_path):
    path = tmp_path / "new" / "protocol.json"
    write_protocol(path, ENTRIES | {"max_per_image": 1000.0})
    known = {name: value for name, value in ENTRIES.items() if value is not None}
    assert read_protocol(path) == known | {"max_per_image": 1000}
    assert json.loads(path.read_text())["test_scale"] is None


def test_a_packed_file_and_a_scores_file_are_taken(tmp_path):
    path = write(tmp_path / "scores.json", {"AP": {}, "protocol": {"hash": "", "entries": ENTRIES}})
    assert read_protocol(path)["merge"] == "joint"
    packed = tmp_path / "protocol.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(ENTRIES).encode()))
    assert read_protocol(packed) == read_protocol(path)


def test_further_entries_are_kept_and_an_empty_file_says_nothing(tmp_path):
    path = write(tmp_path / "protocol.json", {"flipped": True, "note": {"by": ["us"]}})
    assert read_protocol(path) == {"flipped": True, "note": {"by": ["us"]}}
    assert read_protocol(write(tmp_path / "protocol.json", {})) == {}


def test_none_is_a_value_of_every_entry(tmp_path):
    entries = dict.fromkeys(("tile_size", "merge", "max_per_tile", "nms_threshold"), "none")
    assert read_protocol(write(tmp_path / "protocol.json", entries)) == entries


@pytest.mark.parametrize("value", [[1, 2], "text", 3, None])
def test_a_file_without_entries_is_refused(tmp_path, value):
    path = write(tmp_path / "protocol.json", value)
    with pytest.raises(InputError, match=r"protocol.json is not a protocol file: a JSON object"):
        read_protocol(path)
    with pytest.raises(InputError, match="is not a protocol file"):
        read_protocol(write(path, {"entries": value}))


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"tile_size": "640x512"}, r'two whole numbers of pixels or "none", received \'640x512\''),
        ({"tile_size": [640]}, r"two whole numbers .* received \[640\]"),
        ({"tile_overlap": [50, -1]}, r"two whole numbers .* received \[50, -1\]"),
        ({"tile_overlap": [50.5, 50]}, r"two whole numbers .* received \[50.5, 50\]"),
        ({"max_per_image": 0}, r'a positive whole number or "none", received 0'),
        ({"candidates_per_level": "1000"}, r"a positive whole number .* received '1000'"),
        ({"max_per_tile": True}, r"a positive whole number .* received True"),
        ({"nms_threshold": 1.5}, r'a number in \[0, 1\] or "none", received 1.5'),
        ({"merge_threshold": "0.5"}, r"a number in \[0, 1\] .* received '0.5'"),
        ({"score_threshold": [0.05]}, r'a number or "none", received \[0.05\]'),
        ({"merge": 3}, "a text, received 3"),
    ],
)
def test_a_value_that_an_entry_cannot_have_is_refused(tmp_path, entry, rule):
    path = write(tmp_path / "protocol.json", entry)
    with pytest.raises(InputError, match=rf"protocol.json: {next(iter(entry))} must be {rule}"):
        read_protocol(path)


def test_nan_is_refused_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "protocol.json"
    path.write_text('{"score_threshold": NaN}')
    with pytest.raises(
        InputError, match=r"protocol.json: protocol entry score_threshold must be a"
    ):
        read_protocol(path)


def test_a_value_that_is_no_json_is_not_written(tmp_path):
    with pytest.raises(InputError, match="protocol entry merge must be a JSON value"):
        write_protocol(tmp_path / "protocol.json", {"merge": object()})
    assert not any(tmp_path.iterdir())
