"""Training on tiles of whole images: literal tiles, the tile file, and real loaders."""

import json
from itertools import islice

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from PIL import Image

from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import SampledScaleMatch
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import has_box, load_dicts
from scale_match.data.lazy import build_lazy_train_loader, training_tiles
from scale_match.data.loader import build_train_loader
from scale_match.data.training_tiles import TrainingTiles, tile_dicts
from scale_match.storage.annotations import read_annotations, read_raw_coco
from scale_match.storage.tiling import tile_annotations
from toy import make_toy_dataset

TILES = {"tile": (32, 24), "overlap": (8, 8)}


def image_with(*boxes, width=10, height=4):
    """The dictionary of an image, boxes given as (bbox, flags)."""
    annotations = [
        {"bbox": list(bbox), "bbox_mode": 1, "category_id": index, "id": 7 + index, **flags}
        for index, (bbox, flags) in enumerate(boxes)
    ]
    name = {"file_name": "a.png", "image_id": 5}
    return {**name, "width": width, "height": height, "annotations": annotations}


def tiles_of(entry):
    """Corner and boxes (class, bbox, gt_ignore) of the tiles of 6 x 4 pixels, 2 in common."""
    return [
        (
            each["corner"],
            [(b["category_id"], b["bbox"], b.get("gt_ignore", False)) for b in each["annotations"]],
        )
        for each in tile_dicts([entry], tile=(6, 4), overlap=(2, 2))
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Whole images with all kinds of boxes, and the tile file that is made of them."""
    folder = tmp_path_factory.mktemp("tiles")
    path, images = make_toy_dataset(
        folder, num_images=5, width=100, height=60, boxes_per_image=4, categories=2
    )
    content = json.loads(path.read_text())
    for index, box in enumerate(content["annotations"]):
        flags = {1: "ignore", 7: "uncertain", 12: "iscrowd"}
        if index in flags:
            box[flags[index]] = True
            box["bbox"] = [5.25, 3.5, 80.1, 50.3]
        else:
            box["bbox"][0] += 0.1  # no float32 number
    path.write_text(json.dumps(content))
    tiled = folder / "tiles.json"
    tiled.write_text(json.dumps(tile_annotations(read_raw_coco(path), **TILES)))
    return path, tiled, images


def whole(files):
    return load_dicts(read_annotations(files[0]), files[2])


def cornered(files):
    return load_dicts(read_annotations(files[1]), files[2])


def mapper(**arguments):
    policy = SampledScaleMatch(SizeHistogram.from_sizes(np.arange(3.0, 9.0, 0.01)))
    return ScaleMatchDatasetMapper(
        True, augmentations=[T.RandomFlip()], image_format="RGB", scale_policy=policy, **arguments
    )


def contents(sample):
    instances = sample["instances"]
    return (
        sample["image_id"], sample["epoch"], sample["corner"], sample["scale"],
        sample["image"].numpy().tobytes(), instances.gt_boxes.tensor.tolist(),
        instances.gt_classes.tolist(),
    )  # fmt: skip


def batches(dicts, count, *, share=0.25, **arguments):
    arguments = {
        "total_batch_size": 4, "seed": 5, "together": 4, "rank": 0, "world_size": 1
    } | arguments  # fmt: skip
    loader = build_train_loader(dicts, mapper(seed=3), empty_share=share, **arguments)
    return [[contents(sample) for sample in batch] for batch in islice(loader, count)]


def test_a_small_image_has_these_tiles():
    inside, cut, lost = (1, 1, 2, 2), (4, 0, 3, 4), (3, 0, 3, 3)

    tiles = tiles_of(image_with((inside, {}), (cut, {}), (lost, {})))

    assert tiles == [
        # two thirds of `cut` lie inside: sqrt(8 / 12) = 0.82
        ((0, 0, 6, 4), [(0, [1, 1, 2, 2], False), (1, [4, 0, 2, 4], False), (2, [3, 0, 3, 3], 0)]),
        # all of it here; of `lost` sqrt(6 / 9) = 0.82
        ((4, 0, 10, 4), [(1, [0, 0, 3, 4], False), (2, [0, 0, 2, 3], False)]),
    ]


def test_a_box_with_less_than_seven_tenths_of_its_size_is_not_in_the_tile():
    entry = image_with(((0, 0, 4, 4), {}), ((3, 0, 2, 4), {}), ((2.2, 0, 4, 4), {}))

    first, second = tiles_of(entry)

    assert [box[0] for box in first[1]] == [0, 1, 2]
    # half of 1: sqrt(0.5) = 0.707; 0.55 of 2: sqrt = 0.74
    assert [box[0] for box in second[1]] == [1, 2]


def test_what_a_tile_shows_of_a_box_of_another_one_is_marked_as_cut():
    entry = image_with(((2.9, 0, 2, 4), {}))

    first, second = tile_dicts([entry], tile=(6, 4), overlap=(2, 2))

    assert "cut" not in first["annotations"][0]
    (piece,) = second["annotations"]
    assert piece["cut"]
    assert not piece.get("gt_ignore")
    assert piece["bbox"] == pytest.approx([0, 0, 0.9, 4])
    assert has_box(first)
    assert not has_box(second)


@pytest.mark.parametrize("flag", ["gt_ignore", "uncertain", "iscrowd"])
def test_a_region_to_ignore_stays_wherever_it_reaches(flag):
    first, second = tiles_of(image_with(((0, 0, 5, 4), {flag: 1})))

    assert [box[1] for box in first[1]] == [[0, 0, 5, 4]]
    assert second[1] == [(0, [0, 0, 1, 4], True)]


def test_tiles_are_numbered_over_the_data_set_and_fields_are_kept():
    entry = {**image_with(((0, 0, 2, 2), {"segmentation": [[0]]})), "source": "x"}

    tiles = tile_dicts([entry, entry], tile=(6, 4), overlap=(2, 2))

    assert [each["image_id"] for each in tiles] == [0, 1, 2, 3]
    assert {(each["width"], each["height"], each["source"]) for each in tiles} == {(6, 4, "x")}
    assert "segmentation" not in tiles[0]["annotations"][0]
    assert "corner" not in entry


def test_an_image_without_boxes_has_empty_tiles_and_a_small_one_has_one():
    assert [each["annotations"] for each in tile_dicts([image_with()], tile=(6, 4),
            overlap=(2, 2))] == [[], []]  # fmt: skip
    assert [each["corner"] for each in tile_dicts([image_with()])] == [(0, 0, 10, 4)]
    assert tile_dicts([]) == []


def test_tiles_and_boxes_are_those_of_the_tile_file(files):
    ours, theirs = tile_dicts(whole(files), **TILES), cornered(files)

    assert len(ours) == len(theirs) > 40
    keys = ("file_name", "image_id", "width", "height", "corner")
    assert [[each[key] for key in keys] for each in ours] == [
        [each[key] for key in keys] for each in theirs
    ]
    for mine, their in zip(ours, theirs, strict=True):

        def boxes(entry, their=their):
            known = {tuple(b["bbox"]) for b in their["annotations"]}
            return [
                (b["bbox"], b["category_id"], b["uncertain"], b["iscrowd"], b["gt_ignore"])
                for b in entry["annotations"]
                if tuple(b["bbox"]) in known
            ]  # fmt: skip

        assert boxes(mine) == boxes(their)
        others = len(mine["annotations"]) - len(boxes(mine))
        assert sum(b["gt_ignore"] or "cut" in b for b in mine["annotations"]) >= others


def test_batches_of_both_are_equal_to_the_last_bit(files):
    ours = batches(tile_dicts(whole(files), **TILES), 20)

    assert ours == batches(cornered(files), 20)


@pytest.mark.parametrize("num_workers", [2, 8])
def test_workers_change_nothing_on_tiles(files, num_workers):
    dicts = cornered(files)

    assert batches(dicts, 12, num_workers=num_workers) == batches(dicts, 12)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_two_processes_share_the_batches_of_one_on_tiles(files, num_workers):
    dicts = cornered(files)

    ranks = [
        batches(dicts, 12, rank=rank, world_size=2, num_workers=num_workers) for rank in range(2)
    ]

    assert [a + b for a, b in zip(*ranks, strict=True)] == batches(dicts, 12)


@pytest.mark.parametrize(("start", "num_workers"), [(1, 0), (2, 2), (7, 0), (11, 2)])
def test_a_resumed_run_goes_on_inside_a_block(files, start, num_workers):
    dicts = cornered(files)

    rest = batches(dicts, 14 - start, start_iteration=start, num_workers=num_workers)

    assert rest == batches(dicts, 14)[start:]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_an_epoch_has_the_share_of_empty_tiles_and_each_other_tile_once(files, share):
    dicts = tile_dicts(whole(files), **TILES)
    full = {each["image_id"] for each in dicts if has_box(each)}
    per_epoch = len(full) + round(len(full) * share / (1 - share))
    assert per_epoch <= len(dicts)
    loader = build_train_loader(
        dicts, mapper(), total_batch_size=1, seed=0, rank=0, world_size=1, empty_share=share
    )
    assert loader.images_per_epoch == loader.iterations_per_epoch == per_epoch

    epochs = [
        [batch[0]["image_id"] for batch in islice(samples, per_epoch)]
        for samples in [iter(loader)]
        for _ in range(2)
    ]

    for ids in epochs:
        assert len(set(ids)) == len(ids)
        assert full <= set(ids)
        assert (len(ids) - len(full)) / len(ids) == pytest.approx(share, abs=0.02)
    if 0 < share < 0.5:
        assert set(epochs[0]) != set(epochs[1])


@pytest.mark.parametrize(("together", "most"), [(1, 1.0), (2, 0.6), (4, 0.33)])
def test_an_image_is_decoded_once_for_several_of_its_tiles(files, together, most):
    reader = mapper(seed=3)
    loader = build_train_loader(
        cornered(files), reader, total_batch_size=4, seed=5, together=together, rank=0, world_size=1
    )
    tiles = sum(len(batch) for batch in islice(loader, loader.iterations_per_epoch))

    assert reader._tiles.num_decoded / tiles <= most
    if together == 1:
        assert reader._tiles.num_decoded / tiles > 0.7


def test_only_tiles_of_whole_images_can_be_cut(files):
    with pytest.raises(
        InputError, match=r"are of tiles already .*TRAIN_TILES.ENABLED .* must be False"
    ):
        tile_dicts(cornered(files), **TILES)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"overlap": (32, 8)}, r"\[32, 24\], \[32, 8\] and 0.7: overlap must be smaller than"),
        ({"tile": (0, 24)}, "tile must be at least 1, got 0"),
        ({"keep": 1.5}, r"and 1.5: keep must be in \(0, 1\], got 1.5"),
    ],
)
def test_numbers_that_cannot_be_are_refused_by_their_keys(files, numbers, message):
    settings = TrainingTiles(enabled=True, **{**TILES, **numbers})
    keys = r"SCALE_MATCH\.TRAIN_TILES\.SIZE, OVERLAP and KEEP \(dataloader\.train\.tiles\.tile, .*"
    with pytest.raises(InputError, match=keys + message):
        settings.select(whole(files), filter_empty=True)


def test_settings_of_both_front_ends_mean_the_same():
    cfg = get_cfg()
    add_scale_match_config(cfg)
    assert TrainingTiles.from_config(cfg) == TrainingTiles() == training_tiles({})
    cfg.merge_from_list([
        "SCALE_MATCH.TRAIN_TILES.ENABLED", True, "SCALE_MATCH.TRAIN_TILES.EMPTY_SHARE", 0.5,
        "SCALE_MATCH.TRAIN_TILES.SIZE", [64, 32], "SCALE_MATCH.TRAIN_TILES.TOGETHER", 3,
    ])  # fmt: skip
    node = {"enabled": True, "empty_share": 0.5, "tile": [64, 32], "together": 3}
    assert TrainingTiles.from_config(cfg) == training_tiles(node)


def test_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match="tiles has no setting size: it has enabled, tile, overl"):
        training_tiles({"size": [1, 2]})


def test_empty_tiles_are_left_out_as_empty_images_are(files):
    settings = TrainingTiles(enabled=True, **TILES)

    kept = settings.select(whole(files), filter_empty=True)

    assert all(map(has_box, kept))
    everything = settings.select(whole(files), filter_empty=False)
    assert [each for each in everything if has_box(each)] == kept
    assert len(everything) > len(kept)
    with_share = TrainingTiles(enabled=True, empty_share=0.1, **TILES)
    assert with_share.select(whole(files), filter_empty=True) == everything
    assert len(TrainingTiles().select(whole(files), filter_empty=False)) == 5


def test_a_lazy_loader_cuts_tiles(files):
    loader = build_lazy_train_loader(
        annotations=str(files[0]), images=str(files[2]), mapper=mapper(), total_batch_size=4,
        seed=0, tiles={"enabled": True, "tile": [32, 24], "overlap": [8, 8], "empty_share": 0.3},
    )  # fmt: skip

    corners = {each["corner"] for batch in islice(loader, 5) for each in batch}

    assert len(corners) > 5
    assert {(x2 - x1, y2 - y1) for x1, y1, x2, y2 in corners} == {(32, 24)}


def test_tiles_have_the_pixels_of_the_image(files):
    entry = tile_dicts(whole(files), **TILES)[3]
    plain = ScaleMatchDatasetMapper(True, augmentations=[], image_format="RGB")
    x1, y1, x2, y2 = entry["corner"]

    pixels = plain(entry)["image"].permute(1, 2, 0).numpy()

    assert (pixels == np.asarray(Image.open(entry["file_name"]))[y1:y2, x1:x2]).all()
