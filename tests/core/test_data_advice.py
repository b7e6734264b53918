import numpy as np
import pytest

from data_samples import objects_of, random_objects
from scale_match.core.boxes import pairwise_iou, xywh_to_xyxy
from scale_match.core.data_advice import (
    BACKBONES,
    advise_limit,
    advise_memory,
    advise_scale_match,
    count_crowding,
    pixel_error_limit,
    training_bytes,
)
from scale_match.core.scale_limits import ScaleLimits
from scale_match.modeling.levels import PyramidLevels


@pytest.mark.parametrize("iou", [0.25, 0.5, 0.75])
def test_at_the_limit_one_pixel_of_error_leaves_just_that_iou(iou):
    side = pixel_error_limit(iou)
    moved = pairwise_iou([[0, 0, side, side]], [[1, 1, side + 1, side + 1]])
    assert moved[0, 0] == pytest.approx(iou)


def test_objects_below_the_limit_and_below_a_cell_are_counted():
    objects = objects_of([[0, 0, 3, 3], [0, 0, 5, 5], [0, 0, 5.5, 5.5], [0, 0, 20, 20]])
    advice = advise_limit(4, objects)
    assert (advice.below_limit, advice.below_cell) == (0.5, 0.25)
    assert advice.zoom == 2.0  # a tenth lies below 3.6 px, which needs 1.51, in halves


def test_large_objects_need_no_zoom():
    assert advise_limit(8, random_objects(0, 50, low=20)).zoom == 1.0


def test_zoom_lifts_nine_of_ten_above_the_limit():
    objects = random_objects(0, 999, low=1.0, high=30.0)
    advice = advise_limit(4, objects)
    assert (advice.zoom * objects.sizes >= advice.limit).mean() >= 0.9


def test_crowded_objects_are_those_that_overlap_one_of_their_category_and_image():
    boxes = [[0, 0, 10, 10], [1, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 0, 10, 10]]
    objects = objects_of(
        boxes, [(50, 50), (50, 50)], rows=[0, 0, 0, 1, 1], categories=[1, 1, 2, 1, 1]
    )
    crowding = count_crowding(objects)
    assert (crowding.overlapping, crowding.overlapping_share) == (2, 0.4)
    assert crowding.most_per_image == 3


def test_crowding_is_that_of_the_matrix_of_all_pairs():
    objects = random_objects(4, 400, sides=(200, 200), low=10, high=40)
    iou = pairwise_iou(*[xywh_to_xyxy(objects.boxes)] * 2)
    np.fill_diagonal(iou, 0.0)
    assert count_crowding(objects, 0.4).overlapping == (iou > 0.4).any(axis=1).sum() > 0


def test_no_objects_are_no_crowd():
    crowding = count_crowding(objects_of([]))
    assert (crowding.most_per_image, crowding.overlapping, crowding.overlapping_share) == (0, 0, 0)


def test_nine_of_ten_factors_lie_in_the_advised_range():
    generator = np.random.default_rng(0)
    target = np.exp(generator.normal(2.7, 0.5, 4000))
    source = np.exp(generator.normal(4.5, 0.6, 4000))
    advice = advise_scale_match(target, source, "s.json")
    factors = target / generator.permutation(source)
    low, high = advice.scale_range
    assert 0.89 < ((factors > low) & (factors < high)).mean() < 0.93
    assert advice.mu_sigma == pytest.approx((2.7, 0.5), abs=0.03)
    assert advice.source_size == pytest.approx(np.exp(4.5), rel=0.05)
    clipped = (~ScaleLimits().contains(factors)).mean()
    assert advice.clipped_by_default == pytest.approx(clipped, abs=0.02)


def test_without_a_source_the_mean_of_coco_stands_for_it():
    advice = advise_scale_match(np.full(10, 9.95))
    assert (advice.source, advice.source_size) == ("COCO", pytest.approx(99.5))
    assert advice.clipped_by_default == 1.0  # all factors are 0.1, which is no inner one


def test_a_target_larger_than_the_source_keeps_the_default_range():
    assert advise_scale_match(np.full(9, 500.0)).scale_range == ScaleLimits().scale_range


@pytest.mark.parametrize("size", [0.1, 4.975, 20.0, 99.5])
def test_a_range_of_one_factor_holds_it(size):
    low, high = advise_scale_match(np.full(9, size)).scale_range
    assert low < size / 99.5 <= high


@pytest.mark.parametrize("backbone", BACKBONES)
def test_memory_grows_with_pixels_classes_and_finer_strides(backbone):
    fine, coarse = PyramidLevels(), PyramidLevels(strides=(8, 16, 32))
    base = training_bytes(backbone, fine, 1e5, 1)
    assert training_bytes(backbone, fine, 2e5, 1) == pytest.approx(2 * base)
    assert training_bytes(backbone, fine, 1e5, 9) > base
    assert training_bytes(backbone, coarse, 1e5, 1) < base


def test_memory_of_a_tile_is_told_only_where_there_are_tiles():
    objects = random_objects(0, 9, sides=(1920, 1080))
    advice = advise_memory("r50", PyramidLevels(), objects, 1, (640, 512))
    assert advice.per_tile == pytest.approx(advice.per_image * 640 * 512 / (1920 * 1080))
    assert advise_memory("r50", PyramidLevels(), objects, 1, None).per_tile is None
