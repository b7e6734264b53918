"""What a crop leaves of an object that it drops: background, or under "mask" a region to ignore."""

import numpy as np
import pytest
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it
from detectron2.structures import BoxMode
from PIL import Image

from scale_match.core.exact_tiling import ExactTiling, SourceWindows
from scale_match.core.size_map import SizeMap
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.exact_tiles import ExactTiles
from scale_match.data.object_crop import ObjectCrop
from scale_match.data.training_tiles import tile_dicts


@pytest.fixture
def entry(tmp_path):
    """Two objects side by side; a crop around one of them cuts the other."""
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(
        path
    )
    boxes = [[10, 20, 20, 20], [52, 20, 20, 20]]
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYWH_ABS, "category_id": k, "iscrowd": 0}
        for k, box in enumerate(boxes)
    ]
    size = {"width": 90, "height": 60}
    return {"file_name": str(path), "image_id": 1, **size, "annotations": annotations}


def instances_of(entry, regions, *steps):
    mapper = ScaleMatchDatasetMapper(
        True, augmentations=steps, image_format="RGB", ignore_regions=regions
    )
    found = mapper(entry)["instances"]
    return found.gt_classes.tolist(), found.gt_boxes.tensor.tolist()


@pytest.mark.parametrize("regions", ["background", "erase", "mask"])
def test_a_crop_around_an_object(entry, regions):
    crop = ObjectCrop([40, 56], [1.0, 1.0])
    classes, boxes = instances_of(entry, regions, crop)
    assert classes[0] in (0, 1)
    assert classes[1:] == ([-1] if regions == "mask" else [])
    if regions == "mask":
        x1, _, x2, _ = boxes[1]
        assert 0 < x2 - x1 < 14  # less than 70 % of its size is left
        assert x1 == 0 or x2 == 56


def test_the_region_follows_the_flip(entry):
    crop = ObjectCrop([40, 56], [1.0, 1.0])
    (_, piece) = instances_of(entry, "mask", crop)[1]
    (_, flipped) = instances_of(entry, "mask", crop, T.RandomFlip(prob=1.0))[1]
    assert flipped == pytest.approx([56 - piece[2], piece[1], 56 - piece[0], piece[3]])


def test_an_object_outside_of_the_crop_is_no_region(entry):
    assert instances_of(entry, "mask", ObjectCrop([30, 30], [1.0, 1.0]))[0] in ([0], [1])


@pytest.mark.parametrize(("regions", "expected"), [("background", []), ("mask", [-1])])
def test_an_exact_scale_tile(entry, regions, expected):
    # Objects of 20 px keep their size; a tile is too narrow for both.
    size_map = SizeMap(np.array([10.0, 30.0]), np.array([10.0, 30.0]), 0.0)
    tiles = ExactTiles(ExactTiling(SourceWindows(size_map, (40, 46))))
    seen = set()
    for image_id in range(20):
        classes, _ = instances_of({**entry, "image_id": image_id}, regions, tiles)
        seen.add(tuple(classes[1:]))
    assert seen == {(), tuple(expected)}


@pytest.mark.parametrize(
    ("regions", "expected"), [("background", []), ("erase", []), ("mask", [-1])]
)
def test_a_tile_of_a_whole_image(entry, regions, expected):
    tiles = tile_dicts([entry], tile=(60, 60), overlap=(10, 10))
    assert len(tiles) == 2
    classes, boxes = instances_of(tiles[0], regions)
    assert classes[0] == 0
    assert classes[1:] == expected
    assert boxes[1:] == [[52, 20, 60, 40]] * len(expected)


def test_the_piece_of_an_object_is_not_erased(entry):
    tile = tile_dicts([entry], tile=(60, 60), overlap=(10, 10))[0]
    mapper = ScaleMatchDatasetMapper(
        True, augmentations=[], image_format="RGB", ignore_regions="erase"
    )
    pixels = mapper(tile)["image"].permute(1, 2, 0).numpy()
    assert (pixels == np.asarray(Image.open(entry["file_name"]))[:, :60]).all()
