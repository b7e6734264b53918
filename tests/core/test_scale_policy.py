"""Scale Match policies: properties, examples, comparison with a plain reference."""

import numpy as np
import pytest

from oracles import scale_match_reference as reference
from oracles.scale_match_files import forcing
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import (
    MonotoneScaleMatch,
    SampledScaleMatch,
    ScaleLimits,
    ScalePolicy,
    match_edges,
)

TARGET = SizeHistogram([1, 2, 1], [2, 6, 14, 30])
HUNDRED = [[10, 10, 100, 100]]  # one box of size 100


def forced(draws, **limits):
    """A sampled policy and the numbers that make it draw these sizes."""
    settings = ScaleLimits(**limits)
    counts, edges, uniforms = forcing(draws, settings.max_tries)
    return SampledScaleMatch(SizeHistogram(counts, edges), settings), uniforms


def random_policies(seed):
    """One policy of each kind, with limits that are often hit."""
    rng = np.random.default_rng(seed)
    target = SizeHistogram.from_sizes(rng.lognormal(2.5, 0.9, 150), bins=10)
    limits = ScaleLimits(
        scale_range=(float(rng.uniform(0, 0.3)), float(rng.uniform(0.5, 1.5))),
        default_scale=float(rng.uniform(0.05, 0.6)),
        out_of_range=("clip", "default")[seed % 2],
        max_tries=int(rng.integers(1, 6)),
    )
    source = rng.lognormal(3.5, 1.0, 300)
    return SampledScaleMatch(target, limits), MonotoneScaleMatch.from_sizes(source, target, limits)


def random_image(rng):
    width, height = (int(side) for side in rng.integers(20, 400, 2))
    count = int(rng.integers(0, 8))
    corners = rng.uniform(-10, max(width, height), (count, 2))
    sides = rng.lognormal(2.0, 1.3, (count, 2)) * (rng.random((count, 2)) < 0.95)
    return np.concatenate([corners, sides], axis=1), width, height


def check_against_reference(decision, boxes, width, height, scale_of_size, default_scale):
    size, keep, fallback, before = reference.decide(
        boxes.tolist(), width, height, scale_of_size, default_scale
    )
    assert (decision.size, decision.keep.tolist()) == (size, keep)
    assert decision.fallback == fallback
    assert decision.source_size == (None if before is None else pytest.approx(before))


class TestSampled:
    def test_a_box_of_100_px_drawn_as_30_px_gives_scale_0_3(self):
        policy, uniforms = forced([30.0])
        decision = policy.decide(HUNDRED, 640, 480, uniforms)
        assert (decision.scale, decision.size, decision.source_size) == (0.3, (144, 192), 100.0)
        assert (decision.keep.tolist(), decision.fallback) == ([True], False)

    def test_the_first_draw_in_range_wins(self):
        policy, uniforms = forced([150.0, 5.0, 30.0, 40.0])
        assert policy.decide(HUNDRED, 640, 480, uniforms).scale == 0.3

    @pytest.mark.parametrize(("last", "scale"), [(5.0, 0.1), (150.0, 1.0)])
    def test_the_last_draw_decides_the_end(self, last, scale):
        policy, uniforms = forced([150.0, 5.0, 150.0, 5.0, last])
        assert policy.decide(HUNDRED, 640, 480, uniforms).scale == scale

    def test_a_scale_at_the_end_of_the_range_is_out(self):
        policy, uniforms = forced([100.0, 30.0])
        assert policy.decide(HUNDRED, 640, 480, uniforms).scale == 0.3

    def test_needs_two_numbers_for_each_try(self):
        policy, uniforms = forced([30.0], max_tries=7)
        assert policy.num_uniforms == uniforms.size == 14
        flat = policy.decide(HUNDRED, 640, 480, uniforms.ravel())
        assert flat.scale == policy.decide(HUNDRED, 640, 480, uniforms).scale

    def test_another_number_of_uniform_numbers_is_refused(self):
        with pytest.raises(ValueError, match="reshape"):
            SampledScaleMatch(TARGET).decide(HUNDRED, 640, 480, np.zeros((4, 2)))

    @pytest.mark.parametrize("seed", range(12))
    def test_agrees_with_the_plain_reference(self, seed):
        policy, _ = random_policies(seed)
        target, limits = policy.target, policy.limits
        rng = np.random.default_rng(seed)
        for _ in range(25):
            boxes, width, height = random_image(rng)
            uniforms = rng.random((limits.max_tries, 2))
            draws = [reference.draw(target.counts, target.edges, *pair) for pair in uniforms]
            check_against_reference(
                policy.decide(boxes, width, height, uniforms),
                boxes,
                width,
                height,
                lambda size, draws=draws: reference.sampled_scale(
                    size, draws, limits.scale_range, limits.default_scale, limits.out_of_range
                ),
                limits.default_scale,
            )


