import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.report.sample_sheet import SampleView, draw_sample_sheet

NONE = np.empty((0, 4))


def view(width=50, height=40, boxes=NONE, regions=NONE):
    pixels = np.full((height, width, 3), 128, np.uint8)
    return SampleView(pixels, np.array(boxes, float), np.array(regions, float), "a.jpg\n1 box")


def drawn(tmp_path, samples, **options):
    path = tmp_path / "sheet.png"
    draw_sample_sheet(samples, path, **options)
    return np.asarray(Image.open(path)).astype(int)


def test_a_narrow_sample_is_enlarged_by_a_whole_factor_and_a_wide_one_reduced(tmp_path):
    grey = (drawn(tmp_path, [view()], cell=640) == 128).all(axis=2)
    assert (grey.sum(axis=1).max(), grey.sum(axis=0).max()) == (600, 480)  # 12 times
    grey = (drawn(tmp_path, [view(1000, 800)], cell=640) == 128).all(axis=2)
    assert (grey.sum(axis=1).max(), grey.sum(axis=0).max()) == (640, 512)


def test_samples_stand_row_by_row(tmp_path):
    grey = (drawn(tmp_path, [view(300, 200)] * 5, columns=2, cell=300) == 128).all(axis=2)
    assert grey.sum() == 5 * 300 * 200
    rows = grey.sum(axis=1)
    assert sorted({*rows.tolist()}) == [0, 300, 600]
    assert (rows == 600).sum() == 400


def test_lines_stand_outside_of_boxes_and_regions_are_crossed(tmp_path):
    whole = drawn(tmp_path, [view(200, 160)], cell=200)
    box = drawn(tmp_path, [view(200, 160, boxes=[[20, 30, 60, 70]])], cell=200)
    changed = np.argwhere((whole != box).any(axis=2)) - 8  # rows of y, x; 8 is the margin
    assert changed.min(axis=0).tolist() == [28, 18]
    assert changed.max(axis=0).tolist() == [71, 61]
    assert (box[38:78, 28:68] == 128).all()
    region = drawn(tmp_path, [view(200, 160, regions=[[20, 30, 60, 70]])], cell=200)
    assert (region[8 + 50, 8 + 40] != 128).any()
    assert {tuple(pixel) for pixel in box[28:90, 18:80].reshape(-1, 3)} != {
        tuple(pixel) for pixel in region[28:90, 18:80].reshape(-1, 3)
    }


def test_a_jpeg_can_be_written(tmp_path):
    draw_sample_sheet([view()], tmp_path / "new" / "sheet.jpg")
    assert Image.open(tmp_path / "new" / "sheet.jpg").format == "JPEG"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.gif", {}, r"a sheet is written as one of \.png, \.jpg, \.jpeg, not as .*a\.gif"),
        ("a.png", {"columns": 0}, "columns must be at least 1, got 0"),
        ("a.png", {"cell": -1}, "the width of a sample must be at least 1, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        draw_sample_sheet([view()], tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
