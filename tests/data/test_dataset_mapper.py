import logging
import pickle

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from detectron2.structures import BoxMode
from PIL import Image

from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import MonotoneScaleMatch, SampledScaleMatch, ScaleDecision
from scale_match.data.augmentation import ScaleMatch
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts, register_coco_file
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset

HEIGHT, WIDTH = 96, 128


class FixedPolicy:
    """Halves every image, drops the boxes it is told to, remembers the boxes it was asked about."""

    num_uniforms = 0

    def __init__(self, scale=0.5, dropped=()):
        self.scale = scale
        self.dropped = dropped
        self.asked = None

    def decide(self, boxes_xywh, width, height, uniforms):
        self.asked = boxes_xywh.tolist()
        keep = np.array([index not in self.dropped for index in range(len(boxes_xywh))], bool)
        size = round(self.scale * height), round(self.scale * width)
        return ScaleDecision(self.scale, size, keep, False, None)


@pytest.fixture
def toy(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path, categories=2, width=WIDTH, height=HEIGHT)
    return load_dicts(read_annotations(path), image_dir)


@pytest.fixture
def sampled():
    return SampledScaleMatch(SizeHistogram.from_sizes(np.arange(4.0, 16.0, 0.01)))


@pytest.fixture
def make_cfg(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path)

    def make(*overrides):
        cfg = get_cfg()
        add_scale_match_config(cfg)
        cfg.SCALE_MATCH.TARGET = str(path)
        cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS = str(path)
        cfg.SCALE_MATCH.DATA.TRAIN_IMAGES = str(image_dir)
        cfg.merge_from_list(list(overrides))
        return cfg

    return make


def mapper(is_train=True, augmentations=(), **arguments):
    return ScaleMatchDatasetMapper(
        is_train, augmentations=augmentations, image_format="RGB", **arguments
    )


def entry_with(toy, *boxes):
    """The first toy image with boxes given as (bbox, flags)."""
    annotations = [
        {"bbox": bbox, "bbox_mode": BoxMode.XYWH_ABS, "category_id": index, **flags}
        for index, (bbox, flags) in enumerate(boxes)
    ]
    return {**toy[0], "annotations": annotations}


def pixels_of(entry):
    return np.asarray(Image.open(entry["file_name"]))


def summary(sample):
    """Everything random about a sample, as plain values."""
    return (
        sample["image_id"], sample.get("scale"), tuple(sample["image"].shape),
        sample["image"].numpy().tobytes(), sample["instances"].gt_boxes.tensor.tolist(),
    )  # fmt: skip


def test_without_augmentation_image_and_boxes_stay_as_they_are(toy):
    sample = mapper()(toy[0])
    assert (sample["image"].permute(1, 2, 0).numpy() == pixels_of(toy[0])).all()
    assert sample["image"].dtype == torch.uint8
    instances = sample["instances"]
    assert instances.image_size == (HEIGHT, WIDTH)
    boxes = BoxMode.convert(
        np.array([box["bbox"] for box in toy[0]["annotations"]]), BoxMode.XYWH_ABS, BoxMode.XYXY_ABS
    )
    assert instances.gt_boxes.tensor.tolist() == boxes.tolist()
    assert instances.gt_boxes.tensor.dtype == torch.float32
    assert instances.gt_classes.tolist() == [0, 1, 0, 1, 0]
    assert instances.gt_classes.dtype == torch.int64


def test_the_other_keys_are_kept_and_the_given_dict_is_not_changed(toy):
    entry = {**toy[0], "epoch": 3, "source": "x"}
    before = pickle.dumps(entry)
    sample = mapper(scale_policy=FixedPolicy())(entry)
    assert pickle.dumps(entry) == before
    kept = {key: sample[key] for key in ("image_id", "file_name", "epoch", "source")}
    assert kept == {key: entry[key] for key in kept}
    assert (sample["height"], sample["width"]) == (HEIGHT, WIDTH)
    assert "annotations" not in sample


def test_it_agrees_with_detectron2s_own_mapper(toy):
    flips = [T.RandomFlip(prob=1.0), T.Resize((48, 60))]
    theirs = DatasetMapper(True, augmentations=flips, image_format="RGB")(toy[1])
    ours = mapper(augmentations=flips)(toy[1])
    assert (ours["image"] == theirs["image"]).all()
    torch.testing.assert_close(
        ours["instances"].gt_boxes.tensor, theirs["instances"].gt_boxes.tensor
    )
    assert ours["instances"].gt_classes.tolist() == theirs["instances"].gt_classes.tolist()


