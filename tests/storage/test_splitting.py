import copy

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.splitting import split_annotations
from scale_match.storage.tiling import tile_annotations, tile_image_files


def coco(*names, boxes=2, **more):
    images = [
        {"id": 10 + k, "file_name": name, "width": 40, "height": 30} for k, name in enumerate(names)
    ]
    annotations = [
        {"id": boxes * k + b, "image_id": 10 + k, "category_id": b % 2, "bbox": [1, 2, 3, 4]}
        for b in range(boxes)
        for k in range(len(names))
    ]
    categories = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    return {**more, "images": images, "annotations": annotations, "categories": categories}


def frames(*counts):
    """Files ``0/0.jpg``, ``0/1.jpg`` ...: a folder with this many of them for each count."""
    return [f"{video}/{k}.jpg" for video, count in enumerate(counts) for k in range(count)]


def names(side):
    return [image["file_name"] for image in side.content["images"]]


def ids(side):
    return {image["id"] for image in side.content["images"]}


def folders(side):
    return {name.split("/")[0] for name in names(side)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("count", "share", "tested"),
    [(10, 0.2, 2), (10, 0.25, 3), (10, 0.9, 9), (100, 0.07, 7), (2, 0.001, 1), (3, 0.999, 2)],
)
def test_single_images_meet_the_share_rounded_up(count, share, tested, seed):
    train, test = split_annotations(coco(*frames(count)), share=share, seed=seed)
    assert len(test.content["images"]) == test.num_groups == tested
    assert len(train.content["images"]) == train.num_groups == count - tested


def test_every_entry_is_on_one_side_in_file_order_and_boxes_follow_their_image():
    raw = coco(*frames(9))
    sides = split_annotations(raw, share=0.4)
    for key in ("images", "annotations"):
        kept = [entry for entry in raw[key] if entry in sides[0].content[key]]
        assert sides[0].content[key] == kept
        kept = [entry for entry in raw[key] if entry not in kept]
        assert sides[1].content[key] == kept
    for side in sides:
        assert {box["image_id"] for box in side.content["annotations"]} == ids(side)


def test_other_keys_fields_and_categories_stay_as_they_are():
    raw = coco("a.jpg", "b.jpg", info={"year": 2020}, licenses=[{"id": 4}])
    raw["images"][1]["license"] = 4
    raw["annotations"][0]["caption"] = "x"
    before = copy.deepcopy(raw)
    sides = split_annotations(raw)
    assert raw == before
    for side in sides:
        assert list(side.content) == list(raw)
        assert {**side.content, "images": 0, "annotations": 0} == {
            **raw, "images": 0, "annotations": 0,
        }  # fmt: skip
    assert sorted(map(str, sides[0].content["images"] + sides[1].content["images"])) == sorted(
        map(str, raw["images"])
    )


def test_the_seed_decides():
    raw = coco(*frames(50))
    assert split_annotations(raw, seed=3) == split_annotations(copy.deepcopy(raw), seed=3)
    drawn = {tuple(names(split_annotations(raw, seed=seed)[1])) for seed in range(20)}
    assert len(drawn) == 20


def test_the_drawing_of_a_seed_stays():
    assert names(split_annotations(coco(*frames(10)), share=0.3, seed=7)[1]) == [
        "0/0.jpg",
        "0/7.jpg",
        "0/8.jpg",
    ]


