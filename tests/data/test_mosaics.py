"""Mosaics in both front ends: what is on a canvas, and that nothing but seed and epoch decides."""

from itertools import islice

import numpy as np
import pytest
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.config import add_scale_match_config
from scale_match.core.boxes import box_sizes, xyxy_to_xywh
from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import result_sizes
from scale_match.core.size_summary import ks_distance
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.data.lazy import build_lazy_train_loader
from scale_match.data.loader import build_train_loader
from scale_match.data.mosaics import MosaicSettings, build_mosaic_settings, mosaic_from_config
from scale_match.data.scale_augmentations import build_scale_augmentations
from scale_match.data.size_target import SizeTarget
from scale_match.storage.annotations import read_annotations
from scale_match.storage.policies import build_scale_policy
from toy import make_toy_dataset

SEED = 5


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_toy_dataset(tmp_path_factory.mktemp("toy"), num_images=24, width=128, height=96)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    return str(make_toy_dataset(folder, num_images=30, width=64, height=48)[0])


@pytest.fixture(scope="module")
def dicts(toy):
    return load_dicts(read_annotations(toy[0]), toy[1])


@pytest.fixture(scope="module")
def settings(target):
    return MosaicSettings((128, 160), SizeTarget(target=target))


@pytest.fixture(scope="module")
def plan(settings, dicts):
    return settings.planned(dicts, SEED)


def make_mapper(*steps, **arguments):
    return ScaleMatchDatasetMapper(
        True, augmentations=steps, image_format="RGB", seed=SEED, **arguments
    )


def values(batches):
    return [
        (
            sample["image_id"],
            sample["image"].numpy().tobytes(),
            sample["instances"].gt_boxes.tensor.tolist(),
            sample["instances"].gt_classes.tolist(),
        )
        for batch in batches
        for sample in batch
    ]


def batches(dicts, settings, *, start=0, count=5, workers=0, batch=2, **processes):
    loader = build_train_loader(
        dicts,
        make_mapper(T.RandomFlip()),
        total_batch_size=batch,
        seed=SEED,
        start_iteration=start,
        num_workers=workers,
        mosaic=settings,
        **processes,
    )
    return list(islice(loader, count))


@pytest.fixture(scope="module")
def alone(dicts, settings):
    return values(batches(dicts, settings))


def test_boxes_in_samples_are_those_that_the_plan_keeps(plan, dicts):
    mapper = make_mapper()
    for index in range(plan.mosaics.num_canvases):
        crops = plan.mosaics.sample(index, seed=SEED, epoch=3)
        expected = result_sizes(crop.window for crop in crops)
        sample = mapper(plan.entry(index, 3, dicts.__getitem__))
        assert sample["image"].shape == (3, 128, 160)
        boxes = sample["instances"].gt_boxes.tensor.double().numpy()
        assert np.sort(box_sizes(xyxy_to_xywh(boxes))) == pytest.approx(np.sort(expected), abs=1e-4)
        assert len(boxes) > 3


def test_sizes_in_real_samples_follow_the_target(dicts, settings):
    reached = settings.sizes.histogram("x")
    found = [
        np.array(boxes)
        for _, _, boxes, _ in values(batches(dicts, settings, count=30, batch=2))
        if boxes
    ]
    assert ks_distance(box_sizes(xyxy_to_xywh(np.concatenate(found))), reached.cdf) < 0.06


@pytest.mark.parametrize("workers", [2, 8])
def test_workers_change_nothing(dicts, settings, alone, workers):
    assert values(batches(dicts, settings, workers=workers)) == alone


def test_a_resume_changes_nothing(dicts, settings, alone):
    assert values(batches(dicts, settings, start=3, count=2)) == alone[6:]


def test_two_processes_share_the_samples_of_one(dicts, settings, alone):
    first, second = (values(batches(dicts, settings, rank=rank, world_size=2)) for rank in (0, 1))
    assert [sample for pair in zip(first, second, strict=True) for sample in pair] == alone


