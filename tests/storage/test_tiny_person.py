import json
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from scale_match.storage.erasing import erased_annotations
from scale_match.storage.problems import Problems
from scale_match.storage.tasks import task_annotations
from scale_match.storage.tiling import tile_annotations
from scale_match.storage.tiny_person import find_tiny_set, prepare_tiny_person
from tiny_set_files import make_tiny_set

TILES = "mini_annotations/tiny_set_train_sw640_sh512_all_erase.json"
TRAIN = "mini_annotations/tiny_set_train_all_erase.json"
TEST = "mini_annotations/tiny_set_test_all.json"
ERASED = "erase_with_uncertain_dataset/train"
CORNER = "erase_with_uncertain_dataset/annotations/corner/task/tiny_set_train_sw640_sh512_all.json"


def prepare(root, *, strict=False):
    lines, problems = [], Problems(strict=strict)
    prepare_tiny_person(root, problems, log=lambda line: lines.append(line.replace(f"{root}/", "")))
    return lines, [message.replace(f"{root}/", "") for message in problems.messages]


def content(path):
    value = json.loads(path.read_text())
    value.pop("prepared_from", None)
    return value


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


@pytest.fixture
def root(tmp_path):
    return make_tiny_set(tmp_path, dense=1)


def test_everything_is_made_where_nothing_is_there(root):
    lines, problems = prepare(root)
    assert problems == []
    assert lines[0] == f"{ERASED}: 0 images were there, 2 made"
    raw = json.loads((root / "annotations/tiny_set_train.json").read_text())
    raw["images"] = raw["images"][1:]  # the first is dense
    raw["annotations"] = [box for box in raw["annotations"] if box["image_id"] > 0]
    train = task_annotations(erased_annotations(raw), "all")
    assert content(root / TRAIN) == train
    assert content(root / TILES) == tile_annotations(train)
    test = json.loads((root / "annotations/tiny_set_test.json").read_text())
    assert content(root / TEST) == task_annotations(test, "all")
    for name in (TRAIN, TILES, TEST):
        assert [entry.name for entry in read_annotations(root / name).categories] == ["person"]


def test_regions_of_the_training_images_are_erased(root):
    prepare(root)
    name = "labeled_images/train_1.jpg"
    after, before = pixels(root / ERASED / name), pixels(root / "train" / name)
    for rows, columns in ((slice(8, 20), slice(8, 28)), (slice(30, 40), slice(50, 60))):
        mean = before[rows, columns].mean(axis=(0, 1))
        assert np.abs(after[rows, columns] - mean).mean() < 3
    assert np.abs(after[40:46, 30:34] - before[40:46, 30:34]).mean() < 6
    assert not (root / ERASED / "labeled_images/train_0.jpg").exists()


def test_a_second_run_keeps_everything(root):
    prepare(root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    lines, _ = prepare(root)
    assert lines[0] == f"{ERASED}: 2 images were there, 0 made"
    assert [line.split(": ")[1] for line in lines[1:]] == ["kept"] * 3
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_files_made_of_annotations_that_changed_are_made_anew(root):
    prepare(root)
    path = root / "annotations/tiny_set_train.json"
    raw = json.loads(path.read_text())
    raw["annotations"].pop()
    path.write_text(json.dumps(raw))
    lines, _ = prepare(root)
    assert [": made from" in line for line in lines[1:]] == [True, True, False]


def test_the_authors_files_are_taken_where_they_are(root):
    prepare(root)
    (root / CORNER).parent.mkdir(parents=True)
    theirs = json.loads((root / TILES).read_text())
    theirs["annotations"] = theirs["annotations"][:1]
    del theirs["prepared_from"]
    (root / CORNER).write_text(json.dumps(theirs))
    shutil.rmtree(root / "mini_annotations")
    image = root / ERASED / "labeled_images/train_1.jpg"
    Image.fromarray(np.full((64, 96, 3), 9, np.uint8)).save(image)
    for expected in (f"{TILES}: taken from {CORNER}", f"{TILES}: kept"):
        lines, _ = prepare(root)
        assert expected in lines
        assert content(root / TILES) == theirs
        assert (pixels(image) == 9).all()


def test_the_authors_files_alone_are_enough(root):
    prepare(root)
    shutil.rmtree(root / "annotations")
    shutil.rmtree(root / "train")
    for name in (TRAIN, TILES, TEST):
        value = content(root / name)
        (root / name).write_text(json.dumps(value))
    lines, problems = prepare(root)
    assert problems == []
    assert "taken as it is, because there is no" in lines[0]
    assert [line.split(": ")[1] for line in lines[1:]] == ["kept"] * 3


def test_an_image_that_cannot_be_read_is_left_out_until_it_can(root):
    path = root / "train/labeled_images/train_2.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    _, problems = prepare(root)
    assert len(problems) == 1
    assert "train_2.jpg: image file is truncated" in problems[0]
    assert [image["id"] for image in content(root / TRAIN)["images"]] == [1]
    with pytest.raises(InputError, match=r"train_2.jpg: image file is truncated"):
        prepare(root, strict=True)
    path.write_bytes(whole)
    _, problems = prepare(root, strict=True)
    assert [image["id"] for image in content(root / TRAIN)["images"]] == [1, 2]
    assert len(content(root / TILES)["images"]) == 2


def test_images_that_annotations_name_but_nobody_has_are_named(root):
    (root / "test/labeled_images/test_1.jpg").unlink()
    _, problems = prepare(root)
    assert problems == [
        f"test/labeled_images/test_1.jpg, named in {TEST}, does not exist"
    ]  # fmt: skip


def test_a_test_image_that_is_none_is_named(root):
    (root / "test/labeled_images/test_0.jpg").write_text("no image")
    assert prepare(root)[1] == [
        "cannot read test/labeled_images/test_0.jpg: not an image of a known format"
    ]
    with pytest.raises(InputError, match=r"cannot read .*test_0.jpg: not an image"):
        prepare(root, strict=True)


def test_nothing_is_said_to_be_taken_from_an_empty_folder(tmp_path):
    lines = []
    with pytest.raises(InputError, match=r"cannot read .*tiny_set_train.json: No such file"):
        prepare_tiny_person(tmp_path, Problems(strict=False), log=lines.append)
    assert lines == []


def test_missing_and_broken_annotations_are_errors(root):
    (root / "annotations/tiny_set_test.json").write_text("[1,")
    with pytest.raises(InputError, match=r"tiny_set_test.json is not valid JSON"):
        prepare(root)
    shutil.rmtree(root / "annotations")
    with pytest.raises(InputError, match=r"cannot read .*tiny_set_test.json: No such file"):
        prepare(root)


def test_the_folder_is_found_from_above_and_in_archives(tmp_path):
    root = make_tiny_set(tmp_path)
    lines = []
    assert find_tiny_set(root, lines.append) == root
    assert find_tiny_set(tmp_path, lines.append) == root
    assert lines == []
    for folder in ("annotations", "train"):
        with tarfile.open(root / f"{folder}.tar.gz", "w:gz") as archive:
            archive.add(root / folder, arcname=folder)
        shutil.rmtree(root / folder)
    with tarfile.open(tmp_path / "tiny_set.tar", "w") as archive:
        archive.add(root, arcname="tiny_set")
    for named in (tmp_path / "tiny_set.tar", tmp_path):
        shutil.rmtree(root)
        assert find_tiny_set(named, lines.append) == root
        assert prepare(root)[1] == []
    assert len(lines) == 6


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder or archive .*none"):
        find_tiny_set(tmp_path / "none", print)
