import numpy as np
import pytest

from data_samples import objects_of, random_objects
from scale_match.core.anchor_advice import (
    advise_fcos,
    choose_pyramid,
    data_aspect_ratios,
    describe_pyramid,
)
from scale_match.modeling.levels import PyramidLevels

FINE, COARSE = PyramidLevels(), PyramidLevels(strides=(8, 16, 32, 64, 128))


def test_large_objects_get_the_pyramid_with_fewer_anchors():
    objects = random_objects(0, 300, low=40.0, high=120.0)
    assert choose_pyramid([FINE, COARSE], objects) is COARSE


def test_tiny_objects_get_the_fine_pyramid():
    objects = random_objects(0, 300, low=6.0, high=16.0)
    assert choose_pyramid([COARSE, FINE], objects) is FINE


def test_few_tiny_objects_among_large_ones_are_not_given_up():
    large, tiny = (
        random_objects(0, 980, low=40.0, high=90.0),
        random_objects(1, 20, low=12, high=16),
    )
    objects = objects_of(np.concatenate([large.boxes, tiny.boxes]))
    recalls = [describe_pyramid(one, objects).recall for one in (COARSE, FINE)]
    assert recalls[1]["all"] - recalls[0]["all"] < 0.01  # on the whole they are equally good
    assert recalls[1]["tiny3"] - recalls[0]["tiny3"] > 0.05
    assert choose_pyramid([COARSE, FINE], objects) is FINE


def test_of_equal_candidates_the_first_is_taken():
    same = PyramidLevels()
    objects = random_objects(0, 50)
    assert choose_pyramid([FINE, same], objects) is FINE
    assert choose_pyramid([same, FINE], objects) is same


def test_one_more_coarse_level_does_not_count_as_cost():
    shorter = PyramidLevels(strides=(4, 8, 16, 32))
    objects = random_objects(0, 100, low=10.0, high=40.0)
    assert choose_pyramid([FINE, shorter], objects) is FINE


def test_where_no_candidate_is_good_in_every_range_the_best_on_the_whole_is_taken():
    fine, coarse = PyramidLevels(strides=(4,)), PyramidLevels(strides=(32,))
    large, tiny = random_objects(0, 60, low=60.0, high=90), random_objects(1, 40, low=9, high=11)
    objects = objects_of(np.concatenate([large.boxes, tiny.boxes]))
    assert choose_pyramid([fine, coarse], objects) is coarse


def test_the_ratios_of_the_data_are_the_middles_of_its_thirds():
    assert data_aspect_ratios(np.array([0.5, 0.5, 1.0, 1.0, 3.0, 3.0])) == (0.5, 1.0, 3.0)
    assert data_aspect_ratios(np.array([2.0])) == (2.0, 2.0, 2.0)


def test_a_description_tells_the_scale_that_made_the_sizes():
    pyramid = PyramidLevels(anchor_scale=3.0, scales_per_octave=2, strides=(8, 16))
    advice = describe_pyramid(pyramid, random_objects(0, 20))
    assert (advice.anchor_scale, advice.scales_per_octave) == (3.0, 2)
    assert advice.strides == (8, 16)
    assert 0.0 < advice.mean_iou <= 1.0


def test_enlarging_the_images_is_like_a_finer_pyramid_with_smaller_anchors():
    objects = random_objects(2, 200, low=4.0, high=20.0)
    doubled = describe_pyramid(COARSE, objects, zoom=2.0)
    assert doubled.recall == describe_pyramid(FINE, objects).recall


def test_fcos_ranges_are_those_of_the_authors_on_their_strides():
    advice = advise_fcos([4, 8, 16, 32, 64], objects_of([[0, 0, 5, 5]]))
    assert advice.ranges == ((-1, 16), (16, 32), (32, 64), (64, 128), (128, None))


def test_an_object_belongs_to_the_level_of_half_its_longer_side():
    objects = objects_of([[0, 0, 32, 4], [0, 0, 4, 33], [0, 0, 300, 300], [0, 0, 64, 64]])
    assert advise_fcos([4, 8, 16], objects).shares == (0.25, 0.5, 0.25)
    assert advise_fcos([4], objects).shares == (1.0,)
    assert sum(advise_fcos([8, 16, 32], random_objects(0, 70)).shares) == pytest.approx(1.0)
