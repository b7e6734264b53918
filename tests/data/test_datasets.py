import json
import logging
import os

import pytest
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.structures import BoxMode

from scale_match.core.errors import InputError
from scale_match.data.datasets import (
    category_ids,
    check_image_files,
    check_trainable,
    is_left_out,
    load_dicts,
    register_coco_file,
    with_boxes,
    xywh_boxes,
)
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset

NAME = "test_datasets_toy"

COCO = {
    "images": [
        {"id": 4, "file_name": "sub/a.jpg", "width": 20, "height": 30, "corner": [5, 6, 25, 36]},
        {"id": 2, "file_name": "b.jpg", "width": 100, "height": 50},
    ],
    "annotations": [
        {"id": 1, "image_id": 2, "category_id": 9, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 4, "category_id": 3, "bbox": [5, 6, 7, 8], "ignore": True},
        {"id": 3, "image_id": 2, "category_id": 3, "bbox": [9, 8, 0, 6], "iscrowd": 1,
         "uncertain": True},
    ],
    "categories": [{"id": 9, "name": "boat"}, {"id": 3, "name": "person"}],
}  # fmt: skip


@pytest.fixture
def coco_path(tmp_path):
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(COCO))
    return path


@pytest.fixture
def register():
    """register_coco_file under the name of this module, undone at the end."""
    yield lambda *paths: register_coco_file(NAME, *paths)
    if NAME in DatasetCatalog.list():
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def box(**flags):
    return {"bbox": [1.0, 2.0, 3.0, 4.0], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, **flags}


def test_dicts_have_detectron2s_form_and_our_flags(coco_path):
    tile, image = load_dicts(read_annotations(coco_path), "/data")
    assert tile == {
        "file_name": "/data/sub/a.jpg", "image_id": 4, "width": 20, "height": 30,
        "corner": (5, 6, 25, 36),
        "annotations": [
            {"id": 2, "bbox": [5.0, 6.0, 7.0, 8.0], "bbox_mode": BoxMode.XYWH_ABS,
             "category_id": 0, "iscrowd": 0, "gt_ignore": True, "uncertain": False},
        ],
    }  # fmt: skip
    assert "corner" not in image
    assert [box["category_id"] for box in image["annotations"]] == [1, 0]
    assert [box["iscrowd"] for box in image["annotations"]] == [0, 1]
    assert [box["uncertain"] for box in image["annotations"]] == [False, True]


def test_boxes_are_floats_although_the_file_has_whole_numbers(coco_path):
    # detectron2 truncates the coordinates of integer boxes when it resizes.
    dicts = load_dicts(read_annotations(coco_path), "")
    values = [value for entry in dicts for box in entry["annotations"] for value in box["bbox"]]
    assert {type(value) for value in values} == {float}


def test_detectron2s_own_mapper_takes_the_dicts(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path)
    dicts = load_dicts(read_annotations(path), image_dir)
    mapped = DatasetMapper(True, augmentations=[], image_format="RGB")(dicts[0])
    assert len(mapped["instances"]) == 5


def test_class_indices_follow_the_ascending_category_ids(coco_path, register):
    assert category_ids(read_annotations(coco_path)) == [3, 9]
    register(coco_path, "/data")
    metadata = MetadataCatalog.get(NAME)
    assert metadata.thing_classes == ["person", "boat"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 9: 1}


def test_metadata_are_complete_before_the_data_set_is_loaded(coco_path, register):
    register(coco_path, "/data")
    metadata = MetadataCatalog.get(NAME)
    assert metadata.json_file == str(coco_path)
    assert metadata.image_root == "/data"
    assert metadata.evaluator_type == "tiny"
    assert [entry["image_id"] for entry in DatasetCatalog.get(NAME)] == [4, 2]


def test_registering_the_same_again_does_nothing(coco_path, register, monkeypatch):
    register(coco_path, "/data")
    before = DatasetCatalog.get(NAME)
    monkeypatch.chdir(coco_path.parent)
    register("gt.json", "/data")
    assert DatasetCatalog.get(NAME) == before


