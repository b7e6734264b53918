import numpy as np
import pytest

from object_samples import objects, squares
from scale_match.core.data_summary import Objects
from scale_match.core.preflight import (
    Finding,
    Limit,
    check_limits,
    check_memory,
    check_rate,
    check_sizes,
    check_test_tiles,
    check_training_tiles,
)


def tiles(boxes, sides, tile=(100, 100), overlap=(20, 20)):
    return check_test_tiles(objects(boxes, sides), tile, overlap, keys=("SIZE", "OVERLAP"))


def test_objects_smaller_than_the_overlap_lie_whole_in_a_tile():
    boxes = [[x, 30, 20, 20] for x in range(0, 160, 7)]
    assert tiles(boxes, (180, 100)) == Finding("tiles of test images")


def test_objects_that_tiles_cut_are_named_with_the_overlap_that_they_need():
    found = tiles([[70, 10, 40, 30], [0, 0, 10, 10]], (180, 100))
    assert found.problem == (
        "50 % of 2 test boxes lie whole in no tile of 100x100 px (SIZE) with overlap 20x20 "
        "(OVERLAP); 99 % of them are no larger than 40x30 px, which the overlap must hold"
    )


def test_tiles_by_the_hundred_are_too_many():
    assert not tiles([], (1000, 1000)).problem
    found = tiles([], (4000, 1000))
    assert found.problem.startswith("an image of 4000x1000 px is cut into 650 tiles of 100x100")


def test_without_a_test_image_tiles_are_not_judged():
    empty = Objects(np.empty((0, 4)), np.empty(0, int), np.empty(0, int), np.empty((0, 2)))
    found = check_test_tiles(empty, (10, 10), (2, 2), keys=("SIZE", "OVERLAP"))
    assert found.skipped == "there is no test image"


def test_boxes_that_belong_to_no_training_tile_are_counted():
    assert not check_training_tiles(100, 95, (64, 64), key="KEY").problem
    assert not check_training_tiles(0, 0, (64, 64), key="KEY").problem
    assert check_training_tiles(100, 90, (64, 48), key="KEY").problem == (
        "10 of 100 boxes (10 %) belong to no tile of 64x48 px (KEY) and are not trained on: take "
        "larger tiles or more overlap"
    )


def fullest(**numbers):
    """Greatest numbers of boxes, all in one image."""
    return {place: (number, "a.jpg") for place, number in numbers.items()}


def test_limits_above_the_fullest_image_are_no_problem():
    limits = [Limit("A", 100, "image"), Limit("B", 20, "tile"), Limit("C", -1, "image")]
    assert check_limits(limits, fullest(image=100, tile=20)) == Finding("detection limits")


def test_a_limit_under_the_fullest_image_is_named_with_a_number_that_is_enough():
    found = check_limits([Limit("A", 100, "image")], fullest(image=832, tile=50))
    assert found.problem == (
        "A (100 per image) is under the 832 boxes in the fullest image, a.jpg: set it to 900 or "
        "more"
    )


def test_limits_of_a_tile_are_compared_with_a_tile():
    limits = [Limit("A", 100, "tile"), Limit("B", 200, "tile")]
    found = check_limits(limits, fullest(image=832, tile=300))
    assert found.problem == (
        "A (100 per tile) and B (200 per tile) are under the 300 boxes in a tile of a.jpg: set "
        "them to 300 or more"
    )


def test_each_limit_is_compared_with_the_fullest_of_its_own_places():
    most = {"image": (832, "a.jpg"), "tile": (300, "a.jpg"), "category": (120, "b.jpg")}
    limits = [Limit("A", 100, "category"), Limit("B", 500, "image"), Limit("C", 150, "category")]
    assert check_limits(limits, most).problem == (
        "A (100 per category) is under the 120 boxes of one category in b.jpg: set it to 200 or "
        "more; B (500 per image) is under the 832 boxes in the fullest image, a.jpg: set it to 900 "
        "or more"
    )


def test_limits_under_the_same_boxes_are_named_together():
    limits = [Limit("A", 100, "category"), Limit("B", 100, "image")]
    found = check_limits(limits, fullest(image=400, category=400))
    assert found.problem.startswith("A (100 per category) and B (100 per image) are under the 400 ")


def sizes(training, testing, zooms=None):
    return check_sizes(squares(*training), squares(*testing), zooms=zooms, key="KEY")


def test_sizes_that_agree_within_a_factor_are_no_problem():
    assert sizes([10], [29]) == Finding("training against test sizes")
    assert sizes([10], [12], zooms=(1.0, 1.2)) == Finding("training against test sizes")


def test_a_resize_in_testing_only_is_named():
    assert sizes([10, 20, 20], [14], zooms=(1.0, 0.69)).problem == (
        "images are resized by 1 in training and by 0.69 in testing (median sizes of boxes are "
        "20 and 14 px): KEY should be the same in both"
    )


def test_sizes_far_apart_are_named_in_either_direction():
    assert sizes([10], [50]).problem == (
        "median sizes of boxes are 10 and 50 px in training and in testing, 5 times apart: see "
        "KEY, or choose data, tiles or Scale Match so that they agree"
    )
    assert "5 times apart" in sizes([50], [10]).problem


def test_sizes_of_nothing_are_not_compared():
    for training, testing in (([], [5]), ([5], [])):
        assert "there is no box" in sizes(training, testing).skipped


def rate(value, batch, optimizer="sgd"):
    return check_rate(value, batch, optimizer, keys=("RATE", "REFERENCE"))


@pytest.mark.parametrize(
    ("value", "batch"),
    # Rows exp1.1, 1.2, 4.0 with its pretraining, 4.1's, 2.1, 6.1; the seed's 8 x 2, 4 x 2, 2 x 2.
    [
        *((0.02, 4), (0.01, 2), (0.01, 16), (0.01, 8), (0.005, 1), (0.01, 4)),
        *((0.02, 16), (0.01, 8), (0.005, 4)),
    ],
)
def test_published_learning_rates_are_no_problem(value, batch):
    assert rate(value, batch) == Finding("learning rate")


def test_a_rate_for_another_batch_is_named():
    assert rate(0.02, 1).problem == (
        "RATE 0.02 with batches of 1 is 16 times the linear rule's 0.02 x 1 / 16 = 0.00125 "
        "(published rows have 0.5 to 4 times it): change RATE, or say in REFERENCE which batch it "
        "is for"
    )
    assert "0.1 times the linear rule's" in rate(0.002, 16).problem


def test_a_rate_of_sgd_is_large_for_adamw():
    assert rate(0.0005, 4, "adamw") == rate(0.001, 4, "adamw") == Finding("learning rate")
    assert rate(0.01, 8, "adamw").problem == (
        "RATE 0.01 is large for AdamW, whose rates are around 0.0001 to 0.001"
    )


def test_another_optimizer_has_no_rule():
    assert rate(0.5, 4, "lion") == Finding("learning rate", skipped="lion has no rule")


def test_a_step_must_fit_with_a_tenth_to_spare():
    def memory(needed):
        return check_memory(needed, 10e9, what="the GPU", keys=["BATCH", "PARTS (raise it)"])

    assert memory(9e9) == Finding("memory")
    assert memory(9.1e9).problem
    assert memory(12.3e9).problem == (
        "a training step needs about 12 GB (a coarse estimate), and the GPU has 10 GB: lower "
        "BATCH or PARTS (raise it)"
    )
