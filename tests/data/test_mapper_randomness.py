import pickle

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from mapper_samples import FixedPolicy, mapper, summary


def test_a_sample_depends_on_seed_image_and_epoch_only(toy, sampled):
    def sample(seed=1, index=0, epoch=0):
        map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=sampled, seed=seed)
        return summary(map_entry({**toy[index], "epoch": epoch}))

    np.random.seed(0)  # noqa: NPY002 - must not matter
    first = sample()
    np.random.seed(1)  # noqa: NPY002
    assert sample() == first
    assert sample(seed=2)[1] != first[1]
    assert sample(epoch=1)[1] != first[1]
    assert sample(index=1)[1] != first[1]
    # A large seed or id is not cut to 32 bits.
    assert sample(seed=1 + 2**32)[1] != first[1]


def test_the_order_of_calls_does_not_matter(toy, sampled):
    map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=sampled)
    forward = [summary(map_entry(entry)) for entry in toy]
    backward = [summary(map_entry(entry)) for entry in reversed(toy)]
    assert forward == backward[::-1]


def test_an_absent_epoch_is_the_first(toy, sampled):
    map_entry = mapper(scale_policy=sampled)
    assert summary(map_entry(toy[0])) == summary(map_entry({**toy[0], "epoch": 0}))


def test_flips_come_out_in_both_ways_and_do_not_follow_the_scale(toy):
    map_entry = mapper(augmentations=[T.RandomFlip()])
    plain = mapper()(toy[0])["image"]
    flipped = [
        not (map_entry({**toy[0], "epoch": epoch})["image"] == plain).all() for epoch in range(60)
    ]
    assert 15 <= sum(flipped) <= 45  # 60 fair coins: outside in 1 of 14,000 seeds


def test_flips_are_the_same_with_and_without_a_policy(toy):
    def flips(policy):
        map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=policy)
        boxes = [map_entry({**toy[0], "epoch": epoch})["instances"] for epoch in range(20)]
        return [instance.gt_boxes.tensor[0, 0].item() for instance in boxes]

    with_policy, without = flips(FixedPolicy(scale=1.0)), flips(None)
    assert with_policy == without
    assert len(set(without)) == 2


@pytest.mark.parametrize("image_id", ["2008_000001", -5, 2**63 - 1])
def test_any_image_id_seeds(toy, sampled, image_id):
    map_entry = mapper(scale_policy=sampled)
    scale = map_entry({**toy[0], "image_id": image_id})["scale"]
    assert scale == map_entry({**toy[0], "image_id": image_id})["scale"]
    assert scale != map_entry(toy[0])["scale"]


class FailingAugmentation(T.Augmentation):
    def get_transform(self, image):
        np.random.random()  # noqa: NPY002
        raise RuntimeError("augmentation failed")


def numpy_state():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return name, keys.tolist(), *rest


def test_global_generators_are_left_as_they_were(toy, sampled):
    before, torch_before = numpy_state(), torch.get_rng_state()
    mapper(augmentations=[T.RandomFlip()], scale_policy=sampled)(toy[0])
    assert numpy_state() == before
    with pytest.raises(RuntimeError, match="augmentation failed"):
        mapper(augmentations=[FailingAugmentation()])(toy[0])
    assert numpy_state() == before
    assert (torch.get_rng_state() == torch_before).all()


def test_a_worker_gets_the_policy_in_a_few_kilobytes(sampled):
    map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=sampled)
    assert len(pickle.dumps(map_entry)) < 20_000
