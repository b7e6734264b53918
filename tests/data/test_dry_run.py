import random

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import SampledScaleMatch
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.data.dry_run import chooses_sizes, dry_run
from scale_match.data.multi_scale import MultiScalePadded
from scale_match.data.object_crop import ObjectCrop
from scale_match.data.reaspect import ReAspect
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset

SM = SampledScaleMatch(SizeHistogram.from_sizes(np.arange(1.5, 12.0, 0.01)))

AUGMENTATIONS = {
    "nothing": ([], None),
    "flip": ([T.RandomFlip(prob=0.5)], None),
    "resize": ([T.ResizeShortestEdge([40, 50, 60], 100, "choice"), T.RandomFlip()], None),
    "Scale Match": ([T.RandomFlip()], SM),
    "multi-scale": ([MultiScalePadded([[30, 60], [60, 90]], [60, 90])], None),
    "crop": ([ObjectCrop([48, 48], [0.5, 2.0]), T.RandomFlip()], None),
    "stretch": ([ReAspect([0.5, 2.0]), T.RandomBrightness(0.5, 1.5)], None),
    # Transforms whose size after them is not known beforehand.
    "rotation": ([T.RandomRotation([90.0, 90.0])], None),
    "stock crop": ([T.RandomCrop("absolute", (40, 50))], None),
}


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    annotations, images = make_toy_dataset(
        tmp_path_factory.mktemp("toy"), num_images=8, width=96, height=64
    )
    return load_dicts(read_annotations(annotations), images)


def mapper(augmentations, policy, *, is_train=True):
    return ScaleMatchDatasetMapper(
        is_train,
        augmentations=augmentations,
        image_format="RGB",
        scale_policy=policy,
        seed=3,
    )


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_sizes_and_boxes_are_those_of_the_training(entries, name):
    maps = mapper(*AUGMENTATIONS[name])
    for dry, entry in zip(dry_run(maps, entries), entries, strict=True):
        sample = maps(entry)
        assert dry.size == tuple(sample["image"].shape[1:])
        torch.testing.assert_close(
            torch.as_tensor(dry.boxes, dtype=torch.float32), sample["instances"].gt_boxes.tensor
        )


def test_the_zoom_is_that_of_the_lengths(entries):
    half = [T.Resize((32, 48)), T.RandomFlip(prob=1.0)]
    assert [dry.zoom for dry in dry_run(mapper(half, None), entries)] == pytest.approx([0.5] * 8)
    crop = [T.RandomCrop("absolute", (40, 50))]
    assert [dry.zoom for dry in dry_run(mapper(crop, None), entries)] == pytest.approx([1.0] * 8)


def test_a_test_mapper_shows_the_objects_to_be_found(entries):
    flagged = {**entries[0], "annotations": [dict(box) for box in entries[0]["annotations"]]}
    flagged["annotations"][0]["gt_ignore"] = True
    (dry,) = dry_run(mapper([T.Resize((32, 48))], None, is_train=False), [flagged])
    assert len(dry.boxes) == len(flagged["annotations"]) - 1
    x, y, width, height = flagged["annotations"][1]["bbox"]
    assert dry.boxes[0] == pytest.approx(
        [x / 2, y / 2, (x + width) / 2, (y + height) / 2], rel=1e-6
    )


def test_an_image_without_a_box_has_no_boxes(entries):
    (dry,) = dry_run(mapper([], None), [{**entries[0], "annotations": []}])
    assert dry.boxes.shape == (0, 4)


def random_states():
    numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002 - what augmentations draw from
    return numpy_state, random.getstate(), torch.get_rng_state().tolist()


def test_random_states_stay_as_they_were(entries):
    before = random_states()
    dry_run(mapper(*AUGMENTATIONS["resize"]), entries)
    assert random_states() == before


def test_no_file_is_read(entries):
    absent = [{**entry, "file_name": "none.jpg"} for entry in entries]
    assert len(dry_run(mapper(*AUGMENTATIONS["Scale Match"]), absent)) == 8


def test_scale_match_chooses_sizes_and_a_resize_does_not():
    chosen = {name: chooses_sizes(mapper(*of)) for name, of in AUGMENTATIONS.items()}
    assert [name for name, does in chosen.items() if does] == ["Scale Match"]
    nested = T.AugmentationList([T.AugmentationList([T.RandomFlip()])])
    assert not chooses_sizes(mapper([nested], None))
