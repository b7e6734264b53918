import numpy as np
import pytest

from scale_match.toy.canvas import Canvas
from scale_match.toy.figures import draw_person
from scale_match.toy.shapes import Drawing, rectangle

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def _canvas(width=32, height=24, level=0.0):
    return Canvas(np.full((height, width, 3), level, dtype=np.float32))


def _square(left, top, right, bottom, colour=WHITE):
    return Drawing((rectangle(left, top, right, bottom, colour),))


def test_a_shape_on_whole_pixels_covers_exactly_these():
    canvas = _canvas()
    canvas.paint(_square(4.0, 6.0, 10.0, 9.0))
    expected = np.zeros((24, 32))
    expected[6:9, 4:10] = 255.0
    np.testing.assert_allclose(canvas.pixels()[..., 0], expected, atol=1.0)


def test_a_half_covered_pixel_gets_half_of_the_colour():
    canvas = _canvas()
    canvas.paint(_square(4.5, 6.0, 10.0, 9.0))
    # Pillow fills all that an outline touches: up to one sixteenth of a pixel too much.
    assert canvas.pixels()[7, 4, 0] == pytest.approx(127.5, abs=255.0 / 16)
    assert canvas.pixels()[7, 3, 0] == 0.0


def test_what_is_painted_stays_inside_its_box():
    for seed in range(20):
        canvas = _canvas(64, 64)
        placed = draw_person(np.random.default_rng(seed)).placed(x=20.3, y=10.7, size=9.0)
        canvas.shade(placed, strength=0.0)
        canvas.paint(Drawing(tuple(type(p)(p.points, WHITE) for p in placed.parts)))
        rows, columns = np.nonzero(canvas.pixels()[..., 0] > 0.0)
        left, top, right, bottom = placed.extent()
        # A share of a pixel below the sixteenth that is filled may be missing.
        assert columns.min() == np.floor(left + 0.05)
        assert columns.max() + 1 == np.ceil(right - 0.05)
        assert rows.min() == np.floor(top + 0.05)
        assert rows.max() + 1 == np.ceil(bottom - 0.05)


@pytest.mark.parametrize("size", [2.0, 5.0, 20.0, 60.0])
def test_the_painted_area_is_that_of_the_shape(size):
    canvas = _canvas(128, 128)
    canvas.paint(_square(10.3, 10.6, 10.3 + size, 10.6 + size))
    assert canvas.pixels()[..., 0].sum() / 255.0 == pytest.approx(size**2, rel=0.08)


def test_edges_have_no_fringe_of_another_colour():
    canvas = _canvas(level=255.0)
    canvas.paint(_square(4.5, 4.5, 9.5, 9.5, colour=WHITE))
    np.testing.assert_allclose(canvas.pixels(), 255.0, atol=0.5)


def test_opacity_mixes_with_the_ground():
    canvas = _canvas(level=100.0)
    canvas.paint(_square(4.0, 4.0, 8.0, 8.0), opacity=0.5)
    assert canvas.pixels()[5, 5, 0] == pytest.approx(0.5 * 100.0 + 0.5 * 255.0)


def test_later_drawings_hide_earlier_ones():
    canvas = _canvas()
    first = canvas.paint(_square(0.0, 0.0, 10.0, 10.0))
    second = canvas.paint(_square(5.0, 0.0, 15.0, 10.0))
    shares = canvas.visible_shares()
    assert shares[first] == pytest.approx(0.5)
    assert shares[second] == 1.0


def test_a_pixel_covered_by_less_than_half_is_not_hidden():
    canvas = _canvas()
    first = canvas.paint(_square(0.0, 0.0, 10.0, 10.0))
    canvas.paint(_square(9.6, 0.0, 20.0, 10.0))
    assert canvas.visible_shares()[first] == 1.0


def test_a_shadow_darkens_and_hides_nothing():
    canvas = _canvas(level=200.0)
    number = canvas.paint(_square(0.0, 0.0, 10.0, 10.0))
    canvas.shade(_square(5.0, 0.0, 15.0, 10.0), strength=0.5)
    assert canvas.pixels()[5, 7, 0] == pytest.approx(127.5)
    assert canvas.pixels()[5, 12, 0] == pytest.approx(100.0)
    assert canvas.visible_shares()[number] == 1.0


def test_parts_outside_of_the_image_are_cut_off():
    canvas = _canvas()
    canvas.paint(_square(-5.0, -5.0, 3.0, 3.0))
    assert (canvas.pixels()[:3, :3] > 250.0).all()
    assert canvas.pixels()[3:].sum() == 0.0


def test_a_drawing_outside_of_the_image_is_counted_and_not_visible():
    canvas = _canvas()
    assert canvas.paint(_square(40.0, 0.0, 50.0, 5.0)) == 0
    canvas.shade(_square(40.0, 0.0, 50.0, 5.0), strength=1.0)
    assert canvas.paint(_square(0.0, 0.0, 5.0, 5.0)) == 1
    assert canvas.visible_shares().tolist() == [0.0, 1.0]
    assert canvas.size == (32, 24)


def test_the_background_given_is_copied():
    background = np.zeros((8, 8, 3), dtype=np.float32)
    Canvas(background).paint(_square(0.0, 0.0, 8.0, 8.0))
    assert background.sum() == 0.0
