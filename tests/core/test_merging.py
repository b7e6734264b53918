"""Suppression of duplicates, and results on tiles merged into results on images."""

import numpy as np
import pytest

from oracles import nms_reference as reference
from oracles.merge_files import read_detections, read_tile_annotations
from scale_match.core import merging
from scale_match.core.errors import InputError
from scale_match.core.merging import class_aware_nms, merge_tile_results, nms
from scale_match.core.records import Annotations, DetectionTable, ImageRecord


def random_detections(seed, count, dtype=np.float64, spread=60.0):
    """Boxes that overlap a lot, on a grid coarse enough for equal coordinates and equal scores."""
    rng = np.random.default_rng(seed)
    corners = np.round(rng.uniform(0, spread, (count, 2)))
    boxes = np.concatenate([corners, corners + np.round(rng.uniform(0, 20, (count, 2)))], axis=1)
    return boxes.astype(dtype), np.round(rng.random(count), 2)


RULES = [{"plus_one": p, "inclusive": i} for p in (False, True) for i in (False, True)]


class TestNms:
    def test_the_best_of_overlapping_boxes_stays(self):
        # IoU of the first two: 90 / 110; the third touches the second only.
        boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [11, 0, 21, 10]]
        assert nms(boxes, [0.8, 0.9, 0.1], threshold=0.5).tolist() == [1, 2]

    def test_a_suppressed_box_suppresses_nothing(self):
        # A chain: each overlaps its neighbours by 6 of 14.
        boxes = [[4 * k, 0, 4 * k + 10, 10] for k in range(5)]
        assert nms(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], threshold=0.4).tolist() == [0, 2, 4]

    @pytest.mark.parametrize(("inclusive", "kept"), [(False, [0, 1]), (True, [0])])
    def test_iou_equal_to_the_threshold(self, inclusive, kept):
        boxes = [[0, 0, 10, 10], [0, 0, 10, 5]]
        assert nms(boxes, [2, 1], threshold=0.5, inclusive=inclusive).tolist() == kept

    @pytest.mark.parametrize(("plus_one", "kept"), [(False, [0, 1]), (True, [0])])
    def test_plus_one_matters_for_tiny_boxes(self, plus_one, kept):
        # 2 x 2 px shifted by 1: 2 / 6; with +1 on the sides 3 x 3 by 1: 6 / 12.
        boxes = [[0, 0, 2, 2], [1, 0, 3, 2]]
        assert nms(boxes, [2, 1], threshold=0.49, plus_one=plus_one).tolist() == kept

    @pytest.mark.parametrize("rule", RULES)
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("threshold", [0.1, 0.5, 0.75])
    def test_agrees_with_the_plain_reference(self, threshold, dtype, rule):
        for seed in range(6):
            boxes, scores = random_detections(seed, 5 + 25 * seed, dtype)
            expected = reference.nms(boxes, scores, threshold=threshold, **rule)
            assert nms(boxes, scores, threshold=threshold, **rule).tolist() == expected

    @pytest.mark.parametrize("rule", RULES)
    def test_blocks_do_not_show(self, monkeypatch, rule):
        boxes, scores = random_detections(3, 300, np.float32)
        whole = nms(boxes, scores, threshold=0.3, **rule).tolist()
        monkeypatch.setattr(merging, "_CHUNK_BOXES", 7)
        monkeypatch.setattr("scale_match.core.conflicts._CHUNK_PAIRS", 5)
        assert nms(boxes, scores, threshold=0.3, **rule).tolist() == whole
        assert whole == reference.nms(boxes, scores, threshold=0.3, **rule)

    def test_the_order_of_the_boxes_does_not_matter(self):
        boxes, _ = random_detections(0, 200)
        scores = np.random.default_rng(0).permutation(200)
        order = np.random.default_rng(1).permutation(200)
        first = nms(boxes, scores, threshold=0.4)
        second = nms(boxes[order], scores[order], threshold=0.4)
        assert order[second].tolist() == first.tolist()

    def test_between_equal_scores_the_lower_index_wins(self):
        boxes = np.tile([0.0, 0.0, 9.0, 9.0], (50, 1))
        assert nms(boxes, np.zeros(50), threshold=0.5).tolist() == [0]
        apart = boxes + 20 * np.arange(50)[:, None]
        assert nms(apart, np.zeros(50), threshold=0.5).tolist() == list(range(50))

    def test_what_stays_does_not_overlap_and_covers_what_goes(self):
        boxes, scores = random_detections(5, 400)
        kept = nms(boxes, scores, threshold=0.5)
        assert nms(boxes[kept], scores[kept], threshold=0.5).tolist() == list(range(len(kept)))
        assert (np.diff(scores[kept]) <= 0).all()
        zero = np.float64(0)
        for index in np.setdiff1d(np.arange(400), kept):
            better = kept[scores[kept] >= scores[index]]
            assert any(reference.iou(boxes[k], boxes[index], zero) > 0.5 for k in better)

    def test_boxes_without_area_neither_go_nor_suppress(self):
        boxes = [[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10], [8, 8, 2, 2]]
        assert nms(boxes, [4, 3, 2, 1], threshold=0.0).tolist() == [0, 1, 2, 3]

    def test_no_boxes(self):
        kept = nms([], [], threshold=0.5)
        assert (kept.shape, kept.dtype) == ((0,), np.int64)

    def test_threshold_of_one_keeps_all_but_with_inclusive_no_duplicates(self):
        boxes = [[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 8]]
        assert nms(boxes, [3, 2, 1], threshold=1.0).tolist() == [0, 1, 2]
        assert nms(boxes, [3, 2, 1], threshold=1.0, inclusive=True).tolist() == [0, 2]

    def test_the_arguments_stay_as_they_are(self):
        boxes, scores = random_detections(0, 50, np.float32)
        before = boxes.copy(), scores.copy()
        nms(boxes, scores, threshold=0.5, plus_one=True)
        np.testing.assert_array_equal(boxes, before[0])
        np.testing.assert_array_equal(scores, before[1])

    @pytest.mark.parametrize(
        ("boxes", "scores", "options", "message"),
        [
            ([[0, 0, 1, 1]], [1], {"threshold": -0.1}, "threshold must be in .* got -0.1"),
            ([[0, 0, 1, 1]], [1], {"threshold": 1.1}, "threshold must be in .* got 1.1"),
            ([[0, 0, 1, 1]], [1], {"threshold": 0.0, "inclusive": True}, "threshold must be in"),
            ([[0, 0, 1, 1]], [1, 2], {"threshold": 0.5}, r"got \(1, 4\) and \(2,\)"),
            ([[0, 0, 1]], [1], {"threshold": 0.5}, r"shapes \(N, 4\) and \(N,\), got \(1, 3\)"),
            ([[0, 0, 1, np.inf]], [1], {"threshold": 0.5}, "boxes must be finite"),
            ([[0, 0, 1, 1]], [np.nan], {"threshold": 0.5}, "scores not NaN"),
        ],
    )
    def test_arguments_that_cannot_be_are_named(self, boxes, scores, options, message):
        with pytest.raises(ValueError, match=message):
            nms(boxes, scores, **options)


