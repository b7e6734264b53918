import numpy as np
import pytest

from scale_match.toy.distractors import draw_distractor
from scale_match.toy.figures import draw_person
from scale_match.toy.shapes import Drawing, capsule, disc, ellipse, polygon, rectangle

RED = (200, 0, 0)


def test_an_ellipse_touches_the_four_sides_of_its_box():
    drawing = Drawing((ellipse(3.0, 4.0, 2.0, 1.0, RED),))
    assert drawing.extent() == pytest.approx((1.0, 3.0, 5.0, 5.0))


def test_a_disc_is_a_round_ellipse():
    assert Drawing((disc(1.0, 1.0, 1.0, RED),)).extent() == pytest.approx((0.0, 0.0, 2.0, 2.0))


def test_a_capsule_reaches_half_its_width_beyond_both_ends():
    upright = Drawing((capsule((0.0, 0.0), (0.0, 10.0), 2.0, RED),))
    assert upright.extent() == pytest.approx((-1.0, -1.0, 1.0, 11.0))
    level = Drawing((capsule((5.0, 0.0), (0.0, 0.0), 2.0, RED),))
    assert level.extent() == pytest.approx((-1.0, -1.0, 6.0, 1.0))


@pytest.mark.parametrize("end", [(3.0, 4.0), (-3.0, 4.0), (0.0, 5.0), (5.0, 0.0)])
def test_a_capsule_has_the_area_of_a_stroke_with_round_ends(end):
    points = capsule((0.0, 0.0), end, 2.0, RED).points
    x, y = points.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))  # shoelace formula
    assert area == pytest.approx(5.0 * 2.0 + np.pi, rel=0.03)


def test_a_capsule_without_length_is_a_disc():
    assert Drawing((capsule((1.0, 1.0), (1.0, 1.0), 2.0, RED),)).extent() == pytest.approx(
        (0.0, 0.0, 2.0, 2.0)
    )


def test_the_extent_spans_all_parts():
    drawing = Drawing((rectangle(0.0, 0.0, 1.0, 1.0, RED), polygon([(2, 3), (4, 3), (2, 5)], RED)))
    assert drawing.extent() == (0.0, 0.0, 4.0, 5.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_placed_drawing_has_its_box_where_and_as_large_as_asked(mirrored):
    drawing = draw_person(np.random.default_rng(3))
    left, top, right, bottom = drawing.placed(x=12.5, y=7.25, size=9.0, mirrored=mirrored).extent()
    assert (left, top) == pytest.approx((12.5, 7.25))
    assert np.sqrt((right - left) * (bottom - top)) == pytest.approx(9.0)


def test_placing_keeps_proportions():
    drawing = Drawing((rectangle(0.0, 0.0, 2.0, 8.0, RED),))
    assert drawing.placed(x=0.0, y=0.0, size=2.0).extent() == pytest.approx((0.0, 0.0, 1.0, 4.0))


def test_mirroring_exchanges_left_and_right():
    drawing = Drawing((polygon([(0.0, 0.0), (4.0, 0.0), (0.0, 1.0)], RED),))
    mirrored = drawing.placed(x=0.0, y=0.0, size=2.0, mirrored=True)
    assert mirrored.parts[0].points.tolist() == [[4.0, 0.0], [0.0, 0.0], [4.0, 1.0]]


def test_placing_leaves_the_drawing_as_it_was():
    drawing = draw_person(np.random.default_rng(0))
    before = [part.points.copy() for part in drawing.parts]
    drawing.placed(x=100.0, y=50.0, size=20.0, mirrored=True)
    assert all((part.points == old).all() for part, old in zip(drawing.parts, before, strict=True))


def _aspects(draw):
    extents = np.array([draw(np.random.default_rng(seed)).extent() for seed in range(300)])
    return (extents[:, 2] - extents[:, 0]) / (extents[:, 3] - extents[:, 1])


def test_persons_are_about_a_unit_high_and_mostly_higher_than_wide():
    aspects = _aspects(draw_person)
    assert np.median(aspects) == pytest.approx(0.56, abs=0.03)
    assert (aspects < 1.0).mean() > 0.9


def test_distractors_have_the_proportions_of_persons():
    persons, distractors = _aspects(draw_person), _aspects(draw_distractor)
    assert np.median(distractors) == pytest.approx(np.median(persons), rel=0.15)


def test_distractors_come_in_many_kinds():
    shapes = {
        tuple(len(part.points) for part in draw_distractor(np.random.default_rng(seed)).parts)
        for seed in range(200)
    }
    assert len(shapes) >= 9
