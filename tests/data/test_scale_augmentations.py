"""Both front ends build the same; workers and a resume change nothing."""

from itertools import islice
from pathlib import Path

import pytest
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from omegaconf import OmegaConf

from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.data.loader import build_train_loader
from scale_match.data.multi_scale import MultiScalePadded
from scale_match.data.object_crop import ObjectCrop
from scale_match.data.reaspect import ReAspect
from scale_match.data.scale_augmentations import (
    build_scale_augmentations,
    scale_augmentations_from_config,
)
from scale_match.data.size_target import SizeTarget
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset

LAZY_DATA = Path(__file__).parents[2] / "configs/common/data.py"
SETTINGS = {
    "stretch": {"reaspect": [0.5, 1.0, 2.0]},
    "multi-scale": {"sizes": [[60, 100], [80, 133]], "pad_to": [100, 160]},
    "crop": {"crop_size": [64, 80], "crop_scales": [0.5, 1.5]},
    "stretch and crop": {"reaspect": [2.0], "crop_size": [64, 80]},
}


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_scale_match_config(cfg)
    return cfg


@pytest.fixture
def toy_files(tmp_path):
    return make_toy_dataset(tmp_path, width=128, height=96)


@pytest.fixture
def dicts(toy_files):
    path, image_dir = toy_files
    return load_dicts(read_annotations(path), image_dir)


def with_settings(cfg, settings):
    for name, value in settings.items():
        setattr(cfg.SCALE_MATCH.AUGMENT, name.upper(), value)
    return cfg


def described(augmentation):
    """Class and settings, by value."""
    return type(augmentation).__name__, vars(augmentation)


def lazy_augmentations(settings):
    loader = LazyConfig.load(str(LAZY_DATA)).dataloader
    node = loader.train.mapper.augmentations[0]
    node.merge_with(OmegaConf.create(settings))
    return instantiate(node)


def values(batch):
    return [
        (
            sample["image_id"],
            sample["image"].numpy().tobytes(),
            sample["instances"].gt_boxes.tensor.tolist(),
        )
        for sample in batch
    ]


def batches(dicts, settings, *, start=0, count=6, workers=0):
    steps = [build_scale_augmentations(**settings), T.RandomFlip()]
    mapper = ScaleMatchDatasetMapper(True, augmentations=steps, image_format="RGB", seed=5)
    loader = build_train_loader(
        dicts, mapper, total_batch_size=2, seed=5, start_iteration=start, num_workers=workers
    )
    return [values(batch) for batch in islice(loader, count)]


def test_by_default_nothing_is_on(cfg):
    assert scale_augmentations_from_config(cfg).augs == []
    assert lazy_augmentations({}).augs == []
    assert build_scale_augmentations().augs == []
    stock = ScaleMatchDatasetMapper.from_config(cfg)["augmentations"]
    assert [type(each) for each in stock] == [T.RandomFlip]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_both_front_ends_build_the_same(cfg, settings):
    ours = scale_augmentations_from_config(with_settings(cfg, settings)).augs
    lazy = lazy_augmentations(settings).augs
    assert [described(each) for each in ours] == [described(each) for each in lazy]
    mapped = ScaleMatchDatasetMapper.from_config(cfg)["augmentations"]
    assert [described(each) for each in mapped[:-1]] == [described(each) for each in ours]
    assert type(mapped[-1]) is T.RandomFlip
    assert len(ScaleMatchDatasetMapper.from_config(cfg, is_train=False)["augmentations"]) == 0


def test_the_stretch_comes_first():
    steps = build_scale_augmentations(reaspect=[1.0], sizes=[[60, 100]])
    assert [type(each) for each in steps.augs] == [ReAspect, MultiScalePadded]
    assert type(build_scale_augmentations(crop_size=[64, 64]).augs[0]) is ObjectCrop


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_workers_and_a_resume_change_nothing(dicts, settings):
    alone = batches(dicts, settings)
    assert batches(dicts, settings, workers=2) == alone
    assert batches(dicts, settings, start=4, count=2) == alone[4:]
    # Two epochs of an image differ.
    assert (
        len({str(sample) for batch in batches(dicts, settings, count=40) for sample in batch}) > 9
    )


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_images_without_boxes_pass(dicts, settings):
    steps = [build_scale_augmentations(**settings)]
    mapper = ScaleMatchDatasetMapper(True, augmentations=steps, image_format="RGB")
    sample = mapper({**dicts[0], "annotations": []})
    assert len(sample["instances"]) == 0


