import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.convert_yolo import convert_yolo
from scale_match.storage.problems import Problems


@pytest.fixture
def folders(tmp_path):
    """Images of 200x100: a/1.jpg with two boxes, 2.jpg without a label file."""
    for name in ("images/a", "labels/a"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a/1.jpg", "2.jpg"):
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "labels/a/1.txt").write_text("1 0.5 0.5 0.1 0.2\n0 0.05 0.9 0.1 0.2\n")
    return tmp_path


def convert(folders, problems=None, **options):
    problems = problems or Problems(strict=True)
    names = ["cat", "dog"]
    return convert_yolo(folders / "images", folders / "labels", names, problems, **options)


def test_parts_of_the_image_become_pixels(folders):
    content = convert(folders)
    assert [image["file_name"] for image in content["images"]] == ["2.jpg", "a/1.jpg"]
    boxes = [(box["image_id"], box["category_id"]) for box in content["annotations"]]
    assert boxes == [(2, 2), (2, 1)]
    np.testing.assert_allclose(
        [box["bbox"] for box in content["annotations"]], [[90, 40, 20, 20], [0, 80, 20, 20]]
    )
    assert [category["name"] for category in content["categories"]] == ["cat", "dog"]


def test_a_polygon_becomes_its_enclosing_box(folders):
    (folders / "labels/a/1.txt").write_text("0 0.1 0.2 0.3 0.2 0.2 0.6\n")
    np.testing.assert_allclose(convert(folders)["annotations"][0]["bbox"], [20, 20, 40, 40])


def test_rounding_beyond_the_border_is_no_error(folders):
    (folders / "labels/a/1.txt").write_text("0 0.5 0.5 1.000001 -0.000001\n")
    assert convert(folders)["annotations"][0]["bbox"][3] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", r"1.txt, line 2: a box has 5 values .*, got 4"),
        ("0 0.5 0.5 0.1 0.1 0.9", r"a box has 5 values .*, got 6"),
        ("0 1.2 0.5 0.1 0.1", r"coordinates are parts of the image, in \[0, 1\], got 1.2 0.5"),
        ("0 120 50 10 10", r"coordinates are parts of the image"),
        ("0 0.5 0.5 -0.1 0.1", r"coordinates are parts of the image"),
        ("2 0.5 0.5 0.1 0.1", r"the class must be a whole number from 0 to 1, got 2"),
        ("0.5 0.5 0.5 0.1 0.1", r"the class must be a whole number from 0 to 1, got 0.5"),
        ("x 0.5 0.5 0.1 0.1", r"values must be finite numbers, got 'x 0.5"),
        ("0 nan 0.5 0.1 0.1", r"values must be finite numbers"),
    ],
)
def test_a_broken_line_leaves_its_image_out(folders, line, message):
    path = folders / "labels/a/1.txt"
    path.write_text("0 0.5 0.5 0.1 0.1\n" + line)
    problems = Problems(strict=False)
    content = convert(folders, problems)
    assert [image["file_name"] for image in content["images"]] == ["2.jpg"]
    assert content["annotations"] == []
    assert len(problems.messages) == 1
    with pytest.raises(InputError, match=message):
        convert(folders)


def test_a_label_without_an_image_and_an_image_that_is_none_are_named(folders):
    (folders / "labels/9.txt").touch()
    (folders / "labels/classes.txt").touch()
    (folders / "images/2.jpg").write_bytes(b"no image")
    problems = Problems(strict=False)
    assert len(convert(folders, problems)["images"]) == 1
    assert [message.split("/")[-1] for message in problems.messages] == [
        "9.txt belongs to no image",
        "2.jpg: not an image of a known format",
    ]


def test_the_wrong_label_folder_is_an_error_not_a_data_set_without_boxes(folders):
    (folders / "labels/a/1.txt").unlink()
    with pytest.raises(InputError, match=r"none of 2 images has a label file in .*labels"):
        convert(folders)
    (folders / "labels").rename(folders / "other")
    with pytest.raises(InputError, match=r"there is no label folder .*labels"):
        convert(folders)


def test_progress_sees_the_images(folders):
    seen = []
    convert(folders, progress=lambda paths: (seen.append(path.name) or path for path in paths))
    assert seen == ["2.jpg", "1.jpg"]
