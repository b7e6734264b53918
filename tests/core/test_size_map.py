import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.size_map import SizeMap, calibrated
from scale_match.core.size_summary import ks_distance

TARGET = SizeHistogram(counts=[1, 3], edges=[10.0, 20.0, 30.0])
WIDE = SizeHistogram.from_sizes(np.exp(np.random.default_rng(2).normal(2.5, 0.8, 3000)))
SIZES = np.exp(np.random.default_rng(0).normal(4.0, 1.0, 5000))


def test_equal_ranks_are_mapped_onto_each_other():
    size_map = SizeMap.from_sizes([100.0, 200.0, 300.0], TARGET)
    # Rank 1/8 is the middle of the first bin, rank 5/8 that of the second.
    assert size_map.sizes_for([125.0, 225.0]).tolist() == pytest.approx([15.0, 25.0], abs=0.05)
    assert size_map.sizes_for([1.0, 999.0]).tolist() == [10.0, 30.0]


def test_jitter_moves_sizes_but_not_their_distribution():
    size_map = SizeMap.from_sizes(SIZES, TARGET, jitter=0.3)
    uniforms = np.random.default_rng(1).random(len(SIZES))
    moved, still = size_map.sizes_for(SIZES, uniforms), size_map.sizes_for(SIZES)
    assert np.abs(moved - still).mean() > 1.0
    assert ks_distance(still, TARGET.cdf) < 0.01
    assert ks_distance(moved, TARGET.cdf) < 0.02
    assert size_map.sizes_for(SIZES, np.full(len(SIZES), 0.5)) == pytest.approx(still)


def test_no_jitter_is_the_map_itself():
    size_map = SizeMap.from_sizes(SIZES, TARGET, jitter=0.0)
    moved = size_map.sizes_for(SIZES, np.zeros(len(SIZES)))
    assert moved == pytest.approx(size_map.sizes_for(SIZES))


def test_equal_source_sizes_give_sizes_of_the_target():
    assert 10.0 <= SizeMap.from_sizes([50.0, 50.0], TARGET).sizes_for(50.0) <= 30.0


def test_calibration_undoes_what_a_sampler_does_to_the_sizes():
    noise = np.exp(np.random.default_rng(3).normal(0.1, 0.2, len(SIZES)))

    def results(size_map):
        sizes = size_map.sizes_for(SIZES) * noise  # too large and too widely spread,
        return np.concatenate([sizes, sizes[SIZES > 100.0]])  # and large ones come twice

    start = SizeMap.from_sizes(SIZES, WIDE)
    assert ks_distance(results(start), WIDE.cdf) > 0.15
    assert ks_distance(results(calibrated(start, WIDE, results)), WIDE.cdf) < 0.02


def test_calibration_never_makes_it_worse():
    start = SizeMap.from_sizes(SIZES, WIDE)

    def results(size_map):  # whatever is changed is wrong
        return size_map.sizes_for(SIZES) if size_map is start else np.full(9, 1e6)

    assert calibrated(start, WIDE, results) is start


def test_calibration_keeps_the_order_of_sizes():
    start = SizeMap.from_sizes(SIZES, TARGET)
    moved = calibrated(start, TARGET, lambda each: each.sizes_for(SIZES[:50]))
    assert (np.diff(moved.destination) >= 0).all()
    assert moved.jitter == start.jitter


def test_without_results_the_map_stays():
    start = SizeMap.from_sizes(SIZES, TARGET)
    assert calibrated(start, TARGET, lambda _: np.empty(0)) is start


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan")])
def test_a_jitter_beyond_all_ranks_is_refused(jitter):
    with pytest.raises(InputError, match=rf"jitter must be in \[0, 1\], got {jitter}"):
        SizeMap.from_sizes(SIZES, TARGET, jitter=jitter)


def test_a_source_without_sizes_is_refused():
    with pytest.raises(InputError, match="source sizes must hold at least one box"):
        SizeMap.from_sizes([0.0], TARGET)
