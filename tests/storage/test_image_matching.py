from pathlib import Path

import pytest

from data_samples import table_of
from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, ImageRecord
from scale_match.storage.image_matching import match_images


def annotations(*names, **fields):
    """A file of images 10, 20, ... without a box."""
    images = [ImageRecord(10 * k, name, 8, 8, **fields) for k, name in enumerate(names, start=1)]
    return Annotations("gt.json", tuple(images), (), table_of([]))


def match(annotations, *names):
    return match_images(annotations, {Path("in", name): name for name in names})


def test_the_whole_name_decides_first_and_then_its_last_part():
    file = annotations("x/a.jpg", "a.jpg", "y/b.jpg", "./c.jpg")
    assert match(file, "a.jpg", "x/a.jpg") == [20, 10]
    assert match(file, "b.jpg", "deep/c.jpg") == [30, 40]
    assert match(file, "c.jpg") == [40]
    assert match(file) == []


@pytest.mark.parametrize(
    ("listed", "names", "message"),
    [
        (["a.jpg"], ["b.jpg"], r"image in/b\.jpg is not in gt\.json: .* file_name 'b\.jpg'$"),
        (
            ["x/a.jpg", "y/a.jpg"],
            ["z/a.jpg"],
            r"image in/z/a\.jpg could be several of gt\.json: image ids 10 \(x/a\.jpg\) and 20 \(y",
        ),
        (["a.jpg", "a.jpg"], ["a.jpg"], r"image in/a\.jpg could be several .* 10 .* and 20 "),
        (
            ["a.jpg"],
            ["x/a.jpg", "y/a.jpg"],
            r"images in/x/a\.jpg and in/y/a\.jpg would both be image id 10 \(a\.jpg\) of gt\.json$",
        ),
    ],
)
def test_an_image_that_is_not_one_of_the_file_is_named(listed, names, message):
    with pytest.raises(InputError, match=message):
        match(annotations(*listed), *names)


def test_tiles_are_refused():
    with pytest.raises(InputError, match=r"gt\.json is of tiles .*: name the file of the whole"):
        match(annotations("a.jpg", corner=(0, 0, 8, 8)), "a.jpg")
