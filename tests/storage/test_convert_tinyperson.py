import copy

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.convert_tinyperson import convert_tinyperson

OWN = {"logo": False, "in_dense_image": False, "size": 3.0}
RAW = {
    "type": "instance",
    "images": [{"id": 0, "file_name": "a.jpg"}],
    "annotations": [
        {"id": 0, "bbox": [1, 2, 3, 4], "area": 11.5, "ignore": False, "uncertain": False, **OWN},
        {"id": 1, "bbox": [1, 2, 3, 4], "ignore": True, "uncertain": False, **OWN},
        {"id": 2, "bbox": [1, 2, 3, 4], "ignore": False, "uncertain": True, "iscrowd": 0, **OWN},
        {"id": 3, "bbox": [1, 2, 3, 4], "iscrowd": 1, "segmentation": [[1, 2, 3, 4, 5, 6]]},
    ],
    "categories": [{"id": 1, "name": "sea_person"}],
}


def test_regions_become_crowd_boxes_and_own_fields_go():
    before = copy.deepcopy(RAW)
    content = convert_tinyperson(RAW)
    assert [box["iscrowd"] for box in content["annotations"]] == [0, 1, 1, 1]
    assert [box["area"] for box in content["annotations"]] == [11.5, 12, 12, 12]
    assert set(content["annotations"][0]) == {"id", "bbox", "area", "iscrowd"}
    assert content["annotations"][3]["segmentation"] == [[1, 2, 3, 4, 5, 6]]
    assert set(content) == {"images", "annotations", "categories"}
    assert before == RAW


def test_tiles_are_refused():
    tiles = {**RAW, "images": [{"id": 0, "corner": [0, 0, 1, 1]}]}
    with pytest.raises(InputError, match=r"write the tiles as image files first"):
        convert_tinyperson(tiles)
