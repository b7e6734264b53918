import copy
import gzip
import json
import math

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.records import CategoryRecord, ImageRecord
from scale_match.storage.annotations import read_annotations, read_raw_coco
from toy import make_toy_dataset

GOOD = {
    "images": [
        {"id": 10, "file_name": "a.jpg", "width": 100, "height": 50},
        {"id": 7, "file_name": "b.jpg", "width": 30, "height": 40},
    ],
    "annotations": [
        {"id": 3, "image_id": 7, "category_id": 2, "bbox": [1, 2, 3.5, 4]},
        {"id": 1, "image_id": 10, "category_id": 5, "bbox": [0, 0, 10, 20], "area": 150.5,
         "iscrowd": 1, "ignore": True, "uncertain": 1},
        {"id": 0, "image_id": 7, "category_id": 2, "bbox": [1, 1, 0, 5], "area": None,
         "iscrowd": False, "ignore": 0, "uncertain": False, "segmentation": [[1, 2]]},
    ],
    "categories": [{"id": 5, "name": "person"}, {"id": 2, "name": "boat", "supercategory": "x"}],
}  # fmt: skip

SHARED_FILES = [
    "data/bccd/annotations/train.json",
    "data/bccd_tiny/annotations/test.json",
    "data/visdrone50/annotations.json",
    "oracle/merge/gt.json",
    "oracle/merge/corner_gt.json",
    "oracle/scale_match/coco_like.json",
    "oracle/scale_match/tinyperson_like.json",
    "oracle/scale_match/visdrone50.json",
]


@pytest.fixture
def read(tmp_path):
    """Writes a value as a file and reads it as annotations."""

    def read_value(value):
        path = tmp_path / "gt.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return read_annotations(path)

    return read_value


def changed(kind, index, **fields):
    """The good file with some fields of one entry set, or removed where the value is ``...``."""
    value = copy.deepcopy(GOOD)
    entry = value[kind][index]
    entry.update(fields)
    for key in [key for key, field in fields.items() if field is ...]:
        del entry[key]
    return value


def test_columns_and_records_follow_the_file_order(read, tmp_path):
    annotations = read(GOOD)
    assert annotations.source == str(tmp_path / "gt.json")
    assert annotations.images == (
        ImageRecord(10, "a.jpg", 100, 50), ImageRecord(7, "b.jpg", 30, 40)
    )  # fmt: skip
    assert annotations.categories == (CategoryRecord(5, "person"), CategoryRecord(2, "boat"))
    assert annotations.old_images == ()
    table = annotations.table
    assert table.ids.tolist() == [3, 1, 0]
    assert table.image_ids.tolist() == [7, 10, 7]
    assert table.category_ids.tolist() == [2, 5, 2]
    assert table.boxes.tolist() == [[1, 2, 3.5, 4], [0, 0, 10, 20], [1, 1, 0, 5]]
    assert (table.boxes.dtype, table.ids.dtype) == (np.float64, np.int64)


def test_absent_flags_are_false_and_an_absent_area_is_that_of_the_box(read):
    table = read(GOOD).table
    assert table.areas.tolist() == [14.0, 150.5, 0.0]
    assert table.iscrowd.tolist() == [False, True, False]
    assert table.ignore.tolist() == [False, True, False]
    assert table.uncertain.tolist() == [False, True, False]


def test_an_absent_iscrowd_is_noted_once(read, tmp_path):
    path = tmp_path / "gt.json"
    assert read(GOOD).notes == (f"{path}: 1 of 3 annotations have no iscrowd, which means 0",)
    assert read(changed("annotations", 0, iscrowd=0)).notes == ()
    assert read({**GOOD, "annotations": []}).notes == ()


def test_the_visible_share_is_vis_ratio_or_that_of_the_visible_box_or_one(read):
    assert read(GOOD).table.visibilities.tolist() == [1.0, 1.0, 1.0]
    half = {"vis": [0, 0, 5, 10]}  # of a box of 10 x 20: a half and a half
    assert read(changed("annotations", 1, **half)).table.visibilities.tolist() == [1, 0.25, 1]
    both = read(changed("annotations", 1, vis_ratio=0.3, **half))
    assert both.table.visibilities.tolist() == [1, 0.3, 1]
    none = read(changed("annotations", 1, vis_ratio=None, vis=None))
    assert none.table.visibilities.tolist() == [1, 1, 1]


def test_a_visible_box_of_a_box_without_area_hides_nothing(read):
    value = changed("annotations", 2, vis=[1, 1, 0, 5])
    assert read(value).table.visibilities.tolist() == [1, 1, 1]


