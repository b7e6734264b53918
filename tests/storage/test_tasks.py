import copy

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.tasks import task_annotations

SEA = {"id": 1, "name": "sea_person", "supercategory": "person"}
EARTH = {"id": 2, "name": "earth_person", "supercategory": "person"}
RAW = {
    "type": "instance",
    "images": [{"id": 0}],
    "annotations": [
        {"id": 0, "category_id": 1, "ignore": False},
        {"id": 1, "category_id": 2, "ignore": False, "uncertain": True},
        {"id": 2, "category_id": 2},
        {"id": 3, "category_id": 1, "ignore": True},
    ],
    "categories": [SEA, EARTH],
}


def rows(task, **options):
    content = task_annotations(RAW, task, **options)
    return [(box["category_id"], bool(box.get("ignore"))) for box in content["annotations"]]


def test_a_task_keeps_one_category_and_ignores_the_other():
    assert task_annotations(RAW, "sea")["categories"] == [SEA]
    assert rows("sea") == [(1, False), (1, True), (1, True), (1, True)]
    assert task_annotations(RAW, "earth")["categories"] == [EARTH]
    assert rows("earth") == [(2, True), (2, False), (2, False), (2, True)]


def test_all_makes_one_category_as_in_the_authors_files():
    categories = [{"id": 1, "name": "person", "supercategory": "none"}]
    assert task_annotations(RAW, "all")["categories"] == categories
    assert rows("all") == [(1, False), (1, False), (1, False), (1, True)]
    assert task_annotations(RAW, "all", name="cell")["categories"][0]["name"] == "cell"


def test_sea_and_earth_together_are_the_boxes_of_all():
    ordinary = [sum(not ignored for _, ignored in rows(task)) for task in ("sea", "earth", "all")]
    assert ordinary[0] + ordinary[1] == ordinary[2]


def test_a_category_may_be_called_by_its_own_name():
    assert task_annotations(RAW, "sea_person") == task_annotations(RAW, "sea")


def test_everything_else_stays_and_the_input_is_not_changed():
    before = copy.deepcopy(RAW)
    content = task_annotations(RAW, "sea")
    assert content["annotations"][1]["uncertain"] is True
    assert content["images"] == RAW["images"]
    assert content["type"] == "instance"
    assert before == RAW


def test_an_unknown_category_is_refused_with_those_there_are():
    with pytest.raises(
        InputError, match=r"^no single category is called boat; there are: sea_p.*n"
    ):
        task_annotations(RAW, "boat")
    cells = {**RAW, "categories": [{"id": 1, "name": "cell"}]}
    with pytest.raises(InputError, match=r"sea_person \(for the task sea\); there are: cell$"):
        task_annotations(cells, "sea")
    with pytest.raises(InputError, match=r"called cell; it occurs more than once"):
        task_annotations({**RAW, "categories": cells["categories"] * 2}, "cell")
    with pytest.raises(InputError, match=r"there are: none"):
        task_annotations({**RAW, "categories": []}, "sea")
