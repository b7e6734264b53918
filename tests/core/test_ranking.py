import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from scale_match.core import ranking
from scale_match.core.ranking import blocks_of_groups, rank_detections, rank_ground_truth


@pytest.fixture(scope="module")
def tables():
    ground_truth, results = crowded(1)
    return as_annotations(ground_truth), as_detections(results)


@pytest.fixture(scope="module")
def ranked_truth(tables):
    return rank_ground_truth(tables[0])


def test_ids_are_ascending_whatever_their_order_in_the_file(ranked_truth):
    assert ranked_truth.image_ids.tolist() == [5, 8, 11, 14]
    assert ranked_truth.category_ids.tolist() == [2, 4, 7]


def test_ground_truth_of_a_group_stands_together_in_file_order(tables, ranked_truth):
    table = tables[0].table
    rows = sorted(
        range(len(table)), key=lambda row: (table.category_ids[row], table.image_ids[row])
    )
    assert ranked_truth.rows.tolist() == rows
    assert (np.diff(ranked_truth.groups) >= 0).all()
    assert (table.boxes[ranked_truth.rows] == ranked_truth.boxes).all()


def test_ground_truth_of_an_undeclared_category_is_left_out(tables):
    ground_truth, _ = crowded(1)
    ground_truth["categories"] = [{"id": 7, "name": "kind 7"}]
    ranked = rank_ground_truth(as_annotations(ground_truth))
    assert 0 < len(ranked) < len(tables[0].table)
    assert set(ranked.categories.tolist()) == {0}


def test_detections_of_a_group_descend_in_score_and_equal_ones_keep_their_order(
    tables, ranked_truth
):
    table = tables[1]
    ranked = rank_detections(table, ranked_truth, limit=1000, source="gt.json")
    declared = [row for row in range(len(table)) if table.category_ids[row] != 9]
    assert len(declared) < len(table)
    keys = (table.category_ids, table.image_ids, -table.scores)
    expected = sorted(declared, key=lambda row: tuple(key[row] for key in keys))
    assert ranked.rows.tolist() == expected
    assert (table.boxes[ranked.rows] == ranked.boxes).all()
    assert (ranked.groups == ranked.categories * 4 + ranked.images).all()


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_ranks_count_within_each_group_up_to_the_limit(tables, ranked_truth, limit):
    ranked = rank_detections(tables[1], ranked_truth, limit=limit, source="gt.json")
    for group in np.unique(ranked.groups):
        ranks = ranked.ranks[ranked.groups == group]
        assert ranks.tolist() == list(range(len(ranks)))
        assert len(ranks) <= limit


def test_the_limit_leaves_a_prefix_of_every_group(tables, ranked_truth):
    everything = rank_detections(tables[1], ranked_truth, limit=1000, source="gt.json")
    some = rank_detections(tables[1], ranked_truth, limit=3, source="gt.json")
    assert some.rows.tolist() == everything.rows[everything.ranks < 3].tolist()
    assert 0 < len(some) < len(everything)


@pytest.mark.parametrize("block", [1, 5, 40, 10_000])
def test_blocks_cover_all_detections_with_their_ground_truth(tables, monkeypatch, block):
    monkeypatch.setattr(ranking, "_BLOCK", block)
    ranked_truth = rank_ground_truth(tables[0])
    ranked = rank_detections(tables[1], ranked_truth, limit=1000, source="gt.json")
    end = 0
    for rows, targets in blocks_of_groups(ranked, ranked_truth):
        assert rows.start == end
        end = rows.stop
        groups = set(ranked.groups[rows].tolist())
        assert groups.isdisjoint(ranked.groups[end:].tolist())  # whole groups
        own = [g for g in range(len(ranked_truth)) if ranked_truth.groups[g] in groups]
        assert set(own) <= set(range(targets.start, targets.stop))
        part, targets_part = ranked.part(rows), ranked_truth.part(targets)
        assert (part.groups == ranked.groups[rows]).all()
        assert (targets_part.groups == ranked_truth.groups[targets]).all()
        for table, whole, cut in ((part, ranked, rows), (targets_part, ranked_truth, targets)):
            for name in ("rows", "images", "categories", "boxes"):
                assert (getattr(table, name) == getattr(whole, name)[cut]).all()
        assert len(part) <= max(block, max(ranked.ranks) + 1) + max(ranked.ranks)
    assert end == len(ranked)


def test_the_order_is_the_same_in_blocks_of_any_size(tables, ranked_truth, monkeypatch):
    whole = rank_detections(tables[1], ranked_truth, limit=1000, source="gt.json")
    monkeypatch.setattr(ranking, "_BLOCK", 3)
    blocks = rank_detections(tables[1], ranked_truth, limit=1000, source="gt.json")
    assert blocks.rows.tolist() == whole.rows.tolist()


def test_no_detections_make_no_block(ranked_truth):
    ranked = rank_detections(as_detections([]), ranked_truth, limit=9, source="gt.json")
    assert list(blocks_of_groups(ranked, ranked_truth)) == []