def test_each_image_is_drawn_as_often_as_the_others():
    raw = coco(*frames(5))
    drawn = [name for seed in range(500) for name in names(split_annotations(raw, seed=seed)[1])]
    assert all(70 < drawn.count(name) < 130 for name in frames(5))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("group_by", "template"),
    [
        ("folder", "v{}/{}.jpg"),
        ("folder", "deep/v{}/{}.jpg"),
        (r"v\d+", "v{}-{}.jpg"),
        (r"^(?:images/)?(v\d+)_\d", "images/v{}_{}.jpg"),
        (r"v(?P<video>\d+)_(\d+)", "v{}_{}.jpg"),
    ],
)
def test_groups_are_not_split(group_by, template, seed):
    files = [template.format(video, k) for k in range(4) for video in range(5)]
    train, test = split_annotations(coco(*files), seed=seed, group_by=group_by)
    videos = [{name[name.index("v") + 1] for name in names(side)} for side in (train, test)]
    assert not videos[0] & videos[1]
    assert (train.num_groups, test.num_groups) == (4, 1)
    assert len(names(test)) == 4


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("counts", "share", "tested"),
    [
        ((1, 1, 20), 0.1, {"0", "1"}),  # the large group is not drawn, whatever the order
        ((5, 95), 0.2, {"0"}),
        ((5, 95), 0.9, {"1"}),
        ((30, 20, 50), 0.01, {"1"}),  # none is near: the smallest
        ((30, 20, 50), 0.99, {"0", "2"}),
    ],
)
def test_groups_that_are_too_large_are_passed_over(counts, share, tested, seed):
    raw = coco(*frames(*counts))
    train, test = split_annotations(raw, share=share, seed=seed, group_by="folder")
    assert folders(test) == tested
    assert folders(train) == {str(k) for k in range(len(counts))} - tested


def test_entries_with_one_file_are_one_group():
    raw = coco("a.jpg", "./a.jpg", "b.jpg")
    train, test = split_annotations(raw, share=0.5)
    assert {len(names(train)), len(names(test))} == {1, 2}
    assert train.num_groups == test.num_groups == 1


@pytest.mark.parametrize("seed", range(8))
def test_tiles_stay_together_and_old_images_go_with_them(seed):
    tiled = tile_annotations(coco(*frames(5)), tile=(20, 20), overlap=(5, 5))
    assert len(tiled["images"]) > 10
    train, test = split_annotations(tiled, seed=seed)
    assert (train.num_groups, test.num_groups) == (4, 1)
    for side in (train, test):
        old = [image["file_name"] for image in side.content["old_images"]]
        assert old == sorted(set(names(side)))
    assert not set(names(train)) & set(names(test))


def test_old_images_without_tiles_go_to_the_training_side():
    tiled = tile_annotations(coco(*frames(3)), tile=(20, 20), overlap=(5, 5))
    tiled["old_images"].append({"id": 99, "file_name": "dense.jpg", "width": 5, "height": 5})
    train, test = split_annotations(tiled)
    assert train.content["old_images"][-1]["id"] == 99
    assert len(test.content["old_images"]) == 1


@pytest.mark.parametrize("group_by", [None, r"[^/]*$", r"(.*)\.jpg"])
def test_tiles_that_are_image_files_stay_together(tmp_path, group_by):
    tiled = tile_annotations(coco(*frames(5)), tile=(20, 20), overlap=(5, 5))
    content, _ = tile_image_files(tiled, tmp_path, tmp_path / "out")
    train, test = split_annotations(content, group_by=group_by)
    assert (train.num_groups, test.num_groups) == (4, 1)
    whole = [
        {image["tile_of"]["file_name"] for image in side.content["images"]}
        for side in (train, test)
    ]
    assert not whole[0] & whole[1]
    assert len(names(test)) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, r"^share must be above 0 and below 1, got 0.0$"),
        ({"share": 1.0}, r"^share must be above 0 and below 1, got 1.0$"),
        ({"share": float("nan")}, r"^share must be above 0 and below 1, got nan$"),
        ({"seed": -1}, r"^seed must be at least 0, got -1$"),
        ({"seed": 0.5}, r"^seed must be a whole number, got 0.5$"),
        (
            {"group_by": "("},
            r"^group_by must be 'folder' or a regular expression, got '\(': missing \)",
        ),
        (
            {"group_by": r"^0/(\d)"},
            r"^image id 12 has the file_name '1/0.jpg', which group_by '.*' does not match$",
        ),
        (
            {"group_by": r"0/(\d)|1"},
            r"^image id 12 has the file_name '1/0.jpg', which the first group of group_by '.*' "
            "does not match$",
        ),
        (
            {"group_by": "jpg"},
            r"^a split needs two groups of images at least, got 1 by 'jpg', with all 3 images$",
        ),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        split_annotations(coco(*frames(2, 1)), **options)


@pytest.mark.parametrize("group_by", [None, "folder"])
def test_one_group_cannot_be_split(group_by):
    with pytest.raises(InputError, match=r"two groups of images at least, got 1"):
        split_annotations(coco("a.jpg"), group_by=group_by)
