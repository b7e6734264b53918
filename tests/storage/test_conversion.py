import pytest

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from scale_match.storage.conversion import (
    LabelledImage,
    coco_content,
    find_images,
    numbers_of,
    read_lines,
    read_names,
)
from scale_match.storage.files import write_json


def test_content_is_numbered_from_1_and_can_be_read(tmp_path):
    images = [
        LabelledImage("a.jpg", 40, 30, [{"bbox": [1, 2, 3, 4], "category": "y", "ignore": True}]),
        LabelledImage("b.jpg", 50, 30),
        LabelledImage("c.jpg", 60, 30, [{"bbox": [5, 6, 7, 8], "category": "x"}]),
    ]
    content = coco_content(images, ["x", "y"])
    write_json(tmp_path / "a.json", content)
    read = read_annotations(tmp_path / "a.json")
    assert [image.image_id for image in read.images] == [1, 2, 3]
    assert read.table.category_ids.tolist() == [2, 1]
    assert read.table.image_ids.tolist() == [1, 3]
    assert read.table.areas.tolist() == [12, 56]
    assert read.table.ignore.tolist() == [True, False]
    assert read.notes == ()
    assert all("category" not in box for box in content["annotations"])


def test_content_needs_images_different_files_and_different_names():
    with pytest.raises(InputError, match=r"no usable image was found"):
        coco_content([], ["x"])
    with pytest.raises(InputError, match=r"image ids 1 and 2 have one file_name 'a.jpg'"):
        coco_content([LabelledImage("a.jpg", 4, 3)] * 2, ["x"])
    with pytest.raises(InputError, match=r"category names must be different, got x, x"):
        coco_content([LabelledImage("a.jpg", 4, 3)], ["x", "x"])


def test_images_are_found_in_order_in_folders_below(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/1.PNG", "c.jpg", "a.jpeg", "a.txt", ".tmp-00000000-x.jpg"):
        (tmp_path / name).touch()
    names = [path.as_posix() for path in find_images(tmp_path)]
    assert names == ["a.jpeg", "b/1.PNG", "c.jpg"]
    with pytest.raises(InputError, match=r"there is no image folder .*none"):
        find_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"there is no image in .*empty"):
        find_images(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "person\n\ntraffic light\r\n"),
        ("data.yaml", "names: [person, traffic light]\nnc: 2"),
        ("data.yml", "names:\n  1: traffic light\n  0: person\n"),
    ],
)
def test_names_are_read_from_text_and_yaml(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_names(tmp_path / name) == ["person", "traffic light"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n", r"a.txt must hold category names, got \[\]"),
        ("a.txt", b"\xff\xfe", r"a.txt is not a text file: byte 0 is not utf-8"),
        ("a.yaml", b"names: {1: x, 2: y}", r"a.yaml must hold category names, got None"),
        ("a.yaml", b"names: [1, 2]", r"a.yaml must hold category names, got \[1, 2\]"),
        ("a.yaml", b"- x", r"a.yaml must hold category names, got None"),
        ("a.yaml", b"names: [", r"a.yaml is not valid YAML: "),
    ],
)
def test_files_without_names_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_names(tmp_path / name)


def test_lines_are_numbered_and_blank_ones_left_out(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1 2\r\n\r\n 3\n")
    assert read_lines(tmp_path / "a.txt") == [(1, "1 2"), (3, "3")]


def test_numbers_must_be_finite():
    assert numbers_of(["1", "-2.5", "1e3"], "x") == [1, -2.5, 1000]
    for values in (["1", "b"], ["nan"], ["inf"], [""]):
        with pytest.raises(InputError, match=r"^here must be finite numbers, got"):
            numbers_of(values, "here")
