import copy

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.joining import join_annotations


def part(image_ids, box_ids, names=("a", "b"), first=1, folder="", **more):
    return {
        **more,
        "images": [{"id": i, "file_name": f"{folder}{i}.jpg"} for i in image_ids],
        "annotations": [
            {"id": b, "image_id": image_ids[k % len(image_ids)], "category_id": first + k % 2}
            for k, b in enumerate(box_ids)
        ],
        "categories": [{"id": first + k, "name": name} for k, name in enumerate(names)],
    }


def ids(content, key):
    return [entry["id"] for entry in content[key]]


def test_ids_that_are_unique_stay_as_in_coco():
    first = part([1, 5], [10, 11], info="first")
    second = part([2], [12], info="second")
    joined, changed = join_annotations({"x": first, "y": second})
    assert joined["images"] == first["images"] + second["images"]
    assert joined["annotations"] == first["annotations"] + second["annotations"]
    assert joined["categories"] == first["categories"]
    assert joined["info"] == "first"
    assert changed == {"images": 0, "annotations": 0, "categories": 0}


def test_ids_that_clash_get_numbers_above_all_and_boxes_follow_their_image():
    first = part([1, 2], [1, 2])
    second = part([2, 9], [2, 7], folder="n")
    joined, changed = join_annotations({"x": first, "y": second})
    assert ids(joined, "images") == [1, 2, 10, 9]
    assert ids(joined, "annotations") == [1, 2, 8, 7]
    assert [box["image_id"] for box in joined["annotations"]] == [1, 2, 10, 9]
    assert changed == {"images": 1, "annotations": 1, "categories": 0}


def test_categories_are_the_same_where_their_names_are():
    second = part([2], [12, 13], names=("b", "c"), first=1)
    joined, changed = join_annotations({"x": part([1], [10, 11]), "y": second})
    assert [(entry["id"], entry["name"]) for entry in joined["categories"]] == [
        (1, "a"), (2, "b"), (3, "c"),
    ]  # fmt: skip
    assert [box["category_id"] for box in joined["annotations"]] == [1, 2, 2, 3]
    assert changed["categories"] == 1


def test_three_files_join_as_two_and_one():
    parts = [part([1, 2], [1, 2]), part([2], [2], folder="n"), part([2], [5], folder="m")]
    at_once, _ = join_annotations(dict(zip("xyz", parts, strict=True)))
    two, _ = join_annotations({"x": parts[0], "y": parts[1]})
    by_steps, _ = join_annotations({"xy": two, "z": parts[2]})
    assert len(set(ids(at_once, "images"))) == 4
    names = [entry["file_name"] for entry in at_once["images"]]
    assert names == [entry["file_name"] for entry in by_steps["images"]]


def test_prefixes_tell_equal_names_apart():
    same = {"x": part([1], [1]), "y": part([1], [2])}
    with pytest.raises(InputError, match=r"^y: image id 1 has the file_name '1.jpg', as one in x"):
        join_annotations(same)
    joined, _ = join_annotations(same, prefixes=["train", "val"])
    assert [image["file_name"] for image in joined["images"]] == ["train/1.jpg", "val/1.jpg"]
    with pytest.raises(InputError, match=r"1 prefixes for 2 files: one a file is needed"):
        join_annotations(same, prefixes=["train"])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (part([1], [2], folder="n"), r"^y: image id 1 occurs in an earlier file, too$"),
        (part([2], [1]), r"^y: annotation id 1 occurs in an earlier file, too$"),
        (part([2], [2], names=("c", "b")), r"^y: category id 1 occurs in an earlier file, too$"),
    ],
)
def test_strict_refuses_ids_that_clash(second, message):
    with pytest.raises(InputError, match=message):
        join_annotations({"x": part([1], [1]), "y": second}, strict=True)


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match=r"at least two files are needed to merge, got 1"):
        join_annotations({"x": part([1], [1])})
    with pytest.raises(InputError, match=r"^y: two categories are called 'a'$"):
        join_annotations({"x": part([1], [1]), "y": part([2], [2], names=("a", "a"))})
    tiles = {**part([2], [2])}
    tiles["images"] = [{**tiles["images"][0], "corner": [0, 0, 9, 9]}]
    with pytest.raises(InputError, match=r"^y: .*merge the files of whole images"):
        join_annotations({"x": part([1], [1]), "y": tiles})


def test_the_input_is_not_changed():
    parts = {"x": part([1], [1]), "y": part([1], [1], folder="n")}
    before = copy.deepcopy(parts)
    join_annotations(parts)
    assert parts == before
