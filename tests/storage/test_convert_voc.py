import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage.convert_voc import convert_voc
from scale_match.storage.problems import Problems

SIZE = "<size><width>200</width><height>100</height></size>"


def thing(name="dog", corners=(11, 21, 30, 50), more=""):
    tags = "".join(
        f"<{tag}>{value}</{tag}>"
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{tags}</bndbox></object>"


def write(folder, name, *parts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.xml").write_text(f"<annotation>{''.join(parts)}</annotation>")


@pytest.fixture
def labels(tmp_path):
    folder = tmp_path / "labels"
    write(folder, "1", "<filename>1.jpg</filename>", SIZE, thing(), thing("cat"))
    write(folder, "2", "<filename>C:\\data\\2.png</filename>", SIZE)
    return folder


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("1.jpg", "2.png"):
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "images" / name)
    return tmp_path / "images"


def convert(labels, strict=True, **options):
    return convert_voc(labels, Problems(strict=strict), **options)


def test_pixels_count_from_1_and_the_last_one_belongs_to_the_box(labels):
    content = convert(labels)
    assert content["annotations"][0]["bbox"] == [10, 20, 20, 30]
    assert [image["file_name"] for image in content["images"]] == ["1.jpg", "2.png"]
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (200, 100)


def test_corners_may_count_from_0(labels):
    assert convert(labels, zero_based=True)["annotations"][0]["bbox"] == [11, 21, 19, 29]


def test_categories_are_in_alphabetical_order_or_as_named(labels):
    names = [category["name"] for category in convert(labels)["categories"]]
    assert names == ["cat", "dog"]
    content = convert(labels, names=["dog", "bird", "cat"])
    assert [box["category_id"] for box in content["annotations"]] == [1, 3]


def test_difficult_objects_become_ignore_regions(labels):
    write(labels, "3", SIZE, thing(more="<difficult>1</difficult>"), thing())
    content = convert(labels)
    assert [box.get("ignore", False) for box in content["annotations"][2:]] == [True, False]
    assert content["images"][2]["file_name"] == "3.jpg"


def test_parts_of_an_object_are_no_objects(labels):
    write(labels, "1", SIZE, thing(more=f"<part>{thing('head')}</part>"))
    assert [category["name"] for category in convert(labels)["categories"]] == ["dog"]


def test_images_give_the_size_and_the_right_name(labels, images):
    write(labels, "1", "<filename>other.jpg</filename>", thing())
    write(labels, "2", "<size><width>0</width><height>0</height></size>")
    content = convert(labels, images=images)
    assert [image["file_name"] for image in content["images"]] == ["1.jpg", "2.png"]
    assert content["images"][1]["width"] == 200


def test_labels_in_folders_belong_to_images_in_folders(labels):
    write(labels / "train", "4", SIZE)
    assert convert(labels)["images"][2]["file_name"] == "train/4.jpg"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["<a>"], r"1.xml is not valid XML: mismatched tag: line 1"),
        ([thing()], r"1.xml states no size, and no image folder was given"),
        ([SIZE.replace("200", "x")], r"1.xml: width and height must be finite numbers"),
        ([SIZE.replace("200", "-3")], r"1.xml: width and height must be whole and positive"),
        ([SIZE, thing(), thing(name="")], r"1.xml, object 2: it has no name"),
        ([SIZE, thing(corners=(30, 2, 3, 4))], r"object 1: the box must not end before it starts"),
        ([SIZE, thing(corners=("", 2, 3, 4))], r"object 1: xmin, ymin, xmax, ymax must be finite"),
        ([SIZE, "<object><name>dog</name></object>"], r"object 1: xmin, ymin, xmax, ymax must be"),
    ],
)
def test_a_broken_file_leaves_its_image_out(labels, parts, message):
    write(labels, "1", *parts)
    with pytest.raises(InputError, match=message):
        convert(labels)
    assert [image["file_name"] for image in convert(labels, strict=False)["images"]] == ["2.png"]


def test_names_that_are_not_listed_are_refused(labels):
    with pytest.raises(InputError, match=r"object 1: its name 'dog' is none of cat, bird"):
        convert(labels, names=["cat", "bird"])


def test_images_that_are_missing_or_of_another_size_are_named(labels, images):
    Image.fromarray(np.zeros((100, 90), np.uint8)).save(images / "1.jpg")
    with pytest.raises(InputError, match=r"1.xml states 200x100 pixels, .*1.jpg has 90x100"):
        convert(labels, images=images)
    (images / "1.jpg").unlink()
    with pytest.raises(InputError, match=r"1.xml has no image: there is no 1.jpg in .*images"):
        convert(labels, images=images)


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no .xml file in "):
        convert(tmp_path)
    with pytest.raises(InputError, match=r"there is no .xml file in .*none"):
        convert(tmp_path / "none")
