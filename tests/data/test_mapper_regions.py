import numpy as np
import pytest
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from mapper_samples import HEIGHT, WIDTH, FixedPolicy, entry_with, mapper, pixels_of
from scale_match.core.errors import InputError

REGIONS = [
    ([30.5, 20, 40, 30], {"gt_ignore": True}),
    ([100, 0, 90, 10], {"iscrowd": 1}),
    ([0, 60, 10, 10], {"uncertain": True}),
]
OBJECT = ([40, 25, 8, 8], {})


def test_regions_are_background_by_default(toy):
    entry = entry_with(toy, OBJECT, *REGIONS)
    sample = mapper()(entry)
    assert (sample["image"].permute(1, 2, 0).numpy() == pixels_of(entry)).all()
    assert sample["instances"].gt_classes.tolist() == [0]


def test_erased_regions_have_their_mean_colour_and_objects_stay(toy):
    entry = entry_with(toy, OBJECT, *REGIONS)
    before = pixels_of(entry).astype(float)
    expected = pixels_of(entry).copy()
    for x1, y1, x2, y2 in [(30, 20, 71, 50), (100, 0, 128, 10), (0, 60, 10, 70)]:
        expected[y1:y2, x1:x2] = np.rint(before[y1:y2, x1:x2].mean(axis=(0, 1)))
    expected[25:33, 40:48] = before[25:33, 40:48]
    sample = mapper(ignore_regions="erase")(entry)
    assert (sample["image"].permute(1, 2, 0).numpy() == expected).all()
    assert sample["instances"].gt_classes.tolist() == [0]
    without = mapper(ignore_regions="erase")(entry_with(toy, OBJECT))
    assert (without["image"].permute(1, 2, 0).numpy() == before).all()


def test_erasing_comes_before_the_scale(toy):
    entry = entry_with(toy, ([0, 0, WIDTH, HEIGHT], {"gt_ignore": True}))
    sample = mapper(ignore_regions="erase", scale_policy=FixedPolicy())(entry)
    assert sample["image"].shape == (3, HEIGHT // 2, WIDTH // 2)
    assert len(np.unique(sample["image"].reshape(3, -1).numpy(), axis=1).T) == 1


def test_erasing_of_a_tile_leaves_the_next_tile_as_it_is(toy):
    tile = {**entry_with(toy, REGIONS[0]), "corner": (0, 0, 80, 60)}
    erase = mapper(ignore_regions="erase")
    erase(tile)
    again = erase({**tile, "annotations": []})
    assert (again["image"].permute(1, 2, 0).numpy() == pixels_of(tile)[:60, :80]).all()


def test_masked_regions_follow_the_image_with_class_minus_one(toy):
    entry = entry_with(toy, OBJECT, *REGIONS)
    policy = FixedPolicy()
    flipped = mapper(
        ignore_regions="mask", scale_policy=policy, augmentations=[T.RandomFlip(prob=1.0)]
    )(entry)
    instances = flipped["instances"]
    assert instances.gt_classes.tolist() == [0, -1, -1, -1]
    assert instances.gt_boxes.tensor.tolist() == [
        [40, 12.5, 44, 16.5], [28.75, 10, 48.75, 25], [0, 0, 14, 5], [59, 30, 64, 35],
    ]  # fmt: skip
    # the policy sees what it always saw
    assert policy.asked == [OBJECT[0], REGIONS[2][0]]
    plain = mapper(scale_policy=policy, augmentations=[T.RandomFlip(prob=1.0)])(entry)
    assert (flipped["image"] == plain["image"]).all()


def test_a_masked_region_outside_the_image_is_left_out(toy):
    entry = entry_with(toy, OBJECT, ([200, 0, 9, 9], {"gt_ignore": True}))
    assert mapper(ignore_regions="mask")(entry)["instances"].gt_classes.tolist() == [0]


def test_an_unknown_treatment_of_regions_is_refused(toy):
    message = r"IGNORE_REGIONS\) must be one of background, erase, mask, not 'blur'"
    with pytest.raises(InputError, match=message):
        mapper(ignore_regions="blur")