def test_the_policy_scales_image_and_boxes(toy):
    plain, halved = mapper()(toy[0]), mapper(scale_policy=FixedPolicy())(toy[0])
    assert halved["image"].shape == (3, HEIGHT // 2, WIDTH // 2)
    assert halved["scale"] == 0.5
    assert "scale" not in plain
    assert (halved["height"], halved["width"]) == (HEIGHT, WIDTH)
    expected = plain["instances"].gt_boxes.tensor / 2
    assert halved["instances"].gt_boxes.tensor.tolist() == expected.tolist()


def test_an_image_that_is_not_decoded_in_full_has_the_instances_of_one_that_is(tmp_path):
    path, images = make_toy_dataset(tmp_path, width=500, height=427)
    entry = load_dicts(read_annotations(path), images)[0]
    for scale, least in ((0.25, 0.01), (0.3, 0.0)):  # 427 / 4 rows: the halves of 427 are 214
        size = round(scale * 427), round(scale * 500)
        theirs = DatasetMapper(True, augmentations=[T.Resize(size)], image_format="RGB")(entry)
        ours = mapper(scale_policy=FixedPolicy(scale))(entry)
        difference = (ours["image"].float() - theirs["image"]).abs().mean()
        assert least <= difference < 1.0  # random pixels, which no two filters see alike
        assert (ours["height"], ours["width"]) == (427, 500)
        torch.testing.assert_close(
            ours["instances"].gt_boxes.tensor, theirs["instances"].gt_boxes.tensor
        )


def test_a_jpeg_cut_off_is_an_error_when_it_is_reduced_too(toy, tmp_path):
    content = (tmp_path / "images" / "0001.jpg").read_bytes()
    (tmp_path / "images" / "0001.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"0001.jpg \(image id 1\) cannot be read: .*truncated"):
        mapper(scale_policy=FixedPolicy(0.2))(toy[0])


def test_crowd_and_ignored_boxes_have_no_say_in_the_scale_and_uncertain_ones_do(toy):
    policy = FixedPolicy()
    entry = entry_with(
        toy,
        ([1.0, 1.0, 10.0, 10.0], {"iscrowd": 1}),
        ([2.0, 2.0, 10.0, 10.0], {"gt_ignore": True}),
        ([3.0, 3.0, 10.0, 10.0], {"uncertain": True}),
        ([4.0, 4.0, 10.0, 10.0], {}),
    )
    sample = mapper(scale_policy=policy)(entry)
    assert policy.asked == [[3, 3, 10, 10], [4, 4, 10, 10]]
    # None of the three flagged ones is trained on.
    assert sample["instances"].gt_boxes.tensor.tolist() == [[2, 2, 7, 7]]
    assert sample["instances"].gt_classes.tolist() == [3]


def test_boxes_without_area_are_not_trained_on(toy):
    entry = entry_with(
        toy,
        ([1.0, 1.0, 0.0, 10.0], {}),
        ([1.0, 1.0, 10.0, 0.0], {}),
        ([4.0, 4.0, 10.0, 10.0], {}),
    )
    for policy in (None, FixedPolicy()):
        map_entry = mapper(scale_policy=policy)
        assert map_entry(entry)["instances"].gt_classes.tolist() == [2]
        assert map_entry.num_dropped == 0  # they were not too small, but no boxes at all


def test_boxes_that_the_policy_drops_are_not_trained_on(toy):
    policy = FixedPolicy(dropped=[0, 3])
    assert len(mapper(scale_policy=policy)(toy[0])["instances"]) == 3
    classes = mapper(scale_policy=policy)(
        entry_with(toy, *[([1.0 + index, 2.0, 20.0, 20.0], {}) for index in range(5)])
    )["instances"].gt_classes
    assert classes.tolist() == [1, 2, 4]


def test_boxes_are_clipped_and_slivers_are_dropped_and_counted(toy, caplog):
    entry = entry_with(
        toy,
        ([-5.0, -5.0, 10.0, 10.0], {}),  # half outside: clipped
        ([WIDTH - 0.5, 10.0, 8.0, 8.0], {}),  # half a pixel inside
        ([WIDTH + 5.0, 10.0, 8.0, 8.0], {}),  # outside
        ([10.0, 10.0, 1.0, 30.0], {}),  # exactly one pixel wide
        ([10.0, 10.0, 30.0, 0.9], {}),
    )
    map_entry = mapper()
    with caplog.at_level(logging.INFO):
        instances = map_entry(entry)["instances"]
        map_entry(entry)
    assert instances.gt_classes.tolist() == [0, 3]
    assert instances.gt_boxes.tensor[0].tolist() == [0, 0, 5, 5]
    assert map_entry.num_dropped == 6
    assert sum("side under 1 px" in record.getMessage() for record in caplog.records) <= 1


def test_a_sample_says_how_many_boxes_became_too_small(toy):
    boxes = [
        ([10.0, 10.0, 20.0, 20.0], {}),
        ([10.0, 10.0, 30.0, 1.5], {}),  # under a pixel at half the size
        ([10.0, 10.0, 0.0, 30.0], {}),  # no box at all
        ([10.0, 10.0, 1.0, 1.0], {"gt_ignore": True}),
    ]
    entry = entry_with(toy, *boxes)
    assert mapper()(entry)["dropped_boxes"] == 0
    # The policy's own rule counts as well: it drops the first one.
    assert mapper(scale_policy=FixedPolicy())(entry)["dropped_boxes"] == 1
    assert mapper(scale_policy=FixedPolicy(dropped=[0]))(entry)["dropped_boxes"] == 2
    # What a crop cuts off is no matter of scale.
    away = T.CropTransform(60, 60, 20, 20)
    assert mapper(augmentations=[away])(entry)["dropped_boxes"] == 0
    assert "dropped_boxes" not in mapper(is_train=False)(entry)


def test_the_least_side_can_be_set(toy):
    entry = entry_with(toy, ([10.0, 10.0, 5.0, 30.0], {}), ([10.0, 10.0, 6.0, 30.0], {}))
    assert mapper(min_box_side=6.0)(entry)["instances"].gt_classes.tolist() == [1]


def test_whole_number_boxes_are_not_truncated_by_a_resize(toy):
    instances = mapper(scale_policy=FixedPolicy())(entry_with(toy, ([11, 11, 7, 9], {})))
    assert instances["instances"].gt_boxes.tensor.tolist() == [[5.5, 5.5, 9.0, 10.0]]


def test_an_image_without_boxes_gives_empty_instances(toy):
    for entry in (entry_with(toy), {key: toy[0][key] for key in toy[0] if key != "annotations"}):
        sample = mapper(scale_policy=FixedPolicy())(entry)
        assert len(sample["instances"]) == 0
        assert sample["instances"].gt_boxes.tensor.shape == (0, 4)
        assert sample["scale"] == 0.5


def test_a_tile_is_cut_out_of_its_image(toy):
    entry = entry_with(toy, ([2.0, 3.0, 10.0, 10.0], {}))
    entry |= {"corner": (20, 10, 60, 40), "width": 40, "height": 30}
    sample = mapper()(entry)
    assert (sample["image"].permute(1, 2, 0).numpy() == pixels_of(toy[0])[10:40, 20:60]).all()
    assert sample["instances"].gt_boxes.tensor.tolist() == [[2, 3, 12, 13]]
    assert (sample["height"], sample["width"], sample["corner"]) == (30, 40, (20, 10, 60, 40))


def test_a_tile_is_scaled_by_its_own_boxes(toy):
    policy = FixedPolicy()
    entry = entry_with(toy, ([2.0, 3.0, 10.0, 10.0], {}))
    entry |= {"corner": (20, 10, 60, 40), "width": 40, "height": 30}
    assert mapper(scale_policy=policy)(entry)["image"].shape == (3, 15, 20)


def test_testing_drops_the_annotations_and_keeps_the_size(toy):
    sample = mapper(False)(toy[0])
    assert sample["image"].shape == (3, HEIGHT, WIDTH)
    assert not {"annotations", "instances", "scale"} & set(sample)


def test_the_image_format_is_respected(toy):
    bgr = ScaleMatchDatasetMapper(False, augmentations=[], image_format="BGR")(toy[0])
    assert (bgr["image"].flip(0) == mapper(False)(toy[0])["image"]).all()


# Randomness


def test_a_sample_depends_on_seed_image_and_epoch_only(toy, sampled):
    def sample(seed=1, index=0, epoch=0):
        map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=sampled, seed=seed)
        return summary(map_entry({**toy[index], "epoch": epoch}))

    np.random.seed(0)  # noqa: NPY002 - must not matter
    first = sample()
    np.random.seed(1)  # noqa: NPY002
    assert sample() == first
    assert sample(seed=2)[1] != first[1]
    assert sample(epoch=1)[1] != first[1]
    assert sample(index=1)[1] != first[1]
    # A large seed or id is not cut to 32 bits.
    assert sample(seed=1 + 2**32)[1] != first[1]


def test_the_order_of_calls_does_not_matter(toy, sampled):
    map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=sampled)
    forward = [summary(map_entry(entry)) for entry in toy]
    backward = [summary(map_entry(entry)) for entry in reversed(toy)]
    assert forward == backward[::-1]


