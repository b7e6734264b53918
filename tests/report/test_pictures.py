import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from scale_match.core.records import ImageRecord
from scale_match.report.markup import element
from scale_match.report.pictures import (
    OUTCOMES,
    Photo,
    Window,
    box_legend,
    draw_boxes,
    load_photo,
    worst_window,
)
from scale_match.scoring.image_outcomes import BoxesByOutcome

RECORD = ImageRecord(1, "a.png", 400, 300)
NONE = np.empty((0, 4))


def boxes_with(**given):
    arrays = {
        name: np.array(given.get(name, NONE), dtype=float).reshape(-1, 4) for name in OUTCOMES
    }
    return BoxesByOutcome(**arrays)


def write_image(folder, width, height, name="a.png"):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2] = (200, 30, 30)
    Image.fromarray(pixels).save(folder / name)


def decoded(uri):
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_each_outcome_has_a_shape_of_its_own():
    box = [[10.0, 20.0, 30.0, 40.0]]
    whole = Window(0, 0, 400, 300)
    shapes = set()
    for outcome in OUTCOMES:
        made = draw_boxes(
            boxes_with(**{outcome: box}),
            window=whole,
            background=element("image"),
            title="t",
            identity="p",
        )
        (halo, line) = re.findall(r'<path d="([^"]*)" class="(\w+) (\w+)"', made)
        assert halo[0] == line[0]
        assert (halo[1:], line[1:]) == (("halo", outcome), ("box", outcome))
        shapes.add(line[0])
    assert len(shapes) == 3  # found and ignored differ in the style sheet's dashes


def test_the_style_sheet_draws_ignored_boxes_dotted(repository):
    style = (repository / "projects/scale_match/report/style.css").read_text()
    assert re.search(r"\.box\.ignored {[^}]*stroke-dasharray", style)
    assert not re.search(r"\.box\.found {[^}]*stroke-dasharray", style)


def test_literal_paths():
    def path(outcome):
        made = draw_boxes(
            boxes_with(**{outcome: [[10, 20, 30, 40]]}),
            window=Window(0, 0, 100, 100),
            background=element("image"),
            title="t",
            identity="p",
        )
        return re.findall(r'<path d="([^"]*)"', made)[0]

    assert path("found") == "M10 20h30v40h-30z"
    assert path("false") == "M10 20h30v40h-30zl30 40M40 20l-30 40"
    assert path("missed") == "M10 32V20H19M10 48V60H19M40 32V20H31M40 48V60H31"


def test_boxes_outside_of_the_window_are_left_out():
    boxes = boxes_with(found=[[0, 0, 10, 10], [95, 95, 10, 10], [300, 200, 10, 10]])
    made = draw_boxes(
        boxes, window=Window(100, 100, 50, 50), background=element("g"), title="<t>", identity="p"
    )
    assert made.count("M95 95") == 2  # halo and line
    assert "M0 0" not in made
    assert "M300" not in made
    assert 'viewBox="100 100 50 50"' in made
    assert '<title id="p-title">&lt;t&gt;</title>' in made


def test_a_photo_of_the_right_size_is_embedded(tmp_path):
    write_image(tmp_path, 400, 300)
    photo = load_photo(tmp_path, RECORD)
    assert isinstance(photo, Photo)
    assert decoded(photo.data_uri()).size == (400, 300)
    part = decoded(photo.data_uri(Window(150, 10, 100, 50)))
    assert part.size == (100, 50)
    left, right = np.asarray(part)[25, 10], np.asarray(part)[25, 90]
    assert left[0] > 150  # red up to the middle of the image
    assert right[0] < 50


def test_a_large_photo_is_made_smaller():
    photo = Photo(Image.new("RGB", (4000, 1000)))
    assert decoded(photo.data_uri()).size == (1280, 320)


def test_a_tile_is_cut_out(tmp_path):
    write_image(tmp_path, 400, 300)
    photo = load_photo(tmp_path, ImageRecord(7, "a.png", 100, 80, (150, 0, 250, 80)))
    assert isinstance(photo, Photo)
    assert photo.pixels.size == (100, 80)


def test_what_cannot_be_shown_is_said(tmp_path):
    assert load_photo(tmp_path, RECORD) == "is not in the folder"
    write_image(tmp_path, 40, 30)
    assert load_photo(tmp_path, RECORD) == (
        "has 40 x 30 pixels, but the ground truth says 400 x 300"
    )
    (tmp_path / "a.png").write_bytes(b"no image")
    said = load_photo(tmp_path, RECORD)
    assert isinstance(said, str)
    assert said.startswith("cannot be read (cannot identify image file")
    write_image(tmp_path, 400, 300)
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    assert str(load_photo(tmp_path, RECORD)).startswith("cannot be read (")
    (tmp_path / "folder.png").mkdir()
    assert "cannot be read" in str(load_photo(tmp_path, ImageRecord(1, "folder.png", 4, 3)))


def test_the_close_up_shows_where_most_errors_are():
    alone = [[10, 10, 8, 8]]
    crowd = [[300 + k, 200, 8, 8] for k in range(0, 30, 10)]
    window = worst_window(RECORD, boxes_with(missed=[*alone, *crowd[:1]], false=crowd[1:]))
    assert (window.width, window.height) == (120, 90)  # 15 objects of 8 px
    x, y = window.x + window.width / 2, window.y + window.height / 2
    assert (x, y) == (314, 204)


@pytest.mark.parametrize(
    "boxes",
    [
        boxes_with(),
        boxes_with(missed=[[0, 0, 5, 5]]),
        boxes_with(false=[[395, 295, 5, 5]]),
        boxes_with(missed=[[0, 0, 400, 300]]),
        boxes_with(missed=[[390, -5, 0, 0]]),
    ],
)
@pytest.mark.parametrize("size", [(400, 300), (20, 900), (1, 1)])
def test_the_close_up_lies_in_the_image(boxes, size):
    window = worst_window(ImageRecord(1, "a.png", *size), boxes)
    assert window.width >= 1
    assert window.height >= 1
    assert 0 <= window.x <= size[0] - window.width
    assert 0 <= window.y <= size[1] - window.height


def test_the_legend_names_the_four_outcomes():
    made = box_legend(["a", "b", "c", "<d>"])
    assert made.count("<li>") == 4
    assert "&lt;d&gt;" in made
    assert all(f'class="box {outcome}"' in made for outcome in OUTCOMES)
