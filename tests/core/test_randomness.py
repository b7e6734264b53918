"""Random numbers as a function of (seed, image id, epoch)."""

import numpy as np
import pytest

from scale_match.core.randomness import sample_randomness, seed_words


def numbers(seed=3, image_id=11, epoch=0):
    randomness = sample_randomness(seed, image_id, epoch)
    return randomness.stock_seed, randomness.rng.random(4).tolist()


def test_equal_arguments_give_equal_numbers():
    assert numbers() == numbers()


@pytest.mark.parametrize(
    "changed",
    [{"seed": 4}, {"image_id": 12}, {"epoch": 1}, {"seed": 3 + 2**32}, {"image_id": "11"}],
)
def test_each_argument_matters(changed):
    first, second = numbers(), numbers(**changed)
    assert first[0] != second[0]
    assert not set(first[1]) & set(second[1])


def test_arguments_are_not_interchangeable():
    assert len({numbers(*order)[0] for order in ((1, 2, 3), (2, 1, 3), (3, 2, 1), (1, 3, 2))}) == 4


def test_the_numbers_stay_what_they_are_in_later_versions():
    """A resumed run, perhaps with a newer version, must meet the scales of the old one."""
    assert numbers(0, 1, 0)[0] == sample_randomness(0, 1, 0).stock_seed
    rng = np.random.default_rng([0, 0, 1, 0, 0, 0])
    assert numbers(0, 1, 0) == (rng.integers(2**32), rng.random(4).tolist())


@pytest.mark.parametrize("image_id", ["2008_000001", "", -5, 2**63 - 1])
def test_any_image_id_seeds(image_id):
    assert numbers(image_id=image_id) == numbers(image_id=image_id) != numbers()


def test_global_generators_stay_as_they_are():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    numbers()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_different_pairs_of_numbers_have_different_seed_words():
    # Left to itself numpy takes [2**32, 7] and [0, 1, 7] for the same.
    words = {(*seed_words(a), *seed_words(b)) for a in (0, 1, 2**32) for b in (0, 1, 2**32)}
    assert len(words) == 9
    assert seed_words(-1) == (2**32 - 1, 2**32 - 1)
    assert seed_words(2**32 + 5) == (5, 1)
