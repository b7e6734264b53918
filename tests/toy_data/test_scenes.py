import numpy as np
import pytest

from oracles.blob_detector import SCORES, THRESHOLDS, contrast_map, find_blobs
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.metric_names import tiny_metrics
from scale_match.core.records import (
    Annotations,
    AnnotationTable,
    CategoryRecord,
    DetectionTable,
    ImageRecord,
)
from scale_match.toy.scenes import Scene, draw_source_scene, draw_target_scene


@pytest.fixture(scope="module")
def target_scenes():
    return [draw_target_scene(np.random.default_rng((0, 2, index))) for index in range(12)]


@pytest.fixture(scope="module")
def source_scenes():
    return [draw_source_scene(np.random.default_rng((0, 0, index))) for index in range(24)]


def _sizes(scenes: list[Scene]) -> np.ndarray:
    boxes = np.concatenate([s.boxes[~(s.ignore | s.iscrowd)] for s in scenes])
    return np.sqrt(boxes[:, 2] * boxes[:, 3])


def test_target_scenes_are_like_those_of_tiny_person(target_scenes):
    sizes = _sizes(target_scenes)
    assert all(scene.image.shape == (720, 1280, 3) for scene in target_scenes)
    assert all(scene.image.dtype == np.uint8 for scene in target_scenes)
    assert sizes.min() >= 2.0
    assert sizes.max() <= 32.0 + 1e-9
    assert (sizes <= 20.0).mean() > 2 / 3
    assert len(sizes) / len(target_scenes) > 25


def test_source_scenes_show_few_large_persons(source_scenes):
    sizes = _sizes(source_scenes)
    counts = [np.count_nonzero(~scene.iscrowd) for scene in source_scenes]
    assert sizes.min() >= 40.0 - 1e-9
    assert sizes.max() <= 200.0
    assert min(counts) >= 2
    assert max(counts) <= 8


def test_every_kind_of_flag_occurs(target_scenes, source_scenes):
    assert any(scene.ignore.any() for scene in target_scenes)
    assert any(scene.uncertain.any() for scene in target_scenes)
    assert any(scene.iscrowd.any() for scene in source_scenes)


def test_grounds_differ(target_scenes):
    means = np.array([scene.image.mean(axis=(0, 1)) for scene in target_scenes])
    assert np.ptp(means, axis=0).min() > 40.0


def test_boxes_lie_inside_of_the_image_and_have_area(target_scenes, source_scenes):
    for scene in (*target_scenes, *source_scenes):
        height, width = scene.image.shape[:2]
        assert (scene.boxes[:, :2] >= 0.0).all()
        assert (scene.boxes[:, 0] + scene.boxes[:, 2] <= width + 1e-9).all()
        assert (scene.boxes[:, 1] + scene.boxes[:, 3] <= height + 1e-9).all()
        assert (scene.boxes[:, 2:] > 0.0).all()


def test_flags_have_one_entry_for_each_box(target_scenes):
    for scene in target_scenes:
        lengths = {len(scene.boxes), len(scene.ignore), len(scene.uncertain), len(scene.iscrowd)}
        assert len(lengths) == 1


def test_a_scene_is_a_function_of_its_generator():
    first, second = (draw_target_scene(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.boxes, second.boxes)
    other = draw_target_scene(np.random.default_rng(6))
    assert not np.array_equal(first.image, other.image)


def _ground_truth(scenes: list[Scene]) -> Annotations:
    counts = [len(scene.boxes) for scene in scenes]
    boxes = np.concatenate([scene.boxes for scene in scenes])
    height, width = scenes[0].image.shape[:2]
    table = AnnotationTable(
        ids=np.arange(1, len(boxes) + 1),
        image_ids=np.repeat(np.arange(len(scenes)), counts),
        category_ids=np.ones(len(boxes), dtype=np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        iscrowd=np.concatenate([scene.iscrowd for scene in scenes]),
        ignore=np.concatenate([scene.ignore for scene in scenes]),
        uncertain=np.concatenate([scene.uncertain for scene in scenes]),
    )
    images = tuple(ImageRecord(i, f"{i}.jpg", width, height) for i in range(len(scenes)))
    return Annotations("toy", images, (CategoryRecord(1, "person"),), table)


def _ap50_tiny(truth: Annotations, boxes: list[np.ndarray], scores: list[np.ndarray]) -> float:
    counts = [len(each) for each in boxes]
    table = DetectionTable(
        image_ids=np.repeat(np.arange(len(boxes)), counts),
        category_ids=np.ones(sum(counts), dtype=np.int64),
        boxes=np.concatenate(boxes),
        scores=np.concatenate(scores),
    )
    return tiny_metrics(evaluate_average_precision(truth, table))["AP50_tiny"]


def test_perfect_detections_would_reach_one(target_scenes):
    truth = _ground_truth(target_scenes)
    boxes = [scene.boxes for scene in target_scenes]
    assert _ap50_tiny(truth, boxes, [np.ones(len(each)) for each in boxes]) == 1.0


def test_a_detector_of_contrast_finds_next_to_nothing(target_scenes):
    """The data is not trivial: thresholding and connected components stay under 0.15."""
    truth = _ground_truth(target_scenes)
    maps = [contrast_map(scene.image) for scene in target_scenes]
    reached = {}
    for threshold in THRESHOLDS:
        found = [find_blobs(contrast, threshold) for contrast in maps]
        for name in SCORES:
            boxes, scores = (
                [blobs.boxes for blobs in found],
                [blobs.scores[name] for blobs in found],
            )
            reached[threshold, name] = _ap50_tiny(truth, boxes, scores)
    assert max(reached.values()) < 0.15, reached
    assert max(reached.values()) > 0.02, "the detector no longer finds anything: mend it"
