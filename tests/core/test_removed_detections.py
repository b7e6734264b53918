import numpy as np
import pytest

from oracles import merge_files
from scale_match.core.merging import merge_tile_results
from scale_match.core.records import DetectionTable
from scale_match.core.removed_detections import joined_detections, removed_by_merging


def detections(*rows):
    """From (image, category, box, score) each."""
    return DetectionTable(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[3] for row in rows], np.float64),
    )


def rows_of(table):
    columns = table.image_ids, table.category_ids, table.boxes, table.scores
    return list(zip(*(column.tolist() for column in columns), strict=True))


A = (1, 1, [0.0, 0.0, 4.0, 4.0], 0.5)
B = (1, 1, [9.0, 0.0, 4.0, 4.0], 0.5)
C = (2, 1, [0.0, 0.0, 4.0, 4.0], 0.5)
D = (1, 2, [0.0, 0.0, 4.0, 4.0], 0.5)


def test_what_merging_left_is_taken_away():
    removed = removed_by_merging(detections(B, C), detections(A, B, C, D))
    assert rows_of(removed) == [A, D]


@pytest.mark.parametrize("other", [B, C, D, (1, 1, [0.0, 9.0, 4.0, 4.0], 0.5), (*A[:3], 0.6)])
def test_corner_image_category_and_score_tell_rows_apart(other):
    assert rows_of(removed_by_merging(detections(other), detections(A, other))) == [A]
    assert rows_of(removed_by_merging(detections(A), detections(A, other))) == [other]


def test_one_row_stands_for_one_row():
    assert rows_of(removed_by_merging(detections(A), detections(A, B, A, A))) == [B, A, A]


def test_rows_that_merging_did_not_come_from_take_nothing_away():
    assert rows_of(removed_by_merging(detections(C), detections(A))) == [A]


def test_a_corner_may_have_been_rounded_to_float32():
    exact = (1, 1, [0.1, 0.7, 4.0, 4.0], 0.5)
    rounded = (1, 1, [float(np.float32(0.1)), float(np.float32(0.7)), 4.0000001, 4.0], 0.5)
    assert rows_of(removed_by_merging(detections(rounded), detections(exact))) == []


def test_without_rows_nothing_is_left():
    assert rows_of(removed_by_merging(detections(), detections())) == []
    assert rows_of(removed_by_merging(detections(), detections(A))) == [A]
    assert rows_of(removed_by_merging(detections(A), detections())) == []


def test_joined_tables_keep_their_order():
    assert rows_of(joined_detections(detections(B, A), detections(D))) == [B, A, D]


@pytest.mark.parametrize("class_aware", [False, True])
def test_merged_and_removed_are_all_detections_of_the_oracle(shared, class_aware):
    folder = shared("oracle/merge")
    tiles = merge_files.read_tile_annotations(folder / "corner_gt.json")
    found = merge_files.read_detections(folder / "dt_tiles.json")
    shifted = merge_tile_results(found, tiles, threshold=1.0)
    merged = merge_tile_results(found, tiles, class_aware=class_aware)
    removed = removed_by_merging(merged, shifted)
    assert 0 < len(removed) < len(found)
    scores = np.concatenate([merged.scores, removed.scores])  # all differ in these files
    assert sorted(scores) == sorted(found.scores)
