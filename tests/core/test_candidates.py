"""A table of candidates knows whose they are and what they are enough for."""

import numpy as np
import pytest

from scale_match.core.candidates import CandidateTable


def make_table(counts, tile_images, num_images, limit=10, score_threshold=0.05):
    """A table with as many candidates on each tile as asked for."""
    total = sum(counts)
    return CandidateTable(
        image_ids=np.arange(num_images, dtype=np.int64) + 7,
        seen_sizes=np.full((num_images, 2), 100),
        sizes=np.full((num_images, 2), 100),
        tile_images=np.array(tile_images, np.int64),
        tiles=np.tile([0, 0, 60, 60], (len(counts), 1)),
        starts=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        boxes=np.zeros((total, 4), np.float32),
        scores=np.zeros(total, np.float32),
        filter_scores=np.zeros(total, np.float32),
        classes=np.zeros(total, np.int32),
        levels=np.zeros(total, np.int32),
        ranks=np.zeros(total, np.int32),
        limit=limit,
        score_threshold=score_threshold,
    )


def test_each_candidate_has_its_tile_and_each_image_its_tiles():
    table = make_table([2, 0, 3], tile_images=[0, 0, 1], num_images=2)

    assert len(table) == 5
    assert table.tile_of_candidates.tolist() == [0, 0, 2, 2, 2]
    assert table.image_starts.tolist() == [0, 2, 3]


def test_a_table_may_be_empty():
    table = make_table([], tile_images=[], num_images=0)

    assert len(table) == 0
    assert table.tile_of_candidates.tolist() == []
    assert table.image_starts.tolist() == [0]


@pytest.mark.parametrize(
    ("limit", "score_threshold", "enough"),
    [(10, 0.05, True), (3, 0.5, True), (11, 0.05, False), (10, 0.04, False)],
)
def test_fewer_candidates_of_higher_scores_are_covered_and_no_others(
    limit, score_threshold, enough
):
    assert make_table([1], [0], 1).covers(limit, score_threshold) is enough
