import pytest

from evaluation_samples import as_annotations, as_detections, crowded, one_image
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.metric_names import MetricName, tiny_metrics


@pytest.fixture(scope="module")
def result():
    ground_truth, results = crowded(0)
    return evaluate_average_precision(
        as_annotations(ground_truth), as_detections(results), max_dets=(5, 50)
    )


def test_names_without_a_limit_mean_the_largest_wherever_it_stands(result):
    metrics = tiny_metrics(result)
    assert metrics["AP50_tiny"] == result.average_precision(50)["tiny_50"]
    assert metrics["AP50_tiny_maxDets5"] == result.average_precision(5)["tiny_50"]
    assert metrics["AP50_tiny"] != metrics["AP50_tiny_maxDets5"]
    assert metrics["AR25_all"] == result.average_recall(50)["all_25"]
    assert metrics["AR25_all_maxDets5"] == result.average_recall(5)["all_25"]


def test_every_range_threshold_limit_and_kind_has_its_name(result):
    metrics = tiny_metrics(result)
    assert len(metrics) == 7 * 3 * 2 * 2
    assert next(iter(metrics)) == "AP25_all"
    assert not any("-" in name for name in metrics)
    assert all(type(value) is float for value in metrics.values())
    assert all(str(MetricName.parse(name)) == name for name in metrics)


def test_a_range_without_objects_has_minus_one():
    tables = one_image([([0, 0, 10, 10], {})], [])
    metrics = tiny_metrics(evaluate_average_precision(*tables))
    assert (metrics["AP50_tiny"], metrics["AP50_small"], metrics["AR50_small"]) == (0.0, -1.0, -1.0)


def test_labels_with_underscores_are_kept_whole():
    ranges = {"very_tiny": (1.0, 5.0)}
    tables = one_image([([0, 0, 4, 4], {})], [([0, 0, 4, 4], 0.5)])
    metrics = tiny_metrics(
        evaluate_average_precision(*tables, size_ranges=ranges, iou_thresholds=(0.05,))
    )
    assert next(iter(metrics)) == "AP5_very_tiny"
    assert MetricName.parse("AP5_very_tiny_maxDets200") == MetricName("AP", 5, "very_tiny", 200)


@pytest.mark.parametrize("name", ["AP", "AP50", "mAP50_tiny", "AP_tiny", "AP50_tiny-x", "seconds"])
def test_other_names_are_not_taken_apart(name):
    assert MetricName.parse(name) is None