def test_canvases_set_the_length_of_an_epoch(dicts, settings, plan):
    loader = build_train_loader(
        dicts, make_mapper(), total_batch_size=2, seed=SEED, mosaic=settings
    )
    number = settings.num_canvases(dicts)
    assert loader.images_per_epoch == plan.mosaics.num_canvases == number < len(dicts)
    assert loader.iterations_per_epoch == -(-number // 2)


def test_the_allowed_zooms_count(settings, dicts):
    sizes = settings.sizes._replace(scale_range=[0.3, 0.4])
    mosaics = MosaicSettings((128, 160), sizes).planned(dicts, SEED).mosaics
    assert mosaics.windows.limits.scale_range == (0.3, 0.4)


def test_two_epochs_show_the_images_in_other_crops(plan, dicts):
    mapper = make_mapper()
    one, other = (mapper(plan.entry(0, epoch, dicts.__getitem__)) for epoch in (0, 1))
    assert one["image"].tolist() != other["image"].tolist()


def test_a_lazy_loader_makes_the_same_mosaics(toy, target, alone):
    loader = build_lazy_train_loader(
        annotations=str(toy[0]),
        images=str(toy[1]),
        mapper=make_mapper(T.RandomFlip()),
        total_batch_size=2,
        seed=SEED,
        mosaic=build_mosaic_settings([128, 160], SizeTarget(target=target)),
    )
    assert values(islice(loader, 5)) == alone


def test_both_front_ends_read_the_same_settings(repository, target):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    lazy = LazyConfig.load(str(repository / "configs/common/data.py")).dataloader
    node = lazy.train.mosaic
    assert mosaic_from_config(cfg) is instantiate(node) is None
    cfg.SCALE_MATCH.AUGMENT.MOSAIC = [64, 80]
    cfg.SCALE_MATCH.TARGET, cfg.SCALE_MATCH.BINS = target, 20
    cfg.SCALE_MATCH.MU_SIGMA, cfg.SCALE_MATCH.SCALE_RANGE = [9.0, 3.0], [0.2, 0.7]
    node.canvas = [64, 80]
    policy = lazy.train.mapper.scale_policy
    policy.target, policy.bins, policy.mu_sigma, policy.scale_range = target, 20, [9, 3], [0.2, 0.7]
    ours, theirs = mosaic_from_config(cfg), instantiate(node)
    assert ours.canvas == theirs.canvas == (64, 80)
    first, second = (each.sizes.histogram("x") for each in (ours, theirs))
    assert first.edges.tolist() == second.edges.tolist()
    assert len(first.counts) == 20
    assert ours.sizes.limits() == theirs.sizes.limits()
    assert ours.sizes.limits().scale_range == (0.2, 0.7)


@pytest.mark.parametrize("canvas", [[64], [0, 64], [64, 80.5]])
def test_a_canvas_must_have_two_sides(canvas):
    message = r"AUGMENT\.MOSAIC \(dataloader\.train\.mosaic\.canvas\) must be a height and a width"
    with pytest.raises(InputError, match=message):
        build_mosaic_settings(canvas, SizeTarget())


@pytest.mark.parametrize(
    "arguments",
    [{"crop_size": [64, 64]}, {"reaspect": [1.0]}, {"sizes": [[60, 100]], "pad_to": [60, 100]}],
)
def test_another_scale_augmentation_beside_mosaics_is_refused(dicts, settings, arguments):
    mapper = make_mapper(build_scale_augmentations(**arguments), T.RandomFlip())
    with pytest.raises(InputError, match=r"chooses the scale of its parts itself: \w+ must be off"):
        build_train_loader(dicts, mapper, total_batch_size=2, seed=0, mosaic=settings)


def test_what_else_decides_on_samples_is_refused(dicts, settings, target):
    def build(mapper, entries=dicts, **arguments):
        build_train_loader(
            entries, mapper, total_batch_size=2, seed=0, mosaic=settings, **arguments
        )

    with pytest.raises(InputError, match="ResizeShortestEdge must be off"):
        build(make_mapper(T.ResizeShortestEdge(100)))
    with pytest.raises(InputError, match="ScaleMatch must be off"):
        build(make_mapper(scale_policy=build_scale_policy("sm", target=target)))
    of_tiles = r"TRAIN_TILES \(dataloader\.train\.tiles\) must keep ENABLED False"
    with pytest.raises(InputError, match=of_tiles):
        build(make_mapper(), [{**dicts[0], "corner": (0, 0, 9, 9)}])
    with pytest.raises(InputError, match=of_tiles):
        build(make_mapper(), empty_share=0.1)
    with pytest.raises(InputError, match=r"needs a ScaleMatchDatasetMapper, .* not function"):
        build(lambda entry: entry)


def test_a_policy_or_no_target_beside_mosaics_is_refused(dicts, target):
    with pytest.raises(InputError, match=r"POLICY \(.*\) must be none with .*MOSAIC .* 'msm'"):
        MosaicSettings((64, 80), SizeTarget(policy="msm", target=target)).num_canvases(dicts)
    with pytest.raises(InputError, match=r"MOSAIC \(.*\) needs SCALE_MATCH\.TARGET"):
        MosaicSettings((64, 80), SizeTarget()).planned(dicts, 0)