class TestMonotone:
    def test_quantiles_of_the_source_become_those_of_the_target(self):
        # Shares 1/4, 1/2, 1/4 of 8 boxes: edges are the boxes of rank 0, 2, 6 and the largest.
        policy = MonotoneScaleMatch.from_sizes([10, 20, 40, 50, 60, 70, 90, 99], TARGET)
        assert policy.source_edges.tolist() == [10, 40, 90, 99]
        assert policy.target_edges.tolist() == [2, 6, 14, 30]
        assert [policy.destination_size(size) for size in (10, 25, 40, 65, 90, 99)] == [
            2, 4, 6, 10, 14, 30,
        ]  # fmt: skip

    def test_keeps_the_order_of_sizes(self):
        _, policy = random_policies(0)
        sizes = np.linspace(0.1, 2000, 5000)
        assert (np.diff([policy.destination_size(size) for size in sizes]) >= 0).all()

    def test_maps_the_source_onto_the_target(self):
        rng = np.random.default_rng(0)
        target = SizeHistogram.from_sizes(rng.lognormal(2.5, 0.9, 5000))
        source = rng.lognormal(4.0, 0.7, 5000)
        policy = MonotoneScaleMatch.from_sizes(source, target)
        mapped = np.sort([policy.destination_size(size) for size in source])
        ranks = np.arange(1, len(mapped) + 1) / len(mapped)
        assert np.abs(target.cdf(mapped) - ranks).max() < 0.01

    def test_sizes_beyond_the_edges_are_clamped(self):
        policy = MonotoneScaleMatch([10, 50, 100], [4, 10, 20])
        assert [policy.destination_size(size) for size in (0.01, 9.99, 100.1, 1e9)] == [
            4, 4, 20, 20,
        ]  # fmt: skip

    def test_a_bin_without_width_maps_to_its_lower_target_edge(self):
        assert MonotoneScaleMatch([16, 16, 50], [4, 10, 20]).destination_size(16) == 4
        # Above the last source edge it is the last target edge, whatever the last bin.
        policy = MonotoneScaleMatch([10, 16, 16], [4, 10, 20])
        assert [policy.destination_size(size) for size in (16, 16.001)] == [10, 20]

    def test_the_slack_above_an_edge_does_not_extrapolate(self):
        policy = MonotoneScaleMatch([10, 10 + 1e-8, 50], [4, 10, 20])
        assert policy.destination_size(10 + 9e-7) == 10

    def test_draws_no_number(self):
        policy = MonotoneScaleMatch([10, 50, 200], [4, 10, 20])
        assert policy.num_uniforms == 0
        scales = {
            policy.decide(HUNDRED, 640, 480, uniforms).scale
            for uniforms in ((), np.zeros(0), np.ones((5, 2)), None)
        }
        assert scales == {policy.decide(HUNDRED, 640, 480).scale}

    @pytest.mark.parametrize("seed", range(12))
    def test_agrees_with_the_plain_reference(self, seed):
        _, policy = random_policies(seed)
        limits = policy.limits
        edges = policy.source_edges.tolist(), policy.target_edges.tolist()

        def scale_of_size(size):
            scale = reference.monotone_size(size, *edges) / size
            return reference.sampled_scale(
                1.0, [scale], limits.scale_range, limits.default_scale, limits.out_of_range
            )

        rng = np.random.default_rng(seed)
        for _ in range(25):
            boxes, width, height = random_image(rng)
            decision = policy.decide(boxes, width, height)
            check_against_reference(
                decision, boxes, width, height, scale_of_size, limits.default_scale
            )

    @pytest.mark.parametrize("seed", range(5))
    def test_source_edges_agree_with_the_plain_reference(self, seed):
        rng = np.random.default_rng(seed)
        sizes, cumulative = rng.lognormal(3, 1, 37), np.cumsum(rng.dirichlet(np.ones(9)))
        expected = reference.source_edges(sizes, cumulative)
        assert match_edges(sizes, cumulative).tolist() == expected

    @pytest.mark.parametrize(
        ("source", "target", "message"),
        [
            ([1, 2, 3], [1, 2], "source_edges and target_edges must have equal lengths, got 3"),
            ([3, 2], [1, 2], "source_edges must not descend, got 3 at index 0 before 2"),
            ([1, 2], [0, 2], "target_edges must be positive and finite, got 0 at index 0"),
            ([1], [1], "source_edges must bound at least one bin, got fewer than 2 edges"),
        ],
    )
    def test_edges_that_do_not_fit_are_named(self, source, target, message):
        with pytest.raises(InputError, match=message):
            MonotoneScaleMatch(source, target)

    def test_a_source_without_boxes_is_named(self):
        with pytest.raises(InputError, match="source sizes must hold at least one box"):
            MonotoneScaleMatch.from_sizes([0.0], TARGET)


