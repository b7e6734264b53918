from dataclasses import replace

import pytest

from data_samples import box, image, write_data
from scale_match.engine.data_doctor import DoctorSettings, diagnose
from scale_match.report.advice_text import advice_text, percent


@pytest.fixture
def diagnosis(tmp_path):
    boxes = [box(k, 1, [30 * k, 9, 12, 24]) for k in range(30)]
    path = write_data(tmp_path, [image(1, "a.jpg", 1920, 1080)], boxes)
    return diagnose(DoctorSettings(path)).diagnosis


def text_of(diagnosis, **changes):
    return " ".join(advice_text(diagnosis.summary, replace(diagnosis.advice, **changes)).split())


def test_each_piece_of_advice_is_there_with_its_reason(diagnosis):
    text = text_of(diagnosis)
    for words in (
        "strides [",
        "the fewest anchors within one point",
        "anchor sizes 8-13, ",
        "aspect ratios [",
        "FCOS ranges (-1, ",
        "tiles 640x512 px, overlap 100x100: the default holds the objects; 12.0 tiles per image",
        "limit 5.4 px, below which one pixel of error",
        "crowding 30 objects in the fullest image; 0 (0 %) overlap",
        "Scale Match SCALE_RANGE [0.17, 0.18]: holds nine of ten factors from COCO (99.5 px)",
        "memory 0.4",
    ):
        assert words in text


def test_scale_match_is_not_advised_for_objects_as_large_as_the_sources(diagnosis):
    scale = replace(diagnosis.advice.scale_match, mu_sigma=(4.5, 0.1))
    assert "not worth it: the objects (90 px) are hardly smaller" in text_of(
        diagnosis, scale_match=scale
    )
    assert "Scale Match" not in text_of(diagnosis, scale_match=None)


def test_other_tiles_than_the_default_are_compared_with_it(diagnosis):
    tiles = replace(diagnosis.advice.tiles, whole_share=1.0, default_whole_share=0.9)
    assert "100.0 % of the objects whole in one, with the default 90.0 %" in text_of(
        diagnosis, tiles=tiles
    )
    tiles = replace(tiles, enabled=False, reason="because")
    assert "tiles none: because" in text_of(diagnosis, tiles=tiles)


def test_ratios_of_the_data_say_so(diagnosis):
    anchors = replace(diagnosis.advice.anchors, aspect_ratios=(1.0, 2.0, 3.0))
    assert "[1, 2, 3] (height / width): the middles of the thirds" in text_of(
        diagnosis, anchors=anchors
    )


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.1, "10 %"), (1.0, "100 %")]
)
def test_a_share_has_two_digits(share, text):
    assert percent(share) == text
