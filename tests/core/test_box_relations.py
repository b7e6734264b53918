import numpy as np
import pytest

from oracles import average_precision_reference as reference
from scale_match.core.box_relations import PlacedBoxes, find_relations


def placed(*rows):
    """Boxes from (image, category, box) each."""
    return PlacedBoxes(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
    )


def related(detections, targets, threshold=0.1):
    every = np.ones(len(detections), bool), np.ones(len(targets), bool)
    return find_relations(detections, targets, threshold=threshold, among=every[0], wanted=every[1])


def test_pairs_stand_in_the_order_of_preference():
    detection = placed((0, 0, [0, 0, 10, 10]))
    targets = placed(
        (0, 0, [0, 5, 10, 10]),  # IoU 1/3
        (0, 0, [0, 0, 10, 10]),  # IoU 1
        (0, 1, [0, 0, 10, 10]),  # IoU 1, another category
        (0, 0, [0, -5, 10, 10]),  # IoU 1/3
    )
    relations = related(detection, targets)
    assert relations.detections.tolist() == [0, 0, 0, 0]
    assert relations.targets.tolist() == [1, 3, 0, 2]
    assert relations.iou.tolist() == [1.0, 1 / 3, 1 / 3, 1.0]
    assert relations.same.tolist() == [True, True, True, False]


def test_boxes_of_other_images_have_nothing_in_common():
    relations = related(placed((0, 0, [0, 0, 10, 10])), placed((1, 0, [0, 0, 10, 10])))
    assert len(relations.detections) == 0


def test_an_iou_of_exactly_the_threshold_is_enough():
    detection, target = placed((0, 0, [0, 0, 10, 10])), placed((0, 0, [0, 0, 10, 1]))
    assert len(related(detection, target, 0.1).iou) == 1
    assert len(related(detection, target, np.nextafter(0.1, 1)).iou) == 0


def test_only_boxes_that_are_asked_for_are_paired():
    boxes = placed((0, 0, [0, 0, 10, 10]), (0, 0, [1, 0, 10, 10]))
    relations = find_relations(
        boxes,
        boxes,
        threshold=0.1,
        among=np.array([False, True]),
        wanted=np.array([True, False]),
    )
    assert (relations.detections.tolist(), relations.targets.tolist()) == ([1], [0])


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_the_plain_loops(seed):
    rng = np.random.default_rng(seed)

    def random(count):
        return placed(
            *(
                (rng.integers(2), rng.integers(2), rng.integers(0, 25, 4).tolist())
                for _ in range(count)
            )
        )

    detections, targets = random(40), random(30)
    relations = related(detections, targets)
    expected = {}
    for d, box in enumerate(detections.boxes):
        for g, other in enumerate(targets.boxes):
            iou = reference.iou({"bbox": box}, {"bbox": other, "iscrowd": 0})
            if detections.images[d] == targets.images[g] and iou >= 0.1:
                expected[d, g] = iou, detections.categories[d] == targets.categories[g]
    pairs = zip(relations.detections.tolist(), relations.targets.tolist(), strict=True)
    values = zip(relations.iou.tolist(), relations.same.tolist(), strict=True)
    assert dict(zip(pairs, values, strict=True)) == expected
    assert len(relations.iou) == len(expected) > 50


def test_the_best_pair_of_each_detection():
    relations = related(
        placed((0, 0, [0, 0, 10, 10]), (0, 0, [300, 0, 10, 10]), (0, 0, [0, 2, 10, 10])),
        placed((0, 0, [0, 0, 10, 10]), (0, 0, [0, 2, 10, 10])),
    )
    iou, targets = relations.best(3)
    assert iou.tolist() == [1.0, 0.0, 1.0]
    assert targets.tolist() == [0, -1, 1]


def test_without_boxes_there_are_no_pairs():
    some = placed((0, 0, [0, 0, 10, 10]))
    for detections, targets in ((placed(), some), (some, placed()), (placed(), placed())):
        relations = related(detections, targets)
        assert len(relations.iou) == 0
        assert relations.best(len(detections))[1].tolist() == [-1] * len(detections)


def test_boxes_without_area_overlap_nothing():
    assert len(related(placed((0, 0, [5, 5, 0, 0])), placed((0, 0, [0, 0, 10, 10]))).iou) == 0
