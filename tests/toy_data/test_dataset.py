import json

import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from scale_match.toy.dataset import ToySettings, toy_sets, write_toy_data

SMALL = ToySettings(seed=1, source_images=3, target_train=2, target_test=1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return folder, write_toy_data(folder, SMALL)


def _content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_that_of_the_real_data(written):
    folder, _ = written
    assert [str(path) for path in _content(folder)] == [
        "source/annotations/train.json",
        "source/images/0001.jpg",
        "source/images/0002.jpg",
        "source/images/0003.jpg",
        "target/annotations/test.json",
        "target/annotations/train.json",
        "target/test/0001.jpg",
        "target/train/0001.jpg",
        "target/train/0002.jpg",
    ]


def test_equal_seeds_give_equal_files(written, tmp_path):
    folder, _ = written
    write_toy_data(tmp_path, SMALL)
    assert _content(tmp_path) == _content(folder)


def test_another_seed_gives_other_images(written, tmp_path):
    folder, _ = written
    write_toy_data(tmp_path, ToySettings(seed=2, source_images=1, target_train=1, target_test=1))
    name = "target/train/0001.jpg"
    assert (tmp_path / name).read_bytes() != (folder / name).read_bytes()


def test_more_images_leave_the_first_ones_as_they_are(written, tmp_path):
    folder, _ = written
    write_toy_data(tmp_path, ToySettings(seed=1, source_images=4, target_train=1, target_test=1))
    for name in ("source/images/0003.jpg", "target/train/0001.jpg"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_train_and_test_images_differ(written):
    folder, _ = written
    train, test = folder / "target/train/0001.jpg", folder / "target/test/0001.jpg"
    assert train.read_bytes() != test.read_bytes()


def test_the_project_reads_the_files(written):
    _, sets = written
    for toy_set in sets.values():
        annotations = read_annotations(toy_set.annotations)
        assert len(annotations.images) == toy_set.count
        assert [category.name for category in annotations.categories] == ["person"]
        for record in annotations.images:
            with Image.open(toy_set.images / record.file_name) as image:
                assert image.size == (record.width, record.height)
                assert image.format == "JPEG"


def test_annotations_have_float_boxes_and_all_flags(written):
    _, sets = written
    content = json.loads(sets["target_train"].annotations.read_text())
    assert {key for entry in content["annotations"] for key in entry} == {
        "id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "uncertain",
    }  # fmt: skip
    boxes = np.array([entry["bbox"] for entry in content["annotations"]])
    assert (boxes % 1.0 != 0.0).mean() > 0.9
    assert len({entry["id"] for entry in content["annotations"]}) == len(boxes)


def test_where_the_sets_are_is_known_without_writing(written):
    folder, sets = written
    planned = toy_sets(folder, SMALL)
    assert {name: s.annotations for name, s in planned.items()} == {
        name: s.annotations for name, s in sets.items()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must not be negative, but is -1"),
        ({"source_images": 0}, "source_images must be at least 1, but is 0"),
        ({"target_train": -2}, "target_train must be at least 1, but is -2"),
        ({"target_test": 21}, "target_test must be at most 20, but is 21"),
    ],
)
def test_a_setting_out_of_range_is_an_error(arguments, message):
    with pytest.raises(InputError, match=message):
        ToySettings(**arguments)
