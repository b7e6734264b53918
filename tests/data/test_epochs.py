from itertools import chain, islice

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.data.epochs import EpochBatchSampler, EpochPlan

PLAIN = [[1, 2], [2, 4], [3, 0]]  # the first epoch of 5 wide images
WIDE = [True, False, True, True, False, True, True]  # 5 wide and 2 tall images


def epoch_of(plan, epoch):
    """All batches of an epoch, as lists."""
    first = epoch * plan.batches_per_epoch
    return [plan.batch(first + index).tolist() for index in range(plan.batches_per_epoch)]


def test_an_epoch_has_full_batches_of_each_group():
    assert EpochPlan(WIDE, 4, 0).batches_per_epoch == 3  # ceil(5 / 4) + ceil(2 / 4)
    assert EpochPlan(WIDE, 1, 0).batches_per_epoch == 7
    assert EpochPlan([True] * 8, 4, 0).batches_per_epoch == 2
    assert EpochPlan([False], 4, 0).batches_per_epoch == 1


@pytest.mark.parametrize("total_batch", [1, 2, 3, 4, 16])
def test_every_image_comes_in_every_epoch_and_batches_do_not_mix_orientations(total_batch):
    wide = np.random.default_rng(1).random(41) < 0.7
    plan = EpochPlan(wide, total_batch, 3)
    for epoch in range(3):
        batches = epoch_of(plan, epoch)
        assert set(chain.from_iterable(batches)) == set(range(41))
        assert {len(batch) for batch in batches} == {total_batch}
        assert all(len({bool(wide[index]) for index in batch}) == 1 for batch in batches)


def test_the_last_batch_is_filled_up_with_the_first_images_of_its_group():
    one, other = epoch_of(EpochPlan([True] * 6, 4, 5), 0)
    whole, filled = (one, other) if other[2:] == one[:2] else (other, one)
    assert filled[2:] == whole[:2]
    assert sorted(whole + filled[:2]) == list(range(6))


def test_a_group_smaller_than_a_batch_repeats_in_its_order():
    (batch,) = epoch_of(EpochPlan([True] * 3, 8, 0), 0)
    assert batch == (batch[:3] * 3)[:8]
    assert sorted(batch[:3]) == [0, 1, 2]


def test_a_batch_depends_on_seed_and_iteration_only():
    forward, backward = EpochPlan(WIDE, 2, 9), EpochPlan(WIDE, 2, 9)
    there = [forward.batch(index).tolist() for index in range(20)]
    back = [backward.batch(index).tolist() for index in reversed(range(20))]
    assert there == back[::-1]


def test_epochs_and_seeds_have_orders_of_their_own():
    plan, other = EpochPlan([True] * 50, 5, 1), EpochPlan([True] * 50, 5, 2)
    orders = [epoch_of(plan, 0), epoch_of(plan, 1), epoch_of(other, 0), epoch_of(other, 1)]
    assert len({str(order) for order in orders}) == 4


def test_batches_of_the_groups_come_in_mixed_order():
    plan = EpochPlan([True] * 20 + [False] * 20, 2, 0)
    kinds = [batch[0] < 20 for batch in epoch_of(plan, 0)]
    assert kinds != sorted(kinds)
    assert kinds != sorted(kinds, reverse=True)


def test_the_order_does_not_touch_numpys_global_generator():
    before = np.random.get_state()[1:3]  # noqa: NPY002 - the legacy generator is meant
    EpochPlan(WIDE, 2, 0).batch(0)
    after = np.random.get_state()[1:3]  # noqa: NPY002
    assert (before[0] == after[0]).all()
    assert before[1] == after[1]


def test_the_caller_may_write_into_a_batch():
    plan = EpochPlan(WIDE, 2, 0)
    before = plan.batch(0).tolist()
    plan.batch(0)[:] = -1
    assert plan.batch(0).tolist() == before


def test_square_images_are_wide():
    dicts = [{"width": 4, "height": 4}, {"width": 3, "height": 4}, {"width": 5, "height": 4}]
    plan = EpochPlan.from_dicts(dicts, total_batch=2, seed=0)
    assert sorted(sorted(set(batch)) for batch in epoch_of(plan, 0)) == [[0, 2], [1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 2, 0), "the data set to train on has no image at all"),
        ((WIDE, 0, 0), "the total batch must be at least 1 image, not 0"),
        ((WIDE, 2, -1), "the seed of the data order must not be negative, but is -1"),
    ],
)
def test_impossible_plans_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        EpochPlan(*arguments)


def numbers(plan, count, **arguments):
    return list(islice(EpochBatchSampler(plan, **arguments), count))


