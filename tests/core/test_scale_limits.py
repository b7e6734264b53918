"""Which scales are allowed."""

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.scale_limits import ScaleLimits


def test_the_defaults_are_the_published_setting():
    limits = ScaleLimits()
    assert (limits.scale_range, limits.default_scale) == ((0.1, 1.0), 0.25)
    assert (limits.out_of_range, limits.max_tries) == ("clip", 5)


def test_the_ends_of_the_range_are_outside():
    inside = ScaleLimits().contains([0.0, 0.1, 0.100001, 0.999999, 1.0, 2.0])
    assert inside.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize(("scale", "resolved"), [(0.01, 0.1), (0.5, 0.5), (7.0, 1.0)])
def test_clip_moves_a_scale_to_the_nearer_end(scale, resolved):
    assert ScaleLimits().resolve(scale) == resolved


@pytest.mark.parametrize(("scale", "resolved"), [(0.1, 0.3), (0.5, 0.5), (1.0, 0.3)])
def test_default_replaces_a_scale_at_or_beyond_an_end(scale, resolved):
    limits = ScaleLimits(default_scale=0.3, out_of_range="default")
    assert limits.resolve(scale) == resolved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_range": (1.0, 0.1)}, r"scale_range must be .* got \(1.0, 0.1\)"),
        ({"scale_range": (0.5, 0.5)}, "scale_range must be two numbers 0 <= low < high"),
        ({"scale_range": (-0.5, 0.5)}, "scale_range must be"),
        ({"scale_range": (0.5, np.inf)}, "scale_range must be"),
        ({"scale_range": (0.5, np.nan)}, "scale_range must be"),
        ({"scale_range": (0.5,)}, "scale_range must be"),
        ({"scale_range": 0.5}, "scale_range must be"),
        ({"scale_range": ("a", "b")}, "scale_range must be"),
        ({"default_scale": 0}, "default_scale must be positive and finite, got 0"),
        ({"default_scale": np.nan}, "default_scale must be positive and finite, got nan"),
        ({"default_scale": "x"}, "default_scale must be positive and finite, got 'x'"),
        ({"out_of_range": "crop"}, 'out_of_range must be "clip" or "default", got \'crop\''),
        ({"max_tries": 0}, "max_tries must be at least 1, got 0"),
        ({"max_tries": 1.5}, "max_tries must be a whole number, got 1.5"),
    ],
)
def test_settings_that_cannot_be_are_named(options, message):
    with pytest.raises(InputError, match=message):
        ScaleLimits(**options)


def test_a_range_from_a_config_becomes_a_tuple():
    assert ScaleLimits(scale_range=[0, 2]).scale_range == (0.0, 2.0)