def test_slivers_of_a_crop_are_not_trained_on(dicts):
    mapper = ScaleMatchDatasetMapper(
        True, augmentations=[build_scale_augmentations(crop_size=[64, 80])], image_format="RGB"
    )
    for epoch in range(30):
        boxes = mapper({**dicts[0], "epoch": epoch})["instances"].gt_boxes.tensor
        assert len(boxes) >= 1
        assert (boxes[:, 2:] - boxes[:, :2]).min() >= 1


def test_settings_that_exclude_each_other_are_refused(cfg):
    with pytest.raises(InputError, match="sizes and crop_size exclude each other"):
        build_scale_augmentations(sizes=[[60, 100]], crop_size=[64, 80])
    with pytest.raises(InputError, match="crop_size and exact_tile exclude each other"):
        build_scale_augmentations(exact_tile=[60, 100], crop_size=[64, 80])
    with pytest.raises(InputError, match="reaspect and exact_tile exclude each other"):
        build_scale_augmentations(exact_tile=[60, 100], reaspect=[1.0])
    cfg.SCALE_MATCH.DATA.RESIZE = True
    cfg.SCALE_MATCH.AUGMENT.CROP_SIZE = [64, 80]
    with pytest.raises(InputError, match=r"DATA\.RESIZE must be False with SCALE_MATCH\.AUGMENT"):
        scale_augmentations_from_config(cfg)
    cfg.SCALE_MATCH.DATA.RESIZE = False
    cfg.SCALE_MATCH.AUGMENT.CROP_SIZE = []
    cfg.SCALE_MATCH.AUGMENT.EXACT_TILE = [64, 80]
    cfg.SCALE_MATCH.POLICY = "sm"
    with pytest.raises(InputError, match=r"POLICY \(.*\) must be none with .* but is 'sm'"):
        scale_augmentations_from_config(cfg)


def test_a_policy_beside_exact_tiles_is_refused_in_lazy_configs_too(toy_files):
    loader = LazyConfig.load(str(LAZY_DATA)).dataloader
    loader.train.mapper.scale_policy.merge_with({"policy": "sm", "target": str(toy_files[0])})
    loader.train.mapper.augmentations[0].exact_tile = [64, 80]
    with pytest.raises(InputError, match=r"POLICY \(.*\) must be none with .* but is 'sm'"):
        instantiate(loader.train.mapper.augmentations[0])


def test_exact_tiles_are_the_same_in_both_front_ends(cfg, toy_files):
    path, _ = toy_files
    cfg.SCALE_MATCH.TARGET = cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS = str(path)
    cfg.SCALE_MATCH.AUGMENT.EXACT_TILE = [64, 80]
    (ours,) = scale_augmentations_from_config(cfg).augs
    (lazy,) = lazy_augmentations(
        {"exact_tile": [64, 80], "exact_sizes": {"target": str(path), "source": str(path)}}
    ).augs
    assert ours.tiling.windows.largest == lazy.tiling.windows.largest == (64, 80)
    maps = [each.tiling.windows.size_map.destination.tolist() for each in (ours, lazy)]
    assert maps[0] == maps[1]


def test_workers_and_a_resume_change_no_exact_tile(dicts, toy_files):
    path, _ = toy_files
    sizes = SizeTarget(target=str(path), source=str(path))
    settings = {"exact_tile": [64, 80], "exact_sizes": sizes}
    alone = batches(dicts, settings)
    assert batches(dicts, settings, workers=2) == alone
    assert batches(dicts, settings, start=4, count=2) == alone[4:]
