import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.report.drawing import draw_detections

GREY = np.full((40, 60, 3), 128, dtype=np.uint8)
NO_BOXES = np.empty((0, 4))


def _draw(**arguments):
    defaults = {"boxes_xyxy": NO_BOXES, "scores": np.empty(0)}
    return draw_detections(GREY, **{**defaults, **arguments})


def _changed(picture, other):
    return np.argwhere((picture != other).any(axis=2))  # rows of y, x


def test_the_picture_is_the_image_twice_as_large_with_a_legend_below():
    picture = _draw()
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 120
    assert picture.shape[0] > 80
    assert (picture[:80] == 128).all()


def test_lines_stand_outside_of_the_box_so_that_the_object_can_be_seen():
    box = np.array([[20.0, 15.0, 24.0, 25.0]])
    picture = _draw(boxes_xyxy=box, scores=np.array([0.9]), ground_truth=box, ignored=box)
    assert (picture[30:50, 40:48] == 128).all()
    changed = _changed(picture[:80], _draw()[:80])
    assert len(changed) > 0
    assert changed.min(axis=0).tolist() >= [15, 25]  # and they stay near: within 15 pixels
    assert changed.max(axis=0).tolist() <= [65, 63]


def test_detections_below_the_least_score_are_not_drawn():
    boxes = np.array([[10.0, 10.0, 14.0, 14.0]])
    low = _draw(boxes_xyxy=boxes, scores=np.array([0.29]))
    np.testing.assert_array_equal(low[:80], _draw()[:80])
    shown = _draw(boxes_xyxy=boxes, scores=np.array([0.29]), min_score=0.25)
    assert len(_changed(shown[:80], low[:80])) > 0


def test_detections_ground_truth_and_ignored_boxes_look_different():
    box = np.array([[20.0, 15.0, 30.0, 25.0]])
    kinds = [
        _draw(boxes_xyxy=box, scores=np.array([1.0])),
        _draw(ground_truth=box),
        _draw(ignored=box),
    ]
    for index, picture in enumerate(kinds):
        other = kinds[(index + 1) % 3]
        assert len(_changed(picture[:80], other[:80])) > 0


def test_boxes_beyond_the_border_are_drawn_as_far_as_they_go():
    box = np.array([[-5.0, -5.0, 70.0, 50.0]])
    assert _draw(boxes_xyxy=box, scores=np.array([1.0])).shape[1] == 120


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".jpg", "JPEG"), (".JPEG", "JPEG")])
def test_the_picture_is_written(tmp_path, suffix, kind):
    path = tmp_path / f"picture{suffix}"
    picture = _draw(path=path)
    with Image.open(path) as written:
        assert written.format == kind
        assert written.size == (picture.shape[1], picture.shape[0])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_image_given_stays_as_it_was():
    before = GREY.copy()
    _draw(boxes_xyxy=np.array([[1.0, 1.0, 9.0, 9.0]]), scores=np.array([1.0]))
    np.testing.assert_array_equal(GREY, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": np.ones(2)}, r"one row of 4 for each of the 2 scores.*\(0, 4\)"),
        ({"enlarge": 0}, "`enlarge` must be at least 1, but is 0"),
    ],
)
def test_arrays_and_factors_of_another_kind_are_errors(arguments, message):
    with pytest.raises(InputError, match=message):
        _draw(**arguments)


def test_an_image_of_another_kind_is_an_error():
    with pytest.raises(InputError, match=r"\(H, W, 3\) array of uint8.*float64"):
        draw_detections(GREY / 255.0, NO_BOXES, np.empty(0))


def test_another_kind_of_file_is_an_error_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.jpg.*picture\.gif"):
        _draw(path=tmp_path / "picture.gif")
    assert not list(tmp_path.iterdir())
