import warnings

import numpy as np
import pytest
from PIL import Image

from scale_match.data.resizing import resize_antialiased, resize_part

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (61, 83, 3), dtype=np.uint8)


def by_pil(pixels, size, box=None):
    image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR, box=box)
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    "size", [(30, 40), (15, 20), (7, 9), (60, 20), (61, 40), (1, 1), (122, 90)]
)
def test_it_is_the_resize_of_pil(size):
    resized = resize_antialiased(NOISE, size)
    assert (resized.shape, resized.dtype) == ((*size, 3), np.uint8)
    difference = np.abs(resized - by_pil(NOISE, size))
    assert difference.mean() < 0.05
    assert difference.max() <= 2


def test_the_same_size_gives_the_same_pixels():
    assert (resize_antialiased(NOISE, (61, 83)) == NOISE).all()


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels_works(channels):
    pixels = RNG.integers(0, 256, (40, 50, channels), dtype=np.uint8)
    resized = resize_antialiased(pixels, (20, 30))
    assert resized.shape == (20, 30, channels)
    difference = np.abs(resized[:, :, 0] - by_pil(pixels[:, :, 0].copy(), (20, 30)))
    assert difference.max() <= 1


def test_mirrored_and_read_only_pixels_are_taken_silently():
    fixed = NOISE.copy()
    fixed.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = resize_antialiased(fixed, (20, 30))
        mirrored = resize_antialiased(NOISE[:, :, ::-1], (20, 30))
    assert (mirrored == first[:, :, ::-1]).all()


@pytest.mark.parametrize("size", [(20, 30), (15, 21), (30, 41), (1, 1)])
@pytest.mark.parametrize("extent", [(60.5, 82.25), (61, 82.5), (60.125, 83), (61.0, 83.0)])
def test_a_part_that_ends_between_pixels_is_stretched_over_the_new_image(size, extent):
    resized = resize_antialiased(NOISE, size, extent)
    assert resized.shape == (*size, 3)
    expected = by_pil(NOISE, size, box=(0, 0, extent[1], extent[0]))
    # PIL cuts the filter off at the box, torch at the image: only the last row and column differ.
    inner = np.abs(resized - expected)[: size[0] - 1, : size[1] - 1]
    assert inner.size == 0 or (inner.mean() < 0.05 and inner.max() <= 2)


@pytest.mark.parametrize("size", [(20, 30), (7, 9)])
def test_a_box_between_pixels_is_what_pil_makes_of_it(size):
    box = (10.25, 3.5, 70.75, 44.125)
    resized = resize_part(NOISE, box, size)
    assert resized.shape == (*size, 3)
    assert np.abs(resized - by_pil(NOISE, size, box=box)).mean() < 1.0  # of pixels beside the box
    grey = resize_part(NOISE[:, :, :1], box, size)
    assert (grey[:, :, 0] == resized[:, :, 0]).all()


def test_a_box_on_pixels_is_cut_out_and_resized():
    expected = resize_antialiased(NOISE[3:44, 10:70], (20, 30))
    assert (resize_part(NOISE, (10.0, 3.0, 70.0, 44.0), (20, 30)) == expected).all()
