import pytest

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import (
    boxes_of_images,
    check_distinct_files,
    ids_of_files,
    refuse_tiles,
    without_images,
)

RAW = {
    "info": "kept",
    "images": [{"id": 3, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}],
    "annotations": [{"id": 1, "image_id": 1}, {"id": 2, "image_id": 1}],
}


def test_boxes_are_found_by_image_also_where_there_is_none():
    assert boxes_of_images(RAW) == {3: [], 1: RAW["annotations"]}


def test_images_go_with_their_boxes():
    left = without_images(RAW, {1})
    assert left == {"info": "kept", "images": RAW["images"][:1], "annotations": []}
    assert len(RAW["images"]) == 2
    assert without_images(RAW, set()) is RAW
    assert ids_of_files(RAW, {"b.jpg", "z.jpg"}) == {1}


def test_tiles_are_refused_where_whole_images_are_needed():
    refuse_tiles(RAW, "no")
    tile = {"id": 1, "file_name": "a.jpg", "corner": [0, 0, 1, 1]}
    with pytest.raises(InputError, match=r"tiles already \(they have 'corner' entries\): do this"):
        refuse_tiles({"images": [tile]}, "do this")


def test_two_images_of_one_file_are_refused():
    check_distinct_files(RAW)
    doubled = {"images": [*RAW["images"], {"id": 9, "file_name": "a.jpg"}]}
    with pytest.raises(InputError, match=r"image ids 3 and 9 have one file_name 'a.jpg'"):
        check_distinct_files(doubled)
