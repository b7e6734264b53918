"""What Lazy configs call to get data."""

import json

import pytest
from detectron2.data import MetadataCatalog

from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.lazy import build_lazy_test_loader, build_lazy_train_loader, register_files
from toy import make_toy_dataset


def mapper(is_train):
    return ScaleMatchDatasetMapper(is_train, augmentations=[], image_format="RGB")


def train_loader(annotations, images, **arguments):
    return build_lazy_train_loader(
        annotations=str(annotations),
        images=str(images),
        mapper=mapper(True),
        **{"total_batch_size": 2, "seed": 0, **arguments},
    )


def without_boxes(path, image_id):
    content = json.loads(path.read_text())
    content["annotations"] = [b for b in content["annotations"] if b["image_id"] != image_id]
    path.write_text(json.dumps(content))


def test_a_training_loader_gives_batches_without_end(tmp_path):
    loader = train_loader(*make_toy_dataset(tmp_path, num_images=4))

    batches = iter(loader)
    first_epoch = [each["image_id"] for _ in range(2) for each in next(batches)]

    assert loader.iterations_per_epoch == 2
    assert sorted(first_epoch) == [1, 2, 3, 4]
    assert "instances" in next(batches)[0]


def test_it_goes_on_at_the_iteration_that_is_asked_for(tmp_path):
    files = make_toy_dataset(tmp_path, num_images=4)
    batches = iter(train_loader(*files))
    expected = [[each["image_id"] for each in next(batches)] for _ in range(5)][3:]

    batches = iter(train_loader(*files, start_iteration=3))

    assert [[each["image_id"] for each in next(batches)] for _ in range(2)] == expected


def test_images_without_boxes_are_left_out_of_training_if_asked_for(tmp_path):
    annotations, images = make_toy_dataset(tmp_path, num_images=4)
    without_boxes(annotations, image_id=2)

    ids = [each["image_id"] for each in next(iter(train_loader(annotations, images)))]
    assert train_loader(annotations, images, total_batch_size=1).iterations_per_epoch == 3
    assert 2 not in ids
    everything = train_loader(annotations, images, total_batch_size=1, filter_empty=False)
    assert everything.iterations_per_epoch == 4


def test_a_data_set_without_any_box_is_refused(tmp_path):
    annotations, images = make_toy_dataset(tmp_path, num_images=2, boxes_per_image=0)

    with pytest.raises(InputError, match="there is no box to train on"):
        train_loader(annotations, images)


def test_a_test_loader_gives_every_image_once_in_order(tmp_path):
    annotations, images = make_toy_dataset(tmp_path, num_images=3, boxes_per_image=0)

    loader = build_lazy_test_loader(
        annotations=str(annotations), images=str(images), mapper=mapper(False)
    )

    assert [each["image_id"] for batch in loader for each in batch] == [1, 2, 3]


def test_files_are_registered_once_under_one_name(tmp_path):
    annotations, images = make_toy_dataset(tmp_path, categories=2)

    name = register_files(str(annotations), str(images))

    assert name.startswith("annotations_")
    assert register_files(str(annotations), str(images)) == name
    assert MetadataCatalog.get(name).thing_classes == ["class1", "class2"]


def test_files_below_the_data_root_are_found(tmp_path, monkeypatch):
    make_toy_dataset(tmp_path / "root" / "toy")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "root"))

    name = register_files("toy/annotations.json", "toy/images")

    assert MetadataCatalog.get(name).image_root == str(tmp_path / "root" / "toy" / "images")


@pytest.mark.parametrize(("annotations", "images"), [("", "x"), ("x", ""), ("", "")])
def test_a_data_set_needs_both_names(annotations, images):
    with pytest.raises(InputError, match="needs an annotation file and an image folder, received"):
        register_files(annotations, images)


def test_a_missing_image_is_named(tmp_path):
    annotations, images = make_toy_dataset(tmp_path)
    (images / "0002.jpg").unlink()

    with pytest.raises(InputError, match=r"0002\.jpg \(image id 2\) does not exist"):
        train_loader(annotations, images)