def test_an_absent_size_is_the_root_of_the_area(read):
    sizes = read(changed("annotations", 0, size=33)).table.sizes
    assert sizes.tolist() == [33.0, math.sqrt(150.5), 0.0]
    assert read(GOOD).table.sizes[0] == math.sqrt(14)


def test_a_tile_entry_keeps_its_corner_and_the_whole_images_are_apart(read):
    value = changed("images", 0, width=20, height=30, corner=[5, 6, 25, 36])
    value["old_images"] = [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}]
    annotations = read(value)
    assert annotations.images[0] == ImageRecord(10, "a.jpg", 20, 30, (5, 6, 25, 36))
    assert annotations.old_images == (ImageRecord(1, "a.jpg", 100, 50),)


def test_no_annotation_at_all_is_legal(read):
    table = read({**GOOD, "annotations": []}).table
    assert len(table) == 0
    assert table.boxes.shape == (0, 4)


def test_boxes_of_zero_size_are_kept(read):
    assert read(changed("annotations", 0, bbox=[1, 2, 0, 0])).table.boxes[0].tolist() == [
        1,
        2,
        0,
        0,
    ]


def test_gzip_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "gt.json.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()))
    assert len(read_annotations(path).table) == 3


def test_a_nan_in_a_field_that_is_not_read_is_no_harm(read):
    value = changed("annotations", 0, score=math.nan)
    assert read(value).table.ids.tolist() == [3, 1, 0]


def test_the_toy_data_is_read(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path, categories=2)
    annotations = read_annotations(path)
    assert (len(annotations.images), len(annotations.table)) == (4, 20)
    assert all((image_dir / image.file_name).is_file() for image in annotations.images)


@pytest.mark.parametrize("relative", SHARED_FILES)
def test_shared_files_agree_with_a_plain_reading(shared, relative):
    raw = json.loads(shared(relative).read_text())
    annotations = read_annotations(shared(relative))
    assert [image.image_id for image in annotations.images] == [i["id"] for i in raw["images"]]
    table, entries = annotations.table, raw["annotations"]
    assert table.boxes.tolist() == [entry["bbox"] for entry in entries]
    assert table.ignore.tolist() == [entry.get("ignore", False) for entry in entries]
    assert table.uncertain.tolist() == [entry.get("uncertain", False) for entry in entries]
    assert table.areas.tolist() == [entry["area"] for entry in entries]
    assert len(annotations.old_images) == len(raw.get("old_images", []))


def test_every_ground_truth_of_the_evaluation_oracle_is_read(shared):
    paths = sorted(shared("oracle/eval").rglob("gt.json"))
    assert len(paths) > 10
    for path in paths:
        assert len(read_annotations(path).images) >= 1


