import json

import numpy as np
import pytest
from PIL import Image

from scale_match.core.boxes import xywh_to_xyxy
from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import ExactTiling, SourceWindows
from scale_match.core.histogram import SizeHistogram
from scale_match.core.randomness import sample_randomness
from scale_match.core.size_map import SizeMap
from scale_match.data.augmentation import ScaleMatchAugInput
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts, xywh_boxes
from scale_match.data.exact_tiles import ExactTiles, ExactTileTransform, build_exact_tiles
from scale_match.data.image_reading import EncodedImage
from scale_match.data.size_target import SizeTarget
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
    tiles = build_exact_tiles([64, 80], SizeTarget(target=str(path), source=str(path)))
    mapper = ScaleMatchDatasetMapper(True, augmentations=[tiles], image_format="RGB")
    for entry in load_dicts(read_annotations(path), image_dir):
        sample = mapper(entry)
        boxes = sample["instances"].gt_boxes.tensor
        assert len(boxes) >= 1
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert max(sample["image"].shape[1:]) <= 128


def test_the_settings_of_the_histogram_count(tmp_path):
    path, _ = make_toy_dataset(tmp_path, width=128, height=96)
    saved = tmp_path / "target.json"
    histogram = SizeHistogram.from_sizes(np.linspace(3.0, 6.0, 50), bins=7)
    save_histogram(
        saved, histogram, log=False, except_rate=None, source="a.json", source_sha256="0" * 64
    )
    sizes = SizeTarget(target=str(saved), source=[str(path)], bins=7, scale_range=[0.2, 0.6])
    windows = build_exact_tiles([64, 80], sizes).tiling.windows
    assert windows.size_map.destination.max() <= 6.0
    assert windows.limits.scale_range == (0.2, 0.6)
    with pytest.raises(InputError, match=r"target\.json was saved with bins 7, but bins 100"):
        build_exact_tiles([64, 80], sizes._replace(bins=100))
    moved = sizes._replace(target=str(path), bins=100, mu_sigma=[30.0, 2.0])
    destination = build_exact_tiles([64, 80], moved).tiling.windows.size_map.destination
    assert 25 < destination.mean() < 35


@pytest.mark.parametrize("tile", [[64], [64, 0], [64, 8.5]])
def test_a_tile_must_have_two_sides(tile):
    with pytest.raises(
        InputError, match=r"EXACT_TILE \(exact_tile\) must be a height and a width in pixels, got"
    ):
        build_exact_tiles(tile, SizeTarget(target="a.json", source="a.json"))


def test_a_target_must_be_named(tmp_path):
    with pytest.raises(InputError, match=r"EXACT_TILE .* needs SCALE_MATCH\.TARGET"):
        build_exact_tiles([64, 80], SizeTarget(source="a.json"))
    path, _ = make_toy_dataset(tmp_path / "toy")
    (tmp_path / "a.json").write_text(json.dumps({"images": []}))
    with pytest.raises(InputError, match=r"a\.json"):
        build_exact_tiles([64, 80], SizeTarget(target=str(path), source=str(tmp_path / "a.json")))
    with pytest.raises(InputError, match=r"b\.json"):
        build_exact_tiles([64, 80], SizeTarget(target="b.json", source=str(path)))


def test_a_tile_is_read_without_decoding_the_image_in_full(tmp_path, monkeypatch):
    path, image_dir = make_toy_dataset(tmp_path, width=256, height=192)
    # Every tile is far smaller than what it shows.
    target = SizeTarget(target=str(path), source=str(path), mu_sigma=[4.0, 0.5])
    tiles = build_exact_tiles([64, 80], target)
    reads = []
    parts = EncodedImage.parts
    monkeypatch.setattr(EncodedImage, "parts", lambda *a: reads.append(a[1]) or parts(*a))
    monkeypatch.setattr(EncodedImage, "pixels", None)  # all pixels are asked for nowhere
    mapper = ScaleMatchDatasetMapper(True, augmentations=[tiles], image_format="RGB")
    for entry in load_dicts(read_annotations(path), image_dir):
        sample = mapper(entry)
        assert len(reads.pop()) == 1
        whole = np.asarray(Image.open(entry["file_name"]))
        again = ExactTileTransform(sample_window(tiles, entry, mapper)).apply_image(whole)
        ours = sample["image"].permute(1, 2, 0).numpy()
        assert np.abs(ours - again.astype(int)).mean() < 2.0


def sample_window(tiles, entry, mapper):
    boxes = xywh_to_xyxy(xywh_boxes(entry["annotations"]))
    rng = sample_randomness(mapper.seed, entry["image_id"], 0).rng
    return tiles.get_transform(boxes, rng, (192, 256)).window
