import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.convert_visdrone import VISDRONE_CATEGORIES, convert_visdrone
from scale_match.storage.problems import Problems

LINES = """684,8,273,116,0,0,0,0
406,119,265,70,1,4,1,2,
10,20,30,40,1,11,0,0
1,2,3,4,0,10,0,0
"""


@pytest.fixture
def folders(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for name in ("1", "2"):
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / f"images/{name}.jpg")
        (tmp_path / f"labels/{name}.txt").write_text("")
    (tmp_path / "labels/1.txt").write_text(LINES)
    return tmp_path


def convert(folders, strict=True, **options):
    problems = Problems(strict=strict)
    return convert_visdrone(folders / "images", folders / "labels", problems, **options)


def test_lines_become_boxes_and_what_the_benchmark_ignores_ignore_regions(folders):
    content = convert(folders)
    rows = [(box["bbox"], box["category_id"], box["ignore"]) for box in content["annotations"]]
    assert rows == [
        ([684, 8, 273, 116], 1, True),  # ignored region
        ([406, 119, 265, 70], 4, False),
        ([10, 20, 30, 40], 1, True),  # others
        ([1, 2, 3, 4], 10, True),  # score 0
    ]
    assert [category["name"] for category in content["categories"]] == list(VISDRONE_CATEGORIES)
    assert content["annotations"][1]["truncation"] == 1
    assert content["annotations"][1]["occlusion"] == 2
    assert len(content["images"]) == 2


def test_regions_may_be_written_for_each_category(folders):
    boxes = convert(folders, regions_in_each=True)["annotations"]
    assert len(boxes) == 10 + 1 + 10 + 1
    regions = [box["category_id"] for box in boxes if box["bbox"] == [684, 8, 273, 116]]
    assert regions == list(range(1, 11))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3,4,1,1,0", r"1.txt, line 1: 8 values separated by commas are needed, got 7"),
        ("1,2,-3,4,1,1,0,0", r"width and height must not be negative, got -3 and 4"),
        ("1,2,3,4,1,12,0,0", r"the category must be a whole number from 0 to 11, got 12"),
        ("1,2,3,x,1,1,0,0", r"values must be finite numbers"),
    ],
)
def test_a_broken_line_leaves_its_image_out(folders, line, message):
    (folders / "labels/1.txt").write_text(line)
    with pytest.raises(InputError, match=message):
        convert(folders)
    assert [image["file_name"] for image in convert(folders, strict=False)["images"]] == ["2.jpg"]


def test_missing_labels_are_named(folders):
    (folders / "labels/1.txt").unlink()
    with pytest.raises(InputError, match=r"cannot read .*1.txt: No such file"):
        convert(folders)
    (folders / "labels").rename(folders / "other")
    with pytest.raises(InputError, match=r"there is no label folder .*labels"):
        convert(folders)
