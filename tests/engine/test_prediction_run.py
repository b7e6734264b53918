import json
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from torch import nn

from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.engine.prediction_run import (
    _picture_names,
    named_images,
    predict_images,
)
from scale_match.engine.predictor import Predictor


class OneBox(nn.Module):
    """Finds the left half of every image with score 0.9, and the right half with score 0.1."""

    def forward(self, batch):
        assert not self.training
        outputs = []
        for one in batch:
            height, width = one["image"].shape[-2:]
            found = Instances((height, width))
            half = width / 2
            found.pred_boxes = Boxes(
                torch.tensor([[0.0, 0, half, height], [half, 0, width, height]])
            )
            found.scores = torch.tensor([0.9, 0.1])
            found.pred_classes = torch.tensor([1, 0])
            outputs.append({"instances": found})
        return outputs


@pytest.fixture
def predictor():
    mapper = ScaleMatchDatasetMapper(is_train=False, augmentations=[], image_format="RGB")
    return Predictor(OneBox(), mapper)


@pytest.fixture
def images(tmp_path):
    """Three images in two folders, two of them of one name, and a text file."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for name, size in (("a.png", (20, 10)), ("b.jpg", (8, 6)), ("deep/a.png", (30, 10))):
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def find_images(inputs):
    return list(named_images(inputs))


def read(path):
    return json.loads(path.read_text())


def test_files_folders_and_patterns_name_images_each_once(images):
    a, b, deep = images / "a.png", images / "b.jpg", images / "deep" / "a.png"
    assert find_images([str(images)]) == [a, b, deep]
    assert find_images([str(b), str(images)]) == [b, a, deep]
    assert find_images([str(images / "*.png")]) == [a]
    assert find_images([str(images / "**" / "*.png")]) == [a, deep]
    # A file that is named is taken whatever it is called.
    assert find_images([str(images / "notes.txt")]) == [images / "notes.txt"]


def test_a_name_is_relative_to_the_folder_that_was_named(images, monkeypatch):
    names = ["a.png", "b.jpg", "deep/a.png"]
    assert list(named_images([str(images)]).values()) == names
    # The first input that names an image decides.
    both = named_images([str(images / "deep"), str(images)])
    assert list(both.values()) == ["a.png", "a.png", "b.jpg"]
    monkeypatch.chdir(images)
    assert list(named_images(["b.jpg", "deep/*.png"]).values()) == ["b.jpg", "deep/a.png"]


@pytest.mark.parametrize("name", ["none.png", "*.tiff", "empty"])
def test_a_name_without_an_image_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="names no image"):
        find_images([str(tmp_path / name)])


def test_detections_images_and_pictures_are_written(predictor, images, tmp_path):
    paths = find_images([str(images)])
    summary = predict_images(predictor, paths, tmp_path / "out")
    assert (summary.num_images, summary.num_detections, summary.unreadable) == (3, 6, ())
    first, second, *_ = read(tmp_path / "out" / "detections.json")
    assert first == {
        "image_id": 1,
        "category_id": 2,
        "bbox": [0.0, 0.0, 10.0, 10.0],
        "score": pytest.approx(0.9),
    }
    assert second["bbox"] == [10.0, 0.0, 10.0, 10.0]
    assert read(tmp_path / "out" / "images.json")[1] == {
        "id": 2,
        "file_name": str(images / "b.jpg"),
        "width": 8,
        "height": 6,
    }
    drawn = {path.name for path in (tmp_path / "out" / "drawn").iterdir()}
    # Images of one name are told apart by their ids.
    assert drawn == {"a_1.png", "b.png", "a_3.png"}


def test_every_picture_has_a_name_of_its_own():
    names = ["x/a.jpg", "y/a.jpg", "z/a_1.jpg", "z/b.jpg", "z/b.png", "a_2.jpg", "a_2_2.jpg"]
    pictures = _picture_names({k: Path(name) for k, name in enumerate(names, start=1)})
    assert pictures == {
        1: "a_1_1.png",
        2: "a_2_2_2.png",
        3: "a_1.png",
        4: "b_4.png",
        5: "b_5.png",
        6: "a_2.png",
        7: "a_2_2.png",
    }


def test_many_pictures_get_their_names_at_once():
    start = perf_counter()
    names = _picture_names({k: Path(f"{k % 7}/{k}.jpg") for k in range(100_000)})
    assert perf_counter() - start < 10  # it was 100 s
    assert len(set(names.values())) == 100_000


def test_ids_of_an_annotation_file_are_written(predictor, images, tmp_path):
    paths = find_images([str(images)])
    ids = {"image_ids": (7, 70, 5), "category_ids": (4, 9)}
    predict_images(predictor, paths, tmp_path / "out", **ids)
    detections = read(tmp_path / "out" / "detections.json")
    assert [one["image_id"] for one in detections] == [7, 7, 70, 70, 5, 5]
    assert [one["category_id"] for one in detections] == [9, 4] * 3
    entries = read(tmp_path / "out" / "images.json")
    assert [(one["id"], one["file_name"]) for one in entries] == [
        (image_id, str(path)) for image_id, path in zip((7, 70, 5), paths, strict=True)
    ]
    drawn = {path.name for path in (tmp_path / "out" / "drawn").iterdir()}
    assert drawn == {"a_7.png", "b.png", "a_5.png"}


def test_a_class_without_a_category_is_an_error(predictor, images, tmp_path):
    assert predictor.num_classes is None  # this model does not tell it
    with pytest.raises(InputError, match=r"finds class 1 \(from 0\), but there are 1 categories"):
        predict_images(predictor, [images / "a.png"], tmp_path, category_ids=(4,))
    assert not (tmp_path / "detections.json").exists()


def test_the_protocol_of_the_model_is_written(predictor, images, tmp_path):
    predict_images(predictor, [images / "a.png"], tmp_path)
    entries = read(tmp_path / "protocol.json")
    assert (entries["test_scale"], entries["tile_size"]) == (1, "none")
    assert entries["score_threshold"] is None  # this model does not tell it


@pytest.mark.parametrize(("min_score", "threshold"), [(0.01, 0.05), (0.5, 0.5)])
def test_the_protocol_has_the_higher_of_both_least_scores(
    predictor, images, tmp_path, monkeypatch, min_score, threshold
):
    monkeypatch.setattr(OneBox, "test_score_thresh", 0.05, raising=False)
    predict_images(predictor, [images / "a.png"], tmp_path, min_score=min_score)
    assert read(tmp_path / "protocol.json")["score_threshold"] == threshold


def test_detections_under_the_limit_are_left_out(predictor, images, tmp_path):
    predict_images(predictor, [images / "a.png"], tmp_path, min_score=0.5)
    assert [one["score"] for one in read(tmp_path / "detections.json")] == [pytest.approx(0.9)]


def test_an_image_that_cannot_be_read_is_named_and_left_out(predictor, images, tmp_path, capsys):
    (images / "c.png").write_bytes(b"broken")
    summary = predict_images(predictor, find_images([str(images)]), tmp_path / "out")
    assert summary.num_images == 3
    assert len(summary.unreadable) == 1
    assert "left out: image file" in capsys.readouterr().err
    assert "c.png (image id 3) cannot be read" in summary.unreadable[0]
    ids = {one["id"] for one in read(tmp_path / "out" / "images.json")}
    assert ids == {1, 2, 4}


def test_an_image_that_cannot_be_read_is_an_error_when_strict(predictor, images, tmp_path):
    (images / "c.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"c\.png \(image id 3\) cannot be read"):
        predict_images(predictor, find_images([str(images)]), tmp_path / "out", strict=True)
    assert not (tmp_path / "out" / "detections.json").exists()


def test_no_readable_image_at_all_is_an_error(predictor, images, tmp_path):
    with pytest.raises(InputError, match=r"none of the 1 images can be read; the first: .*notes"):
        predict_images(predictor, [images / "notes.txt"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_without_detections_is_listed_all_the_same(images, tmp_path):
    class Blind(OneBox):
        def forward(self, batch):
            return [{"instances": one["instances"][:0]} for one in super().forward(batch)]

    mapper = ScaleMatchDatasetMapper(is_train=False, augmentations=[], image_format="RGB")
    summary = predict_images(Predictor(Blind(), mapper), [images / "a.png"], tmp_path)
    assert (summary.num_images, summary.num_detections) == (1, 0)
    assert read(tmp_path / "detections.json") == []
    assert len(read(tmp_path / "images.json")) == 1
