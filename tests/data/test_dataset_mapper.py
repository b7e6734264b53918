import logging
import pickle

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from detectron2.structures import BoxMode
from PIL import Image

from mapper_samples import HEIGHT, WIDTH, FixedPolicy, entry_with, mapper, pixels_of
from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset


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


def test_the_number_of_dropped_boxes_can_be_written_as_json(toy):
    assert type(mapper()(entry_with(toy, ([3, 3, 8, 8], {})))["dropped_boxes"]) is int


@pytest.mark.parametrize(("width", "height"), [(1, 40), (40, 1), (1, 1)])
@pytest.mark.parametrize("image_format", ["RGB", "BGR", "L"])
def test_pictures_of_one_pixel_can_be_flipped(tmp_path, width, height, image_format):
    path = tmp_path / "thin.png"
    pixels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    Image.fromarray(pixels).save(path)
    flips = [T.RandomFlip(1.0)]
    flipped, plain = (
        ScaleMatchDatasetMapper(True, augmentations=steps, image_format=image_format)(
            {"file_name": str(path), "image_id": 1}
        )["image"]
        for steps in (flips, [])
    )
    assert torch.equal(flipped, plain.flip(2))


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
