"""Tiles have the ids of the tile file, whatever the order in which images were seen."""

import json
from pathlib import Path

import numpy as np
import pytest

from scale_match.core.candidates import CandidateTable
from scale_match.core.tiles import tile_grid
from scale_match.engine.sweep_crops import RunTimeCrop, TilesAsImages
from scale_match.engine.sweep_model import DetectorRun
from scale_match.inference.tiled_model import TiledModel
from scale_match.storage.annotations import read_annotations
from scale_match.storage.results import write_detections
from small_detectors import small_retinanet

TILE, OVERLAP = (40, 32), (12, 8)
SIZES = {4: (60, 30), 9: (40, 32), 2: (97, 75)}  # in the order of the file


@pytest.fixture
def run(tmp_path):
    content = {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height}
            for number, (width, height) in SIZES.items()
        ],
        "categories": [{"id": 3, "name": "thing"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 3, "bbox": [60, 40, 10, 10], "iscrowd": 0}
        ],
    }
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(content))
    return DetectorRun(
        model=TiledModel(small_retinanet(), tile=TILE, overlap=OVERLAP),
        batches=(),
        mapper=dict,
        images=[],
        annotations=path,
        category_ids=[3],
        settings={},
    )


def one_box_per_tile(order):
    """A candidate on each tile of some images, whose left side is the image's id."""
    grids = [tile_grid(*SIZES[each], tile=TILE, overlap=OVERLAP) for each in order]
    owners = np.repeat(np.arange(len(order)), [len(grid) for grid in grids])
    total = len(owners)
    left = np.array(order)[owners]
    zeros = np.zeros(total, np.int32)
    return CandidateTable(
        image_ids=np.array(order),
        seen_sizes=np.array([SIZES[each] for each in order]),
        sizes=np.array([SIZES[each] for each in order]),
        tile_images=owners,
        tiles=np.concatenate(grids),
        starts=np.arange(total + 1),
        boxes=np.stack([left, left * 0 + 1, left + 5, left * 0 + 6], axis=1).astype(np.float32),
        scores=np.linspace(0.9, 0.1, total).astype(np.float32),
        filter_scores=np.linspace(0.9, 0.1, total).astype(np.float32),
        classes=zeros,
        levels=zeros,
        ranks=zeros,
        limit=1,
        score_threshold=0.0,
    )


def all_of(table):
    return [np.array([row]) for row in range(len(table))]


@pytest.mark.parametrize("order", [(4, 9, 2), (2, 4, 9), (9, 2), (2,)], ids=str)
def test_a_detection_has_the_id_of_its_tile_in_the_tile_file(run, tmp_path, order):
    crop = TilesAsImages(run, read_annotations(run.annotations), tmp_path / "tiles.json")
    table = one_box_per_tile(order)

    found = crop.detections(table, all_of(table))

    tiles = {
        each["id"]: each for each in json.loads((tmp_path / "tiles.json").read_text())["images"]
    }
    assert len(set(found.image_ids.tolist())) == len(table)
    for row, (image_id, box) in enumerate(zip(found.image_ids, found.boxes, strict=True)):
        tile = tiles[image_id]
        assert Path(tile["file_name"]).stem == str(int(box[0]))
        assert tile["corner"] == table.tiles[row].tolist()


@pytest.mark.parametrize("kind", [RunTimeCrop, TilesAsImages])
def test_what_was_written_gives_the_same_as_what_is_in_memory(run, tmp_path, kind):
    annotations = read_annotations(run.annotations)
    extra = (tmp_path / "tiles.json",) if kind is TilesAsImages else ()
    crop = kind(run, annotations, *extra)
    table = one_box_per_tile((4, 9, 2))
    kept = all_of(table)
    if crop.joint:
        kept = np.split(np.arange(len(table)), table.image_starts[1:-1])
    detections = crop.detections(table, kept)
    write_detections(tmp_path / "dt.json", detections)

    ours, theirs = crop.inputs(detections), crop.load(tmp_path / "dt.json")

    for name in ("image_ids", "category_ids", "boxes", "scores"):
        found = getattr(ours.detections, name)
        assert len(found) > 5
        np.testing.assert_array_equal(found, getattr(theirs.detections, name))
    for name in ("gt_path", "gt_sha256", "tiles_path", "tiles_sha256", "merge", "num_dropped"):
        assert getattr(ours, name) == getattr(theirs, name)