class TestClassAwareNms:
    def test_other_classes_are_left_alone(self):
        boxes = [[0, 0, 10, 10]] * 4
        kept = class_aware_nms(boxes, [0.1, 0.2, 0.3, 0.4], [7, 7, 2, 2], threshold=0.5)
        assert kept.tolist() == [3, 1]

    @pytest.mark.parametrize("rule", RULES)
    def test_is_nms_within_each_class(self, rule):
        boxes, scores = random_detections(1, 200)
        classes = np.random.default_rng(1).integers(0, 3, 200)
        expected = []
        for label in range(3):
            members = np.flatnonzero(classes == label)
            kept = reference.nms(boxes[members], scores[members], threshold=0.3, **rule)
            expected += members[kept].tolist()
        kept = class_aware_nms(boxes, scores, classes, threshold=0.3, **rule)
        assert kept.tolist() == sorted(expected, key=lambda k: (-scores[k], k))

    def test_no_boxes(self):
        assert class_aware_nms([], [], [], threshold=0.5).shape == (0,)

    def test_classes_of_another_number_are_refused(self):
        with pytest.raises(ValueError, match=r"classes must have the shape \(1,\), got \(2,\)"):
            class_aware_nms([[0, 0, 1, 1]], [1], [1, 2], threshold=0.5)


@pytest.fixture(scope="module")
def folder(shared):
    return shared("oracle/merge")


@pytest.fixture(scope="module")
def tiles(folder):
    return read_tile_annotations(folder / "corner_gt.json")


@pytest.fixture(scope="module")
def detections(folder):
    return read_detections(folder / "dt_tiles.json")


class TestMergeOracle:
    @pytest.mark.parametrize(
        ("name", "threshold", "tolerance"),
        [("expected_merged", 0.5, 0), ("expected_merged_no_nms", 1.0, 1e-12)],
    )
    def test_results_of_the_original(self, folder, tiles, detections, name, threshold, tolerance):
        expected = read_detections(folder / f"{name}.json")
        merged = merge_tile_results(detections, tiles, threshold=threshold)
        assert merged.image_ids.tolist() == expected.image_ids.tolist()
        assert merged.category_ids.tolist() == expected.category_ids.tolist()
        assert merged.scores.tolist() == expected.scores.tolist()
        np.testing.assert_allclose(merged.boxes, expected.boxes, rtol=0, atol=tolerance)

    def test_per_class_keeps_more(self, tiles, detections):
        together = merge_tile_results(detections, tiles)
        apart = merge_tile_results(detections, tiles, class_aware=True)
        alone = [
            merge_tile_results(of_category(detections, category), tiles) for category in (1, 2)
        ]
        assert len(apart) > len(together)
        assert sorted(apart.scores) == sorted(np.concatenate([part.scores for part in alone]))


def of_category(table, category):
    rows = table.category_ids == category
    return DetectionTable(
        table.image_ids[rows], table.category_ids[rows], table.boxes[rows], table.scores[rows]
    )