def test_a_changed_file_is_read_anew(coco_path, register):
    register(coco_path, "/data")
    coco_path.write_text(json.dumps({**COCO, "annotations": COCO["annotations"][:1]}))
    os.utime(coco_path, ns=(1, 1))
    register(coco_path, "/data")
    assert [len(entry["annotations"]) for entry in DatasetCatalog.get(NAME)] == [0, 1]


def test_a_name_is_not_given_to_two_data_sets(coco_path, register):
    register(coco_path, "/data")
    with pytest.raises(InputError, match=rf"name '{NAME}' is taken by .*gt.json with images in /d"):
        register(coco_path, "/other")


def test_a_broken_file_is_refused_at_registration(tmp_path, register):
    (tmp_path / "gt.json").write_text("{}")
    with pytest.raises(InputError, match="has no key 'images'"):
        register(tmp_path / "gt.json", tmp_path)
    assert NAME not in DatasetCatalog.list()


def test_a_missing_image_file_is_found_before_training(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path)
    dicts = load_dicts(read_annotations(path), image_dir)
    check_image_files(dicts)
    (image_dir / "0003.jpg").unlink()
    (image_dir / "0004.jpg").unlink()
    message = r"image file .*0003.jpg \(image id 3\) does not exist; 2 of 4 image files are missing"
    with pytest.raises(InputError, match=message):
        check_image_files(dicts)


def test_the_image_of_several_tiles_is_counted_once(tmp_path):
    tiles = [{"file_name": str(tmp_path / "a.jpg"), "image_id": index} for index in range(3)]
    with pytest.raises(InputError, match=r"\(image id 0\) does not exist; 1 of 1 image files"):
        check_image_files(tiles)


@pytest.mark.parametrize("flag", ["iscrowd", "gt_ignore", "uncertain"])
def test_a_flagged_box_is_left_out_of_training(flag):
    assert not is_left_out(box())
    assert is_left_out(box(**{flag: 1}))


def test_boxes_of_zero_size_are_counted_and_said_once(coco_path, caplog):
    with caplog.at_level(logging.INFO):
        check_trainable(load_dicts(read_annotations(coco_path), "/data"))
    (record,) = caplog.records
    message = "1 of 3 boxes have zero width or height and are left out of training (2 images, the "
    assert message in record.getMessage()


@pytest.mark.parametrize(
    "boxes",
    [[], [box(iscrowd=1), box(uncertain=True)], [box(bbox=[1.0, 2.0, 0.0, 4.0])]],
)
def test_a_data_set_without_a_box_to_train_on_is_refused(boxes):
    dicts = [{"file_name": "/a.jpg", "annotations": boxes}, {"file_name": "/b.jpg"}]
    message = rf"no box to train on in 2 images, the first of which is /a.jpg: of {len(boxes)} box"
    with pytest.raises(InputError, match=message):
        check_trainable(dicts)


def test_a_data_set_without_an_image_is_refused():
    with pytest.raises(InputError, match="has no image at all"):
        check_trainable([])


def test_boxes_are_read_in_both_modes():
    boxes = [box(), box(bbox=[1.0, 2.0, 5.0, 7.0], bbox_mode=BoxMode.XYXY_ABS)]
    assert xywh_boxes(boxes).tolist() == [[1, 2, 3, 4], [1, 2, 4, 5]]
    assert xywh_boxes([]).shape == (0, 4)


def test_other_box_modes_are_refused():
    with pytest.raises(InputError, match="must be XYWH_ABS or XYXY_ABS"):
        xywh_boxes([box(bbox_mode=BoxMode.XYWH_REL)])


def test_images_without_a_box_to_train_on_are_left_out_unless_all_are() -> None:
    box = {"bbox": [1.0, 1.0, 5.0, 5.0]}
    trained = {"image_id": 1, "annotations": [box, {**box, "uncertain": True}]}
    flagged = {"image_id": 2, "annotations": [{**box, "iscrowd": 1}, {**box, "gt_ignore": True}]}
    empty = {"image_id": 3, "annotations": []}
    assert with_boxes([trained, flagged, empty]) == [trained]
    assert with_boxes([flagged, empty]) == [flagged, empty]
