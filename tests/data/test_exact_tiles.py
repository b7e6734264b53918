import json

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import ExactTiling, SourceWindows
from scale_match.core.histogram import SizeHistogram
from scale_match.core.size_map import SizeMap
from scale_match.data.augmentation import ScaleMatchAugInput
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.data.exact_tiles import ExactTiles, ExactTileTransform, build_exact_tiles
from scale_match.storage.annotations import read_annotations
from scale_match.storage.histograms import save_histogram
from toy import make_toy_dataset

IMAGE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
TILING = ExactTiling(
    SourceWindows(SizeMap(np.array([10.0, 100.0]), np.array([5.0, 20.0]), 0.0), (64, 80))
)


def run(boxes, seed=0):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    aug_input = ScaleMatchAugInput(IMAGE, boxes=boxes, rng=np.random.default_rng(seed))
    return aug_input, ExactTiles(TILING)(aug_input)


def test_image_and_boxes_get_what_the_tiling_decided_on():
    boxes = [[150, 100, 250, 200], [5, 5, 15, 15]]
    for seed in range(10):
        aug_input, transform = run(boxes, seed)
        assert aug_input.image.shape[:2] == transform.window.size
        keep = transform.window.keep
        assert keep.sum() == 1
        assert aug_input.boxes[keep] == pytest.approx(transform.window.boxes[keep])
        assert (aug_input.boxes[~keep] == 0).all()
        sides = aug_input.boxes[keep][0, 2:] - aug_input.boxes[keep][0, :2]
        assert sides == pytest.approx([20, 20] if keep[0] else [5, 5], rel=0.05)


def test_the_transform_itself_moves_any_box():
    _, transform = run([[150, 100, 250, 200]])
    x1, y1, x2, y2 = transform.window.corner
    height, width = transform.window.size
    moved = transform.apply_box(np.array([[x1, y1, x2, y2], [x1 - 5.0, y1, x1, y2]]))
    assert moved[0] == pytest.approx([0, 0, width, height])
    assert moved[1, 0] < 0 == moved[1, 2]
    assert isinstance(transform, ExactTileTransform)


def test_an_image_without_boxes_is_shrunk():
    aug_input, _ = run([])
    assert aug_input.image.shape == (60, 80, 3)  # not above 64 x 80
    assert aug_input.boxes.shape == (0, 4)


def test_the_mapper_trains_on_the_boxes_that_a_tile_keeps(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path, width=128, height=96)
    tiles = build_exact_tiles([64, 80], target=str(path), source=str(path))
    mapper = ScaleMatchDatasetMapper(True, augmentations=[tiles], image_format="RGB")
    for entry in load_dicts(read_annotations(path), image_dir):
        sample = mapper(entry)
        boxes = sample["instances"].gt_boxes.tensor
        assert len(boxes) >= 1
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert max(sample["image"].shape[1:]) <= 128


def test_a_saved_histogram_is_taken_with_its_own_settings(tmp_path):
    path, _ = make_toy_dataset(tmp_path, width=128, height=96)
    saved = tmp_path / "target.json"
    histogram = SizeHistogram.from_sizes(np.linspace(3.0, 6.0, 50), bins=7)
    save_histogram(
        saved, histogram, log=False, except_rate=None, source="a.json", source_sha256="0" * 64
    )
    tiles = build_exact_tiles([64, 80], target=str(saved), source=[str(path)])
    assert tiles.tiling.windows.size_map.destination.max() <= 6.0


@pytest.mark.parametrize("tile", [[64], [64, 0], [64, 8.5]])
def test_a_tile_must_have_two_sides(tile):
    with pytest.raises(InputError, match="exact_tile must be a height and a width in pixels, got"):
        build_exact_tiles(tile, target="a.json", source="a.json")


def test_a_target_must_be_named(tmp_path):
    with pytest.raises(InputError, match=r"exact_tile needs a target \(SCALE_MATCH\.TARGET\)"):
        build_exact_tiles([64, 80], target="", source="a.json")
    (tmp_path / "a.json").write_text(json.dumps({"images": []}))
    with pytest.raises(InputError, match=r"a\.json"):
        build_exact_tiles([64, 80], target="b.json", source=str(tmp_path / "a.json"))