def test_an_absent_epoch_is_the_first(toy, sampled):
    map_entry = mapper(scale_policy=sampled)
    assert summary(map_entry(toy[0])) == summary(map_entry({**toy[0], "epoch": 0}))


def test_flips_come_out_in_both_ways_and_do_not_follow_the_scale(toy):
    map_entry = mapper(augmentations=[T.RandomFlip()])
    plain = mapper()(toy[0])["image"]
    flipped = [
        not (map_entry({**toy[0], "epoch": epoch})["image"] == plain).all() for epoch in range(60)
    ]
    assert 15 <= sum(flipped) <= 45  # 60 fair coins: outside in 1 of 14,000 seeds


def test_flips_are_the_same_with_and_without_a_policy(toy):
    def flips(policy):
        map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=policy)
        boxes = [map_entry({**toy[0], "epoch": epoch})["instances"] for epoch in range(20)]
        return [instance.gt_boxes.tensor[0, 0].item() for instance in boxes]

    with_policy, without = flips(FixedPolicy(scale=1.0)), flips(None)
    assert with_policy == without
    assert len(set(without)) == 2


@pytest.mark.parametrize("image_id", ["2008_000001", -5, 2**63 - 1])
def test_any_image_id_seeds(toy, sampled, image_id):
    map_entry = mapper(scale_policy=sampled)
    scale = map_entry({**toy[0], "image_id": image_id})["scale"]
    assert scale == map_entry({**toy[0], "image_id": image_id})["scale"]
    assert scale != map_entry(toy[0])["scale"]


