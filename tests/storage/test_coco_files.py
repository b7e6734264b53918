import json
import math

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_raw_coco
from scale_match.storage.coco_files import write_raw_coco

CONTENT = {
    "images": [{"id": 1, "file_name": "é.jpg", "width": 3, "height": 4}],
    "annotations": [{"id": 2, "bbox": [0.1, 5.0, 1e-7, 3]}],
    "categories": [],
}


def test_what_is_written_is_read_back_with_every_digit(tmp_path):
    write_raw_coco(tmp_path / "new" / "a.json", CONTENT)
    assert read_raw_coco(tmp_path / "new" / "a.json") == CONTENT
    assert (tmp_path / "new" / "a.json").read_bytes().endswith(b"}\n")


def test_a_number_that_json_has_not_becomes_null(tmp_path):
    write_raw_coco(tmp_path / "a.json", {**CONTENT, "info": [math.nan, math.inf]})
    assert json.loads((tmp_path / "a.json").read_text())["info"] == [None, None]


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".tmp-0123abcd-a.json").touch()
    write_raw_coco(tmp_path / "a.json", CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_in_the_way_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*: Is a directory"):
        write_raw_coco(tmp_path, CONTENT)
