import numpy as np
import pytest

from scale_match.core.matching import match_in_order


def serial(detections, targets, exclusive):
    """The definition: one detection after the other takes the first on its list it can have."""
    taken, chosen, served = set(), [], set()
    for position, (detection, target) in enumerate(zip(detections, targets, strict=True)):
        if detection not in served and (target not in taken or not exclusive[position]):
            served.add(detection)
            taken.add(target)
            chosen.append(position)
    return chosen


def matched(pairs, *, shared=()):
    """Pairs (detection, target) by name, those of `shared` not exclusive, -> chosen pairs."""
    detections, targets = (np.array(column) for column in zip(*pairs, strict=True))
    exclusive = np.array([pair not in shared for pair in pairs])
    chosen = match_in_order(detections, targets, exclusive, num_targets=10)
    assert chosen.tolist() == serial(detections, targets, exclusive)
    return [pairs[position] for position in chosen]


def test_the_earlier_detection_has_the_choice():
    assert matched([(0, 4), (1, 4), (1, 5)]) == [(0, 4), (1, 5)]


def test_a_detection_whose_targets_are_all_taken_stays_alone():
    assert matched([(0, 4), (1, 4), (2, 4)]) == [(0, 4)]


def test_a_late_request_of_an_early_detection_evicts_the_holder():
    # 1 is refused by 4 and then asks for 5, which 2 had got in the first round.
    assert matched([(0, 4), (1, 4), (1, 5), (2, 5), (2, 6)]) == [(0, 4), (1, 5), (2, 6)]


def test_a_shared_pair_is_had_although_the_target_is_taken():
    assert matched([(0, 4), (1, 4)], shared={(1, 4)}) == [(0, 4), (1, 4)]


def test_a_shared_pair_takes_the_target_from_later_detections():
    assert matched([(0, 4), (1, 4)], shared={(0, 4)}) == [(0, 4)]


def test_a_shared_last_resort_evicts_a_later_holder():
    pairs = [(0, 4), (1, 4), (1, 5), (2, 5)]
    assert matched(pairs, shared={(1, 5)}) == [(0, 4), (1, 5)]


def test_the_longest_chain_of_evictions_ends():
    # All detections want all targets in the same order: one is settled in each round.
    n = 60
    detections, targets = np.divmod(np.arange(n * n), n)
    chosen = match_in_order(detections, targets, np.ones(n * n, bool), num_targets=n)
    assert targets[chosen].tolist() == list(range(n))


@pytest.mark.parametrize("seed", range(60))
def test_the_matching_is_that_of_the_serial_loop(seed):
    rng = np.random.default_rng(seed)
    num_targets = int(rng.integers(1, 12))
    detections = np.sort(rng.integers(0, 30, rng.integers(1, 120)))
    targets = rng.integers(0, num_targets, len(detections))
    exclusive = rng.random(len(detections)) < (1.0 if seed % 3 == 0 else 0.7)
    chosen = match_in_order(detections, targets, exclusive, num_targets=num_targets)
    assert chosen.tolist() == serial(detections, targets, exclusive)


def test_no_pair_gives_no_match():
    nothing = np.empty(0, np.int64)
    assert len(match_in_order(nothing, nothing, np.empty(0, bool), num_targets=3)) == 0
