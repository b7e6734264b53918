import re

import pytest

from scale_match.report.series import MOST_SERIES

SERIES = [f"s{place}" for place in range(MOST_SERIES)]


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(params=["light", "dark"])
def colours(request, repository):
    style = (repository / "projects/scale_match/report/style.css").read_text()
    light, dark = re.findall(r":root {(.*?)}", style, re.DOTALL)
    chosen = light if request.param == "light" else dark
    return dict(re.findall(r"--(\w[\w-]*): #([0-9a-f]{3,6})", chosen))


def test_contrast_is_as_the_definition_has_it():
    assert contrast("000", "ffffff") == pytest.approx(21)
    assert contrast("767676", "fff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("text", ["text", "soft", "link"])
def test_texts_can_be_read(colours, text):
    for ground in ("ground", "panel", "notice"):
        assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("mark", [*SERIES, "found", "missed", "notice-line"])
def test_marks_stand_out_from_the_ground(colours, mark):
    assert contrast(colours[mark], colours["ground"]) >= 3


def test_both_schemes_set_the_same_colours(repository):
    style = (repository / "projects/scale_match/report/style.css").read_text()
    light, dark = (
        set(re.findall(r"--(\w[\w-]*):", block))
        for block in re.findall(r":root {(.*?)}", style, re.DOTALL)
    )
    assert light == dark
    used = set(re.findall(r"var\(--([\w-]+)\)", style)) - {"c"}
    assert used <= light
