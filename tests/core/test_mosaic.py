from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import SourceImage, result_sizes
from scale_match.core.histogram import SizeHistogram
from scale_match.core.mosaic import Mosaics
from scale_match.core.size_summary import ks_distance
from source_images import drawn_images

TARGET = SizeHistogram.from_sizes(np.exp(np.random.default_rng(5).normal(2.3, 0.7, 3000)))
IMAGES = drawn_images(40)
MOSAICS = Mosaics.from_images(IMAGES, TARGET)


def as_values(crops):
    return [(crop.image, crop.window.corner, crop.window.size, crop.place) for crop in crops]


def test_the_sizes_on_canvases_follow_the_target():
    crops = [
        crop
        for epoch in range(5)
        for index in range(MOSAICS.num_canvases)
        for crop in MOSAICS.sample(index, seed=9, epoch=epoch)
    ]
    assert ks_distance(result_sizes(crop.window for crop in crops), TARGET.cdf) < 0.03
    seen = {
        (crop.image, box) for crop in crops for box in np.flatnonzero(crop.window.keep).tolist()
    }
    assert len(seen) >= 0.97 * sum(int(image.counted.sum()) for image in IMAGES)


def test_crops_lie_side_by_side_on_the_canvas():
    for index in range(MOSAICS.num_canvases):
        covered = np.zeros((512, 640), int)
        for crop in MOSAICS.sample(index, seed=1, epoch=0):
            (x, y), (height, width) = crop.place, crop.window.size
            assert x >= 0
            assert y >= 0
            assert x + width <= 640
            assert y + height <= 512
            covered[y : y + height, x : x + width] += 1
        assert covered.max() == 1
        # The last canvas of a small data set is filled up with images that come twice.
        assert 0.5 < covered.mean() <= 0.85


def test_a_canvas_is_a_function_of_seed_number_and_epoch():
    few = replace(MOSAICS, num_images=4)
    assert as_values(few.sample(3, seed=1, epoch=2)) == as_values(few.sample(3, seed=1, epoch=2))
    canvases = [
        str(as_values(few.sample(index, seed=seed, epoch=epoch)))
        for index in (3, 4)
        for seed in (1, 2)
        for epoch in (0, 1)
    ]
    assert len(set(canvases)) == 8


def test_each_image_has_its_turn_in_an_epoch_and_its_crops_come_in_a_row():
    few = replace(MOSAICS, num_images=7)
    assert few.num_canvases == 6  # ceil(40 / 7)
    shown = []
    for index in range(6):
        members = [crop.image for crop in few.sample(index, seed=1, epoch=0)]
        own = [member for member, _ in groupby(members)]
        assert len(own) == len(set(own)) <= 7
        shown += own
    assert set(shown) == set(range(40))


def test_other_images_meet_on_a_canvas_in_each_epoch():
    few = replace(MOSAICS, num_images=4)
    members = {
        tuple(sorted({crop.image for crop in few.sample(0, seed=seed, epoch=epoch)}))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(members) == 4


def test_the_crops_of_an_image_show_all_its_boxes_where_there_is_room():
    crops = Mosaics(IMAGES, MOSAICS.windows, canvas=(4000, 4000), num_images=40).sample(
        0, seed=1, epoch=0
    )
    for index, image in enumerate(IMAGES):
        own = [crop.window.keep for crop in crops if crop.image == index]
        assert (np.any(own, axis=0) == image.counted).all()


def test_as_many_images_are_taken_as_fill_a_canvas():
    small = Mosaics.uncalibrated(IMAGES, TARGET, canvas=(128, 160), crop=(64, 64))
    assert 1 <= small.num_images < MOSAICS.num_images <= len(IMAGES)
    assert small.num_canvases == -(-40 // small.num_images)
    moved = Mosaics.from_images(IMAGES, TARGET, canvas=(128, 160), crop=(64, 64))
    assert moved.num_canvases == small.num_canvases


def test_there_are_no_more_canvases_than_an_epoch_has():
    with pytest.raises(ValueError, match="an epoch has 2 canvases, but not number 2"):
        replace(MOSAICS, num_images=20).sample(2, seed=0, epoch=0)


def test_an_image_without_boxes_is_background():
    empty = SourceImage.of_boxes(7, 400, 500, np.empty((0, 4)))
    (crop,) = Mosaics([empty], MOSAICS.windows, num_images=1).sample(0, seed=0, epoch=0)
    assert crop.window.corner == (0, 0, 500, 400)
    assert crop.window.size == (100, 125)
    assert crop.place == (0, 0)


def test_what_has_no_room_is_left_out():
    small = Mosaics(IMAGES, MOSAICS.windows, canvas=(60, 60))
    crops = [crop for index in range(10) for crop in small.sample(index, seed=0, epoch=0)]
    assert crops
    assert all(max(crop.window.size) <= 60 for crop in crops)
    assert Mosaics(IMAGES, MOSAICS.windows, canvas=(1, 1)).sample(0, seed=0, epoch=0) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "num_images must be at least 1, got 0"),
        ({"canvas": (0, 9)}, "height of the canvas must be at least 1, got 0"),
        ({"canvas": (9, 1.5)}, "width of the canvas must be a whole number, got 1.5"),
    ],
)
def test_a_setting_that_breaks_its_rule_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        Mosaics(IMAGES, MOSAICS.windows, **arguments)
