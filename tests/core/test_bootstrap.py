import json

import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded, one_image
from scale_match.core import weighted_curve
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.bootstrap import (
    bootstrap_average_precision,
    bootstrap_average_recall,
    weighted_average_precision,
    weighted_average_recall,
)
from scale_match.core.errors import InputError
from scale_match.core.resampling import image_weights, interval

LIMITS = (12, 1000)


def repeated(ground_truth, results, weights):
    """A data set in which each image stands as often as ``weights`` says, with ids of its own.

    Args: weights: id -> number of copies. Copies take consecutive new ids in the order of the old.
    """
    old_ids = sorted(image["id"] for image in ground_truth["images"])
    copies = [(old, copy) for old in old_ids for copy in range(weights[old])]
    images, annotations, detections = [], [], []
    entries = {image["id"]: image for image in ground_truth["images"]}
    for new, (old, _) in enumerate(copies, start=100):
        images.append(entries[old] | {"id": new})
        annotations += [
            one | {"image_id": new} for one in ground_truth["annotations"] if one["image_id"] == old
        ]
        detections += [one | {"image_id": new} for one in results if one["image_id"] == old]
    for number, one in enumerate(annotations):
        one["id"] = number
    content = {"images": images, "annotations": annotations}
    return as_annotations(ground_truth | content), as_detections(detections)


def evaluated(ground_truth, results):
    return evaluate_average_precision(
        as_annotations(ground_truth), as_detections(results), max_dets=LIMITS
    )


def many_images(seed, *, images=12, digits=None, **options):
    """Crowded input with equal scores in every image, or with scores that nearly all differ."""
    ground_truth, results = crowded(seed, images=images, truths=120, detections=500, **options)
    if digits is not None:
        rng = np.random.default_rng(seed)
        for one in results:
            one["score"] = round(float(rng.random()), digits)
    return ground_truth, results


# ---- A resample is a data set ----


@pytest.mark.parametrize("digits", [None, 1, 2, 12])
@pytest.mark.parametrize("seed", range(3))
def test_every_value_is_that_of_a_data_set_with_repeated_images(seed, digits):
    ground_truth, results = many_images(seed, digits=digits)
    result = evaluated(ground_truth, results)
    weights = image_weights(len(result.record.image_ids), resamples=8, seed=seed)
    for limit in LIMITS:
        precision = weighted_average_precision(result, weights, max_dets=limit)
        recall = weighted_average_recall(result, weights, max_dets=limit)
        for b, column in enumerate(weights.T):
            copies = dict(zip(result.record.image_ids.tolist(), column.tolist(), strict=True))
            really = evaluate_average_precision(
                *repeated(ground_truth, results, copies), max_dets=(limit,)
            )
            # Not nearly: exactly. -1 there is NaN here.
            for values, expected in (
                (precision, really.average_precision()),
                (recall, really.average_recall()),
            ):
                ours = {key: np.nan_to_num(samples[b], nan=-1.0) for key, samples in values.items()}
                assert ours == expected


def test_images_that_differ_in_number_of_copies_alone_are_told_apart():
    ground_truth, results = many_images(3)
    result = evaluated(ground_truth, results)
    ids = result.record.image_ids.tolist()
    weights = np.array([[0, 5, 1, 2, 0, 0, 9, 1, 1, 0, 3, 1]]).T
    really = evaluate_average_precision(
        *repeated(ground_truth, results, dict(zip(ids, weights[:, 0].tolist(), strict=True)))
    )
    ours = weighted_average_precision(result, weights, max_dets=1000)
    expected = really.average_precision(1000)
    assert {key: np.nan_to_num(values[0], nan=-1.0) for key, values in ours.items()} == expected


@pytest.mark.parametrize("seed", range(4))
def test_with_each_image_once_the_value_is_that_of_the_evaluation_itself(seed):
    result = evaluated(*many_images(seed, digits=(None, 1, 2, 9)[seed]))
    once = np.ones((len(result.record.image_ids), 3), int)
    for limit in LIMITS:
        precision = weighted_average_precision(result, once, max_dets=limit)
        recall = weighted_average_recall(result, once, max_dets=limit)
        for b in range(3):
            ours = {key: np.nan_to_num(values[b], nan=-1.0) for key, values in precision.items()}
            assert ours == result.average_precision(limit)
            ours = {key: np.nan_to_num(values[b], nan=-1.0) for key, values in recall.items()}
            assert ours == result.average_recall(limit)