def test_numbers_hold_epoch_and_index():
    plan = EpochPlan(WIDE, 2, 0)
    got = numbers(plan, 3 * plan.batches_per_epoch)
    for iteration, batch in enumerate(got):
        assert [number % 7 for number in batch] == plan.batch(iteration).tolist()
        assert {number // 7 for number in batch} == {plan.epoch(iteration)}
    assert {type(number) for batch in got for number in batch} == {int}


@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_processes_share_the_batch_of_one_process(world_size):
    plan = EpochPlan(WIDE, 6, 0)
    alone = numbers(plan, 10)
    ranks = [numbers(plan, 10, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [list(chain(*parts)) for parts in zip(*ranks, strict=True)] == alone


@pytest.mark.parametrize("start", [0, 1, 7, 23])
def test_a_resumed_run_meets_the_batches_that_it_would_have_met(start):
    plan = EpochPlan(WIDE, 2, 0)
    rest = numbers(EpochPlan(WIDE, 2, 0), 10, start_iteration=start)
    assert rest == numbers(plan, start + 10)[start:]


def test_iterating_again_starts_again():
    sampler = EpochBatchSampler(EpochPlan(WIDE, 2, 0), start_iteration=3)
    assert list(islice(sampler, 4)) == list(islice(sampler, 4))


def test_a_batch_that_cannot_be_shared_is_refused():
    message = r"the total batch of 4 images .* must be a multiple of the 3 processes"
    with pytest.raises(InputError, match=message):
        EpochBatchSampler(EpochPlan(WIDE, 4, 0), world_size=3)


def of_files(*numbers, together=4, total_batch=3, **arguments):
    """A plan of wide tiles, given the number of tiles of each file."""
    sources = np.repeat(np.arange(len(numbers)), numbers)
    wide = np.ones(len(sources), bool)
    plan = EpochPlan(wide, total_batch, 0, sources=sources, together=together, **arguments)
    return plan, sources


@pytest.mark.parametrize("together", [1, 2, 4, 7])
@pytest.mark.parametrize("total_batch", [1, 3, 8])
def test_every_tile_comes_once_an_epoch_with_files_together(together, total_batch):
    plan, sources = of_files(*range(1, 14), together=together, total_batch=total_batch)
    for epoch in range(3):
        places = list(chain.from_iterable(epoch_of(plan, epoch)))
        assert set(places) == set(range(len(sources)))
        assert len(places) - len(sources) < total_batch


def test_successive_batches_take_a_tile_of_the_same_files():
    plan, sources = of_files(*[4] * 9)
    for first in range(0, plan.batches_per_epoch, 4):
        files = [sources[plan.batch(first + index)].tolist() for index in range(4)]
        assert files == [files[0]] * 4
        assert len(set(files[0])) == 3


def test_tiles_that_are_not_together_are_far_apart():
    plan, sources = of_files(*[40] * 30, total_batch=4)
    order = np.concatenate([plan.batch(index) for index in range(plan.batches_per_epoch)])
    place = np.flatnonzero(sources[order] == 7)
    assert place.min() < 300
    assert place.max() > 900


def test_files_of_one_image_have_the_plain_order():
    plain = EpochPlan(WIDE, 2, 9)
    for sources in (None, [3, 1, 4, 15, 9, 2, 6]):
        plan = EpochPlan(WIDE, 2, 9, sources=sources, together=4)
        assert epoch_of(plan, 1) == epoch_of(plain, 1)
    # pinned: runs of earlier versions can be resumed
    assert epoch_of(EpochPlan([True] * 5, 2, 0), 0) == PLAIN


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_a_block_is_undone_into_the_batches_of_the_plan(world_size):
    plan, _ = of_files(5, 9, 2, 12, 1, total_batch=4)
    for start in (0, 1, 3, 9):
        parts = []
        for rank in range(world_size):
            sampler = EpochBatchSampler(
                plan, rank=rank, world_size=world_size, start_iteration=start
            )
            blocks = chain.from_iterable(map(sampler.in_batches, sampler))
            parts.append(list(islice(blocks, 20)))
        batches = [list(chain(*each)) for each in zip(*parts, strict=True)]
        expected = [
            (plan.epoch(i) * plan.size + plan.batch(i)).tolist() for i in range(start, start + 20)
        ]
        assert batches == expected


def test_a_block_ends_with_its_epoch():
    plan, _ = of_files(5, 5, total_batch=2)  # 5 batches: blocks of 4 and 1
    lengths = [len(plan.rest_of_block(index)) for index in range(5)]
    assert lengths in ([4, 3, 2, 1, 1], [1, 4, 3, 2, 1])


def test_a_share_of_the_empty_images_is_drawn_anew_in_each_epoch():
    empty = [False] * 12 + [True] * 50
    plan = EpochPlan([True] * 62, 2, 0, empty=empty, empty_share=0.25)
    assert (plan.images_per_epoch, plan.batches_per_epoch) == (16, 8)
    drawn = []
    for epoch in range(4):
        images = list(chain.from_iterable(epoch_of(plan, epoch)))
        assert sorted(images)[:12] == list(range(12))
        drawn.append(frozenset(images[i] for i in range(16) if images[i] >= 12))
    assert {len(each) for each in drawn} == {4}
    assert len(set(drawn)) == 4


@pytest.mark.parametrize(("share", "number"), [(None, 9), (0.0, 6), (0.3, 9), (0.9, 9)])
def test_there_are_no_more_empty_images_than_there_are(share, number):
    plan = EpochPlan([True] * 9, 1, 0, empty=[False] * 6 + [True] * 3, empty_share=share)
    assert plan.images_per_epoch == number


def test_dictionaries_tell_files_and_empty_images():
    box = {"iscrowd": 0}
    flagged = {"gt_ignore": True}
    dicts = [
        {"width": 4, "height": 4, "file_name": name, "annotations": annotations}
        for name, annotations in [("a", [box]), ("a", [flagged, box]), ("b", []), ("b", [flagged])]
    ]
    plan = EpochPlan.from_dicts(dicts, total_batch=1, seed=0, together=2, empty_share=0.0)
    assert sorted(plan.rest_of_block(0).tolist()) == [[0], [1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"together": 0}, "the tiles of an image taken together must be 1 or more: 0"),
        ({"empty_share": 1}, r"the share of empty images must be in \[0, 1\), not 1"),
        ({"empty_share": -0.5}, r"the share of empty images must be in \[0, 1\), not -0.5"),
        ({"empty": [True] * 7, "empty_share": 0.5}, "no image with a box to train on"),
    ],
)
def test_impossible_tile_settings_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        EpochPlan(WIDE, 2, 0, **arguments)