def policies_for(limits):
    return [
        SampledScaleMatch(TARGET, limits),
        MonotoneScaleMatch.from_sizes([10, 20, 40, 80, 99], TARGET, limits),
    ]


def decide(policy: ScalePolicy, boxes, width=640, height=480):
    return policy.decide(boxes, width, height, np.full(policy.num_uniforms, 0.5))


@pytest.mark.parametrize("policy", policies_for(ScaleLimits(default_scale=0.5)))
class TestBoth:
    def test_an_image_without_boxes_gets_the_default_scale(self, policy):
        for boxes in ([], np.zeros((0, 4)), [[5, 5, 0, 0]]):
            decision = decide(policy, boxes)
            assert (decision.scale, decision.size) == (0.5, (240, 320))
            assert (decision.source_size, decision.fallback) == (None, False)
            assert decision.keep.tolist() == [False] * len(boxes)

    def test_keep_has_one_entry_for_each_given_box(self, policy):
        decision = decide(policy, [[0, 0, 0, 0], *HUNDRED, [700, 0, 9, 9], [0, 0, 2, 2]])
        assert decision.keep.tolist() == [False, True, False, False]
        assert decision.keep.dtype == np.bool_

    def test_a_box_of_zero_size_changes_nothing_for_the_others(self, policy):
        with_it, without = decide(policy, [*HUNDRED, [3, 4, 0, 5]]), decide(policy, HUNDRED)
        assert (with_it.scale, with_it.size) == (without.scale, without.size)

    def test_a_box_that_vanishes_still_counts_for_the_size(self, policy):
        decision = decide(policy, [*HUNDRED, [0, 0, 4, 4]])
        assert decision.source_size == pytest.approx(20)

    def test_the_boxes_stay_as_they_are(self, policy):
        boxes = np.array([[-5.0, 3.0, 900.0, 30.0]])
        decide(policy, boxes)
        assert boxes.tolist() == [[-5, 3, 900, 30]]

    def test_scale_and_sizes_are_plain_numbers(self, policy):
        decision = decide(policy, HUNDRED)
        assert [type(value) for value in (decision.scale, *decision.size)] == [float, int, int]


@pytest.mark.parametrize("policy", policies_for(ScaleLimits((0.01, 1.0), default_scale=0.04)))
def test_where_no_box_would_stay_all_are_kept_at_the_default_scale(policy):
    boxes = [[x, 10, 4, 400] for x in range(0, 90, 10)] + [[5, 5, 0, 0]]
    decision = decide(policy, boxes)
    assert (decision.scale, decision.size, decision.fallback) == (0.04, (19, 26), True)
    assert decision.keep.tolist() == [True] * 9 + [False]
    assert decision.source_size == pytest.approx(40)
