import pytest

from scale_match.core.errors import InputError
from scale_match.storage.dense import dense_images, without_dense_images


def coco(*counts):
    boxes = [
        {"id": 1000 * image + number, "image_id": image, "ignore": number % 2 == 0}
        for image, count in enumerate(counts)
        for number in range(count)
    ]
    return {"images": [{"id": image} for image in range(len(counts))], "annotations": boxes}


def test_images_with_more_than_200_boxes_go_and_those_with_200_stay():
    content = without_dense_images(coco(200, 201, 0))
    assert [image["id"] for image in content["images"]] == [0, 2]
    assert {box["image_id"] for box in content["annotations"]} == {0}


def test_boxes_of_every_kind_count():
    assert [image["id"] for image in dense_images(coco(5, 4), max_boxes=4)] == [0]


def test_nothing_changes_where_no_image_is_dense():
    assert without_dense_images(coco(3, 0), max_boxes=3) == coco(3, 0)


def test_the_limit_is_checked_and_one_image_must_be_left():
    with pytest.raises(InputError, match=r"max_boxes must be at least 0, got -1"):
        dense_images(coco(1), max_boxes=-1)
    with pytest.raises(InputError, match=r"all 2 images have more than 1 boxes: none is left"):
        without_dense_images(coco(2, 3), max_boxes=1)