def tile(image_id, name, corner):
    return ImageRecord(image_id, name, corner[2] - corner[0], corner[3] - corner[1], corner)


def tile_file(images=None, old_images=None):
    """Two images; the second has two tiles, listed before the one of the first."""
    default = (
        tile(5, "b.jpg", (0, 0, 60, 60)),
        tile(3, "b.jpg", (40, 0, 100, 60)),
        tile(9, "a.jpg", (0, 0, 50, 50)),
    )
    old = (ImageRecord(1, "a.jpg", 50, 50), ImageRecord(2, "b.jpg", 100, 60))
    return Annotations(
        source="corner.json",
        images=default if images is None else images,
        categories=(),
        table=None,
        old_images=old if old_images is None else old_images,
    )


def detections_of(*rows):
    """Rows (image id, category id, box, score)."""
    images, categories, boxes, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return DetectionTable(
        np.array(images, dtype=np.int64),
        np.array(categories, dtype=np.int64),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(scores, dtype=np.float64),
    )


class TestMerge:
    ROWS = (
        (3, 1, (10, 10, 8, 8), 0.3),
        (9, 1, (1, 1, 5, 5), 0.2),
        (5, 1, (50, 10, 8, 8), 0.4),  # the same object as the first, in the other tile
        (5, 2, (50, 10, 8, 8), 0.1),
        (3, 1, (30, 30, 5, 5), 0.9),
    )

    def test_boxes_move_to_their_place_in_the_image(self):
        merged = merge_tile_results(detections_of(*self.ROWS), tile_file(), threshold=1.0)
        assert merged.boxes[:, 0].tolist() == [1, 50, 50, 50, 70]

    def test_rows_come_by_old_image_then_tile_then_place_in_the_file(self):
        merged = merge_tile_results(detections_of(*self.ROWS), tile_file(), threshold=1.0)
        assert merged.image_ids.tolist() == [1, 2, 2, 2, 2]
        assert merged.scores.tolist() == [0.2, 0.4, 0.1, 0.3, 0.9]

    def test_an_object_found_in_two_tiles_or_categories_is_one(self):
        merged = merge_tile_results(detections_of(*self.ROWS), tile_file())
        assert merged.scores.tolist() == [0.2, 0.4, 0.9]

    def test_per_class_an_object_of_two_categories_is_two(self):
        merged = merge_tile_results(detections_of(*self.ROWS), tile_file(), class_aware=True)
        assert merged.scores.tolist() == [0.2, 0.4, 0.1, 0.9]

    def test_duplicates_in_one_tile_are_merged_too(self):
        rows = [(9, 1, (1, 1, 9, 9), 0.5), (9, 2, (1, 1, 9, 9), 0.6)]
        merged = merge_tile_results(detections_of(*rows), tile_file())
        assert (merged.scores.tolist(), merged.category_ids.tolist()) == ([0.6], [2])

    def test_boxes_that_stick_out_are_not_cut(self):
        rows = [(3, 1, (-5, -5, 90, 80), 0.5)]
        merged = merge_tile_results(detections_of(*rows), tile_file())
        assert merged.boxes.tolist() == [[35, -5, 90, 80]]

    @pytest.mark.parametrize("threshold", [0.5, 1.0])
    def test_no_detections(self, threshold):
        merged = merge_tile_results(detections_of(), tile_file(), threshold=threshold)
        assert (len(merged), merged.boxes.shape) == (0, (0, 4))

    def test_the_given_table_stays_as_it_is(self):
        given = detections_of(*self.ROWS)
        merge_tile_results(given, tile_file())
        assert given.boxes.tolist() == [list(row[2]) for row in self.ROWS]

    def test_a_detection_of_an_unknown_tile_is_named(self):
        for image_id in (1, 4, 99):
            rows = detections_of((5, 1, (0, 0, 1, 1), 0.5), (image_id, 1, (0, 0, 1, 1), 0.5))
            message = (
                f"corner.json: a detection must be of one of its tiles, got image id {image_id}"
            )
            with pytest.raises(InputError, match=message):
                merge_tile_results(rows, tile_file())

    @pytest.mark.parametrize("threshold", [0.0, -1.0, np.nan])
    def test_a_threshold_that_suppresses_everything_is_named(self, threshold):
        with pytest.raises(InputError, match="threshold of the merging NMS must be positive, got"):
            merge_tile_results(detections_of(), tile_file(), threshold=threshold)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"images": (ImageRecord(7, "a.jpg", 5, 5),)},
                "corner.json: image 7 has no corner, so it is not a tile",
            ),
            (
                {"images": (tile(7, "c.jpg", (0, 0, 5, 5)),)},
                "corner.json: tile 7 belongs to no old image, got the file name 'c.jpg'",
            ),
            (
                {"old_images": (ImageRecord(1, "a.jpg", 5, 5), ImageRecord(2, "a.jpg", 5, 5))},
                "corner.json: two old images have the file name 'a.jpg'",
            ),
        ],
    )
    def test_a_file_that_is_not_of_tiles_is_named(self, changes, message):
        with pytest.raises(InputError, match=message):
            merge_tile_results(detections_of(), tile_file(**changes))