@pytest.mark.parametrize("fixture", ["small", "edge", "edge/twocat", "edge/crowd", "visdrone50"])
def test_the_authors_fixtures_can_be_resampled(shared, fixture):
    folder = shared(f"oracle/eval/{fixture}")
    ground_truth, results = (
        json.loads((folder / name).read_text()) for name in ("gt.json", "dt.json")
    )
    result = evaluated(ground_truth, results)
    weights = image_weights(len(result.record.image_ids), resamples=3, seed=0)
    weights[:, 0] = 1
    samples = weighted_average_precision(result, weights, max_dets=1000)
    for b, column in enumerate(weights.T):
        copies = dict(zip(result.record.image_ids.tolist(), column.tolist(), strict=True))
        really = evaluate_average_precision(*repeated(ground_truth, results, copies))
        ours = {key: np.nan_to_num(values[b], nan=-1.0) for key, values in samples.items()}
        assert ours == really.average_precision(1000)


def test_the_random_input_has_what_makes_it_hard():
    # Equal scores of a hit and a false positive in one image; resamples without a category.
    result = evaluated(*many_images(0))
    record = result.record
    tied = (np.diff(record.images) == 0) & (np.diff(record.scores) == 0)
    outcomes = record.outcomes[0, 1]
    assert (tied & (outcomes[1:] == 1) & (outcomes[:-1] == 0)).sum() > 3
    assert (tied & (outcomes[1:] == 0) & (outcomes[:-1] == 1)).sum() > 3
    assert (result.num_targets == 0).any()
    assert (result.num_targets > 0).all(axis=0).any()


def test_two_copies_stand_one_after_the_other_where_scores_are_equal():
    # In the image: hit, false positive, both of score 0.5. Copies: hit, fp, hit, fp, not
    # hit, hit, fp, fp; so the precision of the second half of the recall is 2/3.
    box = [100, 100, 10, 10]
    result = evaluate_average_precision(
        *one_image([(box, {})], [(box, 0.5), ([300, 300, 10, 10], 0.5)])
    )
    value = weighted_average_precision(result, np.array([[2]]), keys=["all_50"])["all_50"]
    # The levels up to 1/2 are 0 to 0.5, which are 51; the protocol adds 2.2e-16 to a denominator.
    assert value == pytest.approx([(51 + 50 * 2 / 3) / 101], abs=1e-15)


@pytest.mark.parametrize(("sums", "cells"), [(1, 1), (500, 100), (100, 1 << 20)])
def test_the_size_of_blocks_does_not_matter(monkeypatch, sums, cells):
    result = evaluated(*many_images(1))
    expected = bootstrap_average_precision(result, resamples=40, seed=0)
    monkeypatch.setattr(weighted_curve, "_MOST_SUMS", sums)
    monkeypatch.setattr(weighted_curve, "_MOST_CELLS", cells)
    monkeypatch.setattr(weighted_curve, "_PIECE", 3)
    found = bootstrap_average_precision(result, resamples=40, seed=0)
    for key, values in expected.items():
        assert np.array_equal(found[key], values, equal_nan=True)


# ---- Choice of resamples, keys, limits ----


def test_the_same_seed_gives_the_same_values_and_another_seed_others():
    result = evaluated(*many_images(0))
    first, same, other = (
        bootstrap_average_precision(result, resamples=20, seed=seed, keys=["all_25"])["all_25"]
        for seed in (0, 0, 1)
    )
    assert (first == same).all()
    assert (first != other).any()


def test_a_key_has_the_same_values_alone_and_among_others():
    result = evaluated(*many_images(0))
    for function in (bootstrap_average_precision, bootstrap_average_recall):
        every = function(result, resamples=20, seed=0)
        assert list(every) == list(result.average_precision())
        alone = function(result, resamples=20, seed=0, keys=["tiny_50"])
        assert list(alone) == ["tiny_50"]
        assert np.array_equal(alone["tiny_50"], every["tiny_50"], equal_nan=True)


def test_the_first_limit_is_the_default():
    result = evaluated(*many_images(0))
    for function in (bootstrap_average_precision, bootstrap_average_recall):
        default, first, second = (
            function(result, resamples=5, seed=0, keys=["all_25"], max_dets=limit)["all_25"]
            for limit in (None, *LIMITS)
        )
        assert (default == first).all()
        assert (first != second).any()


def test_progress_sees_every_key():
    seen = []
    result = evaluated(*many_images(0))
    bootstrap_average_precision(
        result, resamples=2, seed=0, progress=lambda keys: seen.extend(keys) or keys
    )
    assert seen == list(result.average_precision())


