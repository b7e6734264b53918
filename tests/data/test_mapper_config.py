import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.errors import InputError
from scale_match.core.scale_policy import MonotoneScaleMatch, SampledScaleMatch
from scale_match.data.augmentation import ScaleMatch
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import register_coco_file
from toy import make_toy_dataset


def augmentations_of(map_entry):
    return [type(augmentation) for augmentation in map_entry.augmentations.augs]


def test_without_a_policy_images_keep_their_size(make_cfg):
    assert augmentations_of(ScaleMatchDatasetMapper(make_cfg(), True)) == [T.RandomFlip]
    assert augmentations_of(ScaleMatchDatasetMapper(make_cfg(), False)) == []


def test_resize_is_detectron2s(make_cfg):
    cfg = make_cfg("SCALE_MATCH.DATA.RESIZE", True)
    train, test = ScaleMatchDatasetMapper(cfg, True), ScaleMatchDatasetMapper(cfg, False)
    assert augmentations_of(train) == [T.ResizeShortestEdge, T.RandomFlip]
    assert augmentations_of(test) == [T.ResizeShortestEdge]


def test_a_policy_takes_the_place_of_the_resize_in_training_only(make_cfg):
    cfg = make_cfg("SCALE_MATCH.DATA.RESIZE", True, "SCALE_MATCH.POLICY", "sm")
    train, test = ScaleMatchDatasetMapper(cfg, True), ScaleMatchDatasetMapper(cfg, False)
    assert augmentations_of(train) == [ScaleMatch, T.RandomFlip]
    assert augmentations_of(test) == [T.ResizeShortestEdge]


def test_no_flip_is_possible(make_cfg):
    cfg = make_cfg("INPUT.RANDOM_FLIP", "none")
    assert augmentations_of(ScaleMatchDatasetMapper(cfg, True)) == []


def test_keys_reach_the_policy_and_the_mapper(make_cfg):
    cfg = make_cfg(
        "SCALE_MATCH.POLICY", "sm", "SCALE_MATCH.BINS", 10, "SCALE_MATCH.SCALE_RANGE", [0.2, 3.0],
        "SCALE_MATCH.DEFAULT_SCALE", 0.5, "SCALE_MATCH.MAX_TRIES", 2,
        "SCALE_MATCH.OUT_OF_RANGE", "default", "SEED", 7, "INPUT.FORMAT", "RGB",
    )  # fmt: skip
    map_entry = ScaleMatchDatasetMapper(cfg, True)
    policy = map_entry.augmentations.augs[0].policy
    assert isinstance(policy, SampledScaleMatch)
    assert len(policy.target.counts) == 10
    limits = policy.limits
    assert (limits.scale_range, limits.default_scale) == ((0.2, 3.0), 0.5)
    assert (limits.max_tries, limits.out_of_range) == (2, "default")
    assert (map_entry.seed, map_entry.image_format) == (7, "RGB")


def test_no_seed_is_seed_zero(make_cfg):
    assert make_cfg().SEED == -1
    assert ScaleMatchDatasetMapper(make_cfg(), True).seed == 0


def test_the_source_of_msm_is_the_training_file_unless_named(make_cfg, tmp_path):
    cfg = make_cfg("SCALE_MATCH.POLICY", "msm")
    policy = ScaleMatchDatasetMapper(cfg, True).augmentations.augs[0].policy
    assert isinstance(policy, MonotoneScaleMatch)
    other, _ = make_toy_dataset(tmp_path / "other", width=640, height=480, seed=1)
    cfg = make_cfg("SCALE_MATCH.POLICY", "msm", "SCALE_MATCH.SOURCE", str(other))
    named = ScaleMatchDatasetMapper(cfg, True).augmentations.augs[0].policy
    assert named.source_edges[-1] > 2 * policy.source_edges[-1]


def test_the_source_of_msm_may_come_from_a_registered_data_set(make_cfg, tmp_path):
    name = "test_dataset_mapper_toy"
    path, image_dir = make_toy_dataset(tmp_path / "registered")
    register_coco_file(name, path, image_dir)
    try:
        cfg = make_cfg(
            "SCALE_MATCH.POLICY", "msm", "SCALE_MATCH.DATA.TRAIN_ANNOTATIONS", "",
            "DATASETS.TRAIN", (name,),
        )  # fmt: skip
        policy = ScaleMatchDatasetMapper(cfg, True).augmentations.augs[0].policy
        assert isinstance(policy, MonotoneScaleMatch)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_a_data_set_without_a_file_cannot_be_the_source(make_cfg):
    cfg = make_cfg(
        "SCALE_MATCH.POLICY", "msm", "SCALE_MATCH.DATA.TRAIN_ANNOTATIONS", "",
        "DATASETS.TRAIN", ("no_such_set",),
    )  # fmt: skip
    message = r"'no_such_set' names no annotation file: set SCALE_MATCH.SOURCE"
    with pytest.raises(InputError, match=message):
        ScaleMatchDatasetMapper(cfg, True)


@pytest.mark.parametrize(
    "key", ["MODEL.MASK_ON", "MODEL.KEYPOINT_ON", "MODEL.LOAD_PROPOSALS", "INPUT.CROP.ENABLED"]
)
def test_what_the_mapper_does_not_do_is_refused(make_cfg, key):
    with pytest.raises(InputError, match=rf"^{key} must be False"):
        ScaleMatchDatasetMapper(make_cfg(key, True), True)


def test_explicit_arguments_win_over_the_config(make_cfg):
    map_entry = ScaleMatchDatasetMapper(make_cfg(), is_train=True, augmentations=[], seed=5)
    assert augmentations_of(map_entry) == []
    assert map_entry.seed == 5


def test_the_treatment_of_regions_comes_from_the_config(make_cfg):
    keys = ("SCALE_MATCH.IGNORE_REGIONS", "mask", "MODEL.META_ARCHITECTURE")
    assert ScaleMatchDatasetMapper(make_cfg()).ignore_regions == "background"
    ours = make_cfg(*keys, "ScaleMatchRetinaNet")
    assert ScaleMatchDatasetMapper(ours).ignore_regions == "mask"
    other = make_cfg(*keys, "GeneralizedRCNN")
    message = "'mask' needs MODEL.META_ARCHITECTURE ScaleMatchRetinaNet or .*, not GeneralizedRCNN"
    with pytest.raises(InputError, match=message):
        ScaleMatchDatasetMapper(other)
    assert ScaleMatchDatasetMapper(other, is_train=False).is_train is False
