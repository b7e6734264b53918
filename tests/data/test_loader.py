from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import SampledScaleMatch
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.data.loader import build_test_loader, build_train_loader
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """12 wide and 5 tall images."""
    folder = tmp_path_factory.mktemp("loader")
    dicts = []
    for name, count, width, height in (("wide", 12, 64, 48), ("tall", 5, 40, 60)):
        path, image_dir = make_toy_dataset(
            folder / name, num_images=count, width=width, height=height
        )
        dicts += load_dicts(read_annotations(path), image_dir)
    for index, entry in enumerate(dicts):
        entry["image_id"] = index
    return dicts


@pytest.fixture(scope="module")
def mapper():
    policy = SampledScaleMatch(SizeHistogram.from_sizes(np.arange(3.0, 9.0, 0.01)))
    return ScaleMatchDatasetMapper(
        True, augmentations=[T.RandomFlip()], image_format="RGB", scale_policy=policy, seed=3
    )


def batches(toy, mapper, count, **arguments):
    """The first batches of a loader: image, epoch, scale, pixels and boxes of every sample."""
    arguments = {"total_batch_size": 4, "seed": 5, "rank": 0, "world_size": 1} | arguments
    loader = build_train_loader(toy, mapper, **arguments)
    return [[contents(sample) for sample in batch] for batch in islice(loader, count)]


def contents(sample):
    return (
        sample["image_id"], sample["epoch"], sample["scale"],
        sample["image"].numpy().tobytes(), sample["instances"].gt_boxes.tensor.tolist(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def expected(toy, mapper):
    """12 batches, two epochs and two batches, of one process without workers."""
    return batches(toy, mapper, 12)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_the_number_of_workers_changes_nothing(toy, mapper, expected, num_workers):
    assert batches(toy, mapper, 12, num_workers=num_workers) == expected


@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_processes_share_the_batches_of_one(toy, mapper, expected, num_workers):
    ranks = [
        batches(toy, mapper, 12, rank=rank, world_size=2, num_workers=num_workers)
        for rank in range(2)
    ]
    assert [a + b for a, b in zip(*ranks, strict=True)] == expected


@pytest.mark.parametrize(("start", "num_workers"), [(1, 0), (7, 2)])
def test_a_resumed_run_goes_on_with_the_same_samples(toy, mapper, expected, start, num_workers):
    rest = batches(toy, mapper, 12 - start, start_iteration=start, num_workers=num_workers)
    assert rest == expected[start:]


def test_an_image_gets_another_scale_in_another_epoch(expected):
    samples = {(image, epoch): scale for batch in expected for image, epoch, scale, *_ in batch}
    assert {epoch for _, epoch in samples} == {0, 1, 2}
    pairs = [(samples[image, 0], samples[image, 1]) for image, epoch in samples if epoch == 1]
    assert len(pairs) == 17
    assert all(first != second for first, second in pairs)


def test_the_length_of_an_epoch_is_known(toy, mapper):
    loader = build_train_loader(toy, mapper, total_batch_size=4, seed=0, rank=0, world_size=1)
    assert loader.iterations_per_epoch == 3 + 2


def test_rank_and_world_size_are_detectron2s_by_default(toy, mapper, expected):
    loader = build_train_loader(toy, mapper, total_batch_size=4, seed=5)
    assert [contents(sample) for sample in next(iter(loader))] == expected[0]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_global_generators_are_left_as_they_were(toy, mapper, num_workers):
    torch.manual_seed(0)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    batches(toy, mapper, 2, num_workers=num_workers)
    after = np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert (before[1] == after[1]).all()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_input_in_a_worker_is_still_one_sentence(toy, mapper, num_workers):
    broken = [{**entry, "file_name": "/none.jpg"} for entry in toy]
    message = r"^image file /none.jpg \(image id \d+\) does not exist$"
    with pytest.raises(InputError, match=message):
        batches(broken, mapper, 1, num_workers=num_workers)


def test_an_error_of_the_program_is_not_hidden(toy):
    def fail(_):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        batches(toy, fail, 1)


def test_data_that_cannot_be_trained_on_are_refused(toy, mapper):
    with pytest.raises(InputError, match="has no image at all"):
        batches([], mapper, 1)
    unusable = [{**entry, "annotations": []} for entry in toy]
    with pytest.raises(InputError, match="there is no box to train on in 17 images"):
        batches(unusable, mapper, 1)
    with pytest.raises(InputError, match="must be a multiple of the 3 processes"):
        batches(toy, mapper, 1, world_size=3)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_testing_sees_every_image_once_and_in_order(toy, num_workers):
    mapper = ScaleMatchDatasetMapper(False, augmentations=[], image_format="RGB")
    loader = build_test_loader(toy, mapper, num_workers=num_workers)
    assert len(loader) == 17
    assert [[sample["image_id"] for sample in batch] for batch in loader] == [
        [index] for index in range(17)
    ]


def test_testing_reports_bad_input_as_one_sentence(toy):
    mapper = ScaleMatchDatasetMapper(False, augmentations=[], image_format="RGB")
    broken = [*toy[:2], {**toy[2], "file_name": "/none.jpg"}]
    with pytest.raises(InputError, match=r"^image file /none.jpg \(image id 2\) does not exist$"):
        list(build_test_loader(broken, mapper, num_workers=1))


def test_testing_without_an_image_is_refused():
    with pytest.raises(InputError, match="the data set to test on has no image at all"):
        build_test_loader([], lambda entry: entry)