class FailingAugmentation(T.Augmentation):
    def get_transform(self, image):
        np.random.random()  # noqa: NPY002
        raise RuntimeError("augmentation failed")


def numpy_state():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return name, keys.tolist(), *rest


def test_global_generators_are_left_as_they_were(toy, sampled):
    before, torch_before = numpy_state(), torch.get_rng_state()
    mapper(augmentations=[T.RandomFlip()], scale_policy=sampled)(toy[0])
    assert numpy_state() == before
    with pytest.raises(RuntimeError, match="augmentation failed"):
        mapper(augmentations=[FailingAugmentation()])(toy[0])
    assert numpy_state() == before
    assert (torch.get_rng_state() == torch_before).all()


def test_a_worker_gets_the_policy_in_a_few_kilobytes(sampled):
    map_entry = mapper(augmentations=[T.RandomFlip()], scale_policy=sampled)
    assert len(pickle.dumps(map_entry)) < 20_000


# Bad input


def test_a_missing_image_is_named(toy):
    with pytest.raises(InputError, match=r"^image file /none/a.jpg \(image id 1\) does not exist$"):
        mapper()({**toy[0], "file_name": "/none/a.jpg"})


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_jpeg_is_an_error_not_a_grey_image(toy, tmp_path, share):
    content = (tmp_path / "images" / "0001.jpg").read_bytes()
    (tmp_path / "images" / "0001.jpg").write_bytes(content[: int(len(content) * share)])
    message = r"image file .*0001.jpg \(image id 1\) cannot be read: .*(truncated|cannot identify)"
    with pytest.raises(InputError, match=message):
        mapper()(toy[0])


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_a_file_that_is_no_image_is_named(toy, tmp_path, content):
    (tmp_path / "images" / "0001.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"image file .*0001.jpg \(image id 1\) cannot be read: "):
        mapper()(toy[0])


def test_an_image_of_another_size_is_refused(toy):
    message = r"0001.jpg \(image id 1\) is 128 x 96 pixels, but the annotations say 96 x 128$"
    with pytest.raises(InputError, match=message):
        mapper()({**toy[0], "width": 96, "height": 128})


def test_a_tile_outside_its_image_is_refused(toy):
    entry = {**toy[0], "corner": (100, 0, 140, 30), "width": 40, "height": 30}
    message = r"is 128 x 96 pixels, but its tile has corner \[100, 0, 140, 30\], which must lie"
    with pytest.raises(InputError, match=message):
        mapper()(entry)


def test_the_size_is_added_where_the_dict_has_none(toy):
    sample = mapper()({"file_name": toy[0]["file_name"], "image_id": 1})
    assert (sample["height"], sample["width"]) == (HEIGHT, WIDTH)


def test_impossible_arguments_are_refused(sampled):
    with pytest.raises(ValueError, match="scale_policy is for training"):
        mapper(False, scale_policy=sampled)
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        mapper(seed=-1)


# From a config


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


REGIONS = [
    ([30.5, 20, 40, 30], {"gt_ignore": True}),
    ([100, 0, 90, 10], {"iscrowd": 1}),
    ([0, 60, 10, 10], {"uncertain": True}),
]
OBJECT = ([40, 25, 8, 8], {})


def test_regions_are_background_by_default(toy):
    entry = entry_with(toy, OBJECT, *REGIONS)
    sample = mapper()(entry)
    assert (sample["image"].permute(1, 2, 0).numpy() == pixels_of(entry)).all()
    assert sample["instances"].gt_classes.tolist() == [0]


def test_erased_regions_have_their_mean_colour_and_objects_stay(toy):
    entry = entry_with(toy, OBJECT, *REGIONS)
    before = pixels_of(entry).astype(float)
    expected = pixels_of(entry).copy()
    for x1, y1, x2, y2 in [(30, 20, 71, 50), (100, 0, 128, 10), (0, 60, 10, 70)]:
        expected[y1:y2, x1:x2] = np.rint(before[y1:y2, x1:x2].mean(axis=(0, 1)))
    expected[25:33, 40:48] = before[25:33, 40:48]
    sample = mapper(ignore_regions="erase")(entry)
    assert (sample["image"].permute(1, 2, 0).numpy() == expected).all()
    assert sample["instances"].gt_classes.tolist() == [0]
    without = mapper(ignore_regions="erase")(entry_with(toy, OBJECT))
    assert (without["image"].permute(1, 2, 0).numpy() == before).all()


def test_erasing_comes_before_the_scale(toy):
    entry = entry_with(toy, ([0, 0, WIDTH, HEIGHT], {"gt_ignore": True}))
    sample = mapper(ignore_regions="erase", scale_policy=FixedPolicy())(entry)
    assert sample["image"].shape == (3, HEIGHT // 2, WIDTH // 2)
    assert len(np.unique(sample["image"].reshape(3, -1).numpy(), axis=1).T) == 1


def test_erasing_of_a_tile_leaves_the_next_tile_as_it_is(toy):
    tile = {**entry_with(toy, REGIONS[0]), "corner": (0, 0, 80, 60)}
    erase = mapper(ignore_regions="erase")
    erase(tile)
    again = erase({**tile, "annotations": []})
    assert (again["image"].permute(1, 2, 0).numpy() == pixels_of(tile)[:60, :80]).all()


def test_masked_regions_follow_the_image_with_class_minus_one(toy):
    entry = entry_with(toy, OBJECT, *REGIONS)
    policy = FixedPolicy()
    flipped = mapper(
        ignore_regions="mask", scale_policy=policy, augmentations=[T.RandomFlip(prob=1.0)]
    )(entry)
    instances = flipped["instances"]
    assert instances.gt_classes.tolist() == [0, -1, -1, -1]
    assert instances.gt_boxes.tensor.tolist() == [
        [40, 12.5, 44, 16.5], [28.75, 10, 48.75, 25], [0, 0, 14, 5], [59, 30, 64, 35],
    ]  # fmt: skip
    # the policy sees what it always saw
    assert policy.asked == [OBJECT[0], REGIONS[2][0]]
    plain = mapper(scale_policy=policy, augmentations=[T.RandomFlip(prob=1.0)])(entry)
    assert (flipped["image"] == plain["image"]).all()


def test_a_masked_region_outside_the_image_is_left_out(toy):
    entry = entry_with(toy, OBJECT, ([200, 0, 9, 9], {"gt_ignore": True}))
    assert mapper(ignore_regions="mask")(entry)["instances"].gt_classes.tolist() == [0]


def test_an_unknown_treatment_of_regions_is_refused(toy):
    message = r"IGNORE_REGIONS\) must be one of background, erase, mask, not 'blur'"
    with pytest.raises(InputError, match=message):
        mapper(ignore_regions="blur")


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