BOX_RULE = r"which must be four numbers x, y, width, height in pixels$"
FINITE_RULE = r"which must be four finite numbers$"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (changed("annotations", 1, bbox=[1, math.nan, 3, 4]),
         r"gt.json: annotation id 1 has bbox \[1.0, nan, 3.0, 4.0\], " + FINITE_RULE),
        (changed("annotations", 1, bbox=[1, math.inf, 3, 4]),
         r"annotation id 1 has bbox \[1.0, inf, 3.0, 4.0\], " + FINITE_RULE),
        (changed("annotations", 1, bbox=[1, 2, 1e308, 4]),
         r"annotation id 1 has bbox \[1.0, 2.0, 1e\+308, 4.0\], which must be four numbers of at "
         r"most 1e\+09 pixels$"),
        (changed("annotations", 1, bbox=[1, 2, "3", 4]),
         r"gt.json: annotation id 1 has bbox \[1, 2, '3', 4\], " + BOX_RULE),
        (changed("annotations", 1, bbox=[1, 2, 3]),
         r"annotation id 1 has bbox \[1, 2, 3\], " + BOX_RULE),
        (changed("annotations", 1, bbox=[1, 2, 3, 4, 5]), r"annotation id 1 .* " + BOX_RULE),
        (changed("annotations", 1, bbox=None), r"annotation id 1 has bbox None, " + BOX_RULE),
        (changed("annotations", 1, bbox=[1, 2, 3, True]), r"annotation id 1 .* " + BOX_RULE),
        (changed("annotations", 1, bbox=...), r"annotation id 1 has no key 'bbox'$"),
        (changed("annotations", 2, bbox=[1, 2, 3, -4]),
         r"annotation id 0 has bbox \[1.0, 2.0, 3.0, -4.0\], which must be a box whose width and "
         r"height are not negative$"),
        (changed("annotations", 0, area=-1),
         r"annotation id 3 has area -1.0, which must be a finite number that is not negative$"),
        (changed("annotations", 0, area="1"),
         r"annotation id 3 has area '1', which must be a number of square pixels, or absent$"),
        (changed("annotations", 0, vis_ratio="all"),
         r"annotation id 3 has vis_ratio 'all', which must be the visible share, a number, or abs"),
        (changed("annotations", 0, vis=[1, 2]),
         r"annotation id 3 has vis \[1, 2\], which must be the visible box, four numbers x, y"),
        (changed("annotations", 0, size="tiny"),
         r"annotation id 3 has size 'tiny', which must be a number of pixels, or absent$"),
        (changed("annotations", 0, size=-2),
         r"annotation id 3 has size -2.0, which must be a finite number that is not negative$"),
        (changed("annotations", 0, iscrowd=None),
         r"annotation id 3 has iscrowd None, which must be true, false, 1 or 0$"),
        (changed("annotations", 0, iscrowd=2),
         r"annotation id 3 has iscrowd 2, which must be true, false, 1 or 0$"),
        (changed("annotations", 0, ignore="no"), r"annotation id 3 has ignore 'no', .* 1 or 0$"),
        (changed("annotations", 0, uncertain=None), r"has uncertain None, .* true, false, 1 or 0$"),
        (changed("annotations", 0, id=3.0),
         r"annotation id 3.0 has id 3.0, which must be a whole number without a decimal point$"),
        (changed("annotations", 0, id="3"), r"annotation id '3' has id '3', which must be a whole"),
        (changed("annotations", 0, id=2**63), r"has id 9223372036854775808, which must be a whole"),
        (changed("annotations", 0, id=...), r"annotation number 1 has no key 'id'$"),
        (changed("annotations", 0, id=1),
         r"gt.json: annotation id 1 occurs more than once; ids are unique$"),
        (changed("annotations", 0, image_id=8),
         r"annotation id 3 has image_id 8, which must be the id of an entry of 'images'$"),
        (changed("annotations", 0, category_id=9),
         r"annotation id 3 has category_id 9, which must be the id of an entry of 'categories'$"),
        (changed("images", 1, id=10), r"gt.json: image id 10 occurs more than once"),
        (changed("images", 1, width=0),
         r"image id 7 has width 0, which must be a positive whole number of pixels$"),
        (changed("images", 1, height=40.0), r"image id 7 has height 40.0, which must be a positi"),
        (changed("images", 1, file_name=""),
         r"image id 7 has file_name '', which must be a text that is not empty$"),
        (changed("images", 1, file_name=...), r"image id 7 has no key 'file_name'$"),
        (changed("images", 1, corner=[1, 2, 3]),
         r"image id 7 has corner \[1, 2, 3\], which must be four whole numbers"),
        (changed("images", 1, corner=[0, 0, 30, 41]),
         r"image id 7 has corner \[0, 0, 30, 41\], which must start at 0 or later and span the "
         r"tile's width 30 and height 40$"),
        (changed("images", 1, corner=[-1, 0, 29, 40]), r"must start at 0 or later"),
        (changed("categories", 1, id=5), r"gt.json: category id 5 occurs more than once"),
        (changed("categories", 1, name=3), r"category id 2 has name 3, which must be a text"),
        ({**GOOD, "images": []}, r"gt.json has no image at all: 'images' is empty$"),
        ({**GOOD, "images": {}}, r"gt.json: 'images' must be a list, not a JSON object$"),
        ({**GOOD, "annotations": [1]},
         r"annotation number 1 must be an object, not a JSON number$"),
        ({**GOOD, "old_images": GOOD["images"][:1] * 2}, r"old image id 10 occurs more than once"),
        ({key: GOOD[key] for key in ("images", "annotations")},
         r"gt.json is not a COCO annotation file: it has no key 'categories'$"),
        ([], r"is not a COCO annotation file: an object with .* is needed, not a JSON list$"),
        ("[1,\n {]", r"gt.json is not valid JSON: .* at line 2, column 3$"),
        ("", r"gt.json is not valid JSON: .* at line 1, column 1$"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_one_sentence_with_id_field_rule_and_value(read, value, message):
    with pytest.raises(InputError, match=message) as error:
        read(value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.json: No such file"):
        read_annotations(tmp_path / "none.json")


def test_a_raw_file_keeps_all_its_fields(tmp_path):
    value = {**GOOD, "info": {"year": 2020}}
    (tmp_path / "gt.json").write_text(json.dumps(value))
    assert read_raw_coco(tmp_path / "gt.json") == value


def test_a_raw_file_of_another_form_is_refused(tmp_path):
    (tmp_path / "dt.json").write_text("[]")
    with pytest.raises(InputError, match=r"dt.json is not a COCO annotation file"):
        read_raw_coco(tmp_path / "dt.json")