def test_the_interval_tells_how_much_the_images_differ():
    # 40 images with one object each, found in every second: AP is about the share of images.
    box = [50, 50, 10, 10]
    ground_truth = {
        "images": [{"id": i, "file_name": "a", "width": 200, "height": 200} for i in range(40)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": box, "area": 100} for i in range(40)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    results = [
        {"image_id": i, "category_id": 1, "bbox": box, "score": 0.5} for i in range(0, 40, 2)
    ]
    samples = bootstrap_average_precision(
        evaluated(ground_truth, results), resamples=2000, seed=0, keys=["tiny_50"]
    )["tiny_50"]
    found = interval(samples)
    # The share of 40 draws with probability 1/2 has the standard deviation 0.079.
    assert samples.mean() == pytest.approx(0.5, abs=0.02)
    assert found.standard_error == pytest.approx(0.079, abs=0.006)
    assert found.low == pytest.approx(0.5 - 1.96 * 0.079, abs=0.03)


def test_two_results_over_the_same_images_are_resampled_alike():
    # The second finds nothing in one image: it is worse in the resamples that hold that image,
    # and equal in the others.
    ground_truth, results = many_images(0, digits=12)
    better = evaluated(ground_truth, results)
    record = better.record
    image = record.images[np.flatnonzero(record.outcomes[0, 1] == 1)[0]]
    blank = record.image_ids[image]
    worse = evaluated(ground_truth, [one for one in results if one["image_id"] != blank])
    first, second = (
        bootstrap_average_recall(one, resamples=100, seed=3, keys=["all_50"], max_dets=1000)
        for one in (better, worse)
    )
    difference = first["all_50"] - second["all_50"]
    drawn = image_weights(len(record.image_ids), resamples=100, seed=3)[image] > 0
    assert (difference[~drawn] == 0).all()
    assert (difference[drawn] > 0).all()


# ---- Nothing to measure ----


def test_without_ground_truth_of_a_range_there_is_no_value():
    result = evaluate_average_precision(*one_image([([9, 9, 10, 10], {})], []))
    for function in (bootstrap_average_precision, bootstrap_average_recall):
        values = function(result, resamples=4, seed=0)
        assert np.isnan(values["small_50"]).all()
        assert (values["tiny_50"] == 0).all()


def test_a_resample_without_ground_truth_of_a_range_has_no_value():
    ground_truth, results = many_images(5)
    result = evaluated(ground_truth, results)
    weights = np.zeros((12, 2), int)
    weights[:, 1] = 1
    for function in (weighted_average_precision, weighted_average_recall):
        values = function(result, weights)["all_25"]
        assert np.isnan(values[0])
        assert values[1] > 0


def test_categories_without_ground_truth_in_a_resample_are_not_in_its_mean():
    # Image 1 has the object of category 1 (found), image 2 that of category 2 (missed).
    box = [50, 50, 10, 10]
    ground_truth = {
        "images": [{"id": i, "file_name": "a", "width": 200, "height": 200} for i in (1, 2)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": i, "bbox": box, "area": 100} for i in (1, 2)
        ],
        "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
    }
    results = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.5}]
    weights = np.array([[1, 2, 0], [1, 0, 2]])
    values = weighted_average_precision(evaluated(ground_truth, results), weights)["tiny_50"]
    assert values == pytest.approx([0.5, 1.0, 0.0], abs=1e-15)


@pytest.mark.parametrize("empty", ["images", "categories"])
def test_a_data_set_without_images_or_categories_has_no_values(empty):
    ground_truth = {
        "images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}],
        "annotations": [],
        "categories": [{"id": 1, "name": "one"}],
        empty: [],
    }
    for function in (bootstrap_average_precision, bootstrap_average_recall):
        values = function(evaluated(ground_truth, []), resamples=3, seed=0)
        assert all(np.isnan(samples).all() and len(samples) == 3 for samples in values.values())


# ---- Errors ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": ["tiny_33"]}, r"tiny_33 was not evaluated, only \['all_25', 'tiny_25'"),
        ({"max_dets": 7}, r"maxDets 7 was not evaluated, only \[12, 1000\]"),
        ({"resamples": 0}, "needs at least one resample; received 0"),
        ({"seed": -2}, "seed of a bootstrap must not be negative; received -2"),
    ],
)
@pytest.mark.parametrize("function", [bootstrap_average_precision, bootstrap_average_recall])
def test_what_cannot_be_resampled_is_refused(function, options, message):
    result = evaluated(*many_images(0))
    with pytest.raises(InputError, match=message):
        function(result, **({"resamples": 5, "seed": 0} | options))


@pytest.mark.parametrize(
    "weights",
    [
        *(np.ones((11, 2), int), np.ones(12, int), np.ones((12, 1))),
        *(np.full((12, 1), -1), np.full((12, 1), 128)),
    ],
)
@pytest.mark.parametrize("function", [weighted_average_precision, weighted_average_recall])
def test_weights_that_are_no_numbers_of_copies_are_refused(function, weights):
    result = evaluated(*many_images(0))
    with pytest.raises(InputError, match=r"whole numbers from 0 to 127 for each of 12 images; rec"):
        function(result, weights)
