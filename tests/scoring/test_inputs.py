import json

import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from scale_match.core.errors import InputError
from scale_match.core.merging import merge_tile_results
from scale_match.scoring.inputs import load_inputs, table_inputs
from scale_match.storage.annotations import read_annotations
from scale_match.storage.fingerprints import content_sha256
from scale_match.storage.results import read_detections
from scale_match.storage.tiling import tile_annotations
from scoring_files import crowded_files, found, whole_image_file, write


@pytest.fixture
def tiled(tmp_path):
    """Ground truth of whole images, their tiles of 64 x 64, and detections on these.

    The first tile of the first image spans x 0 to 64, the second 36 to 100.
    """
    truth = whole_image_file()
    tiles = tile_annotations(truth, tile=(64, 64), overlap=(10, 10))
    detections = [
        found(0, [50, 20, 10, 10], 0.9),
        found(1, [14, 20, 10, 10], 0.8),  # the same place, seen in the second tile
        found(1, [14, 20, 10, 10], 0.7, category_id=2),
        found(4, [0, 0, 5, 5], 0.6),  # a tile of the second image
    ]
    return (
        write(tmp_path / "gt.json", truth),
        write(tmp_path / "dt.json", detections),
        write(tmp_path / "corner.json", tiles),
    )


def test_files_are_read_with_their_absolute_paths_and_hashes(tmp_path, monkeypatch):
    gt, dt = crowded_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    inputs = load_inputs("gt.json", "dt.json")
    assert (inputs.gt_path, inputs.dt_path) == (gt, dt)
    assert (inputs.gt_sha256, inputs.dt_sha256) == (content_sha256(gt), content_sha256(dt))
    assert len(inputs.annotations.table) == 40
    assert inputs.tiles is inputs.tile_detections is inputs.tiles_path is inputs.merge is None


def test_packed_files_are_the_same_files(tmp_path):
    ground_truth, results = crowded(0)
    plain = load_inputs(*crowded_files(tmp_path))
    packed = load_inputs(
        write(tmp_path / "gt.json.gz", ground_truth), write(tmp_path / "dt.json.gz", results)
    )
    assert (plain.gt_sha256, plain.dt_sha256) == (packed.gt_sha256, packed.dt_sha256)
    assert np.array_equal(plain.detections.boxes, packed.detections.boxes)


# ---- Categories that are not declared ----


def test_detections_of_undeclared_categories_are_dropped_counted_and_said(tmp_path):
    inputs = load_inputs(*crowded_files(tmp_path))
    _, results = crowded(0)
    declared = [entry for entry in results if entry["category_id"] != 9]
    assert 0 < len(declared) < len(results)
    assert inputs.detections.scores.tolist() == [entry["score"] for entry in declared]
    assert inputs.num_dropped == len(results) - len(declared)
    (warning,) = inputs.warnings
    said = f"{tmp_path / 'dt.json'}: {inputs.num_dropped} of the 160 detections are dropped"
    assert warning.startswith(said)
    assert "category ids 9, but" in warning
    assert "declares 2, 4, 7" in warning


def test_it_is_an_error_if_no_detection_has_a_declared_category(tmp_path):
    gt, _ = crowded_files(tmp_path)
    entries = [found(5, [0, 0, 5, 5], category_id=number) for number in range(20, 30)]
    dt = write(tmp_path / "other.json", entries)
    message = (
        r"other.json: none of the 10 .* category ids 20, 21, 22, 23, 24, \.\.\., but .*gt.json"
    )
    with pytest.raises(InputError, match=message):
        load_inputs(gt, dt)


def test_no_detection_at_all_is_legal(tmp_path):
    gt, _ = crowded_files(tmp_path)
    inputs = load_inputs(gt, write(tmp_path / "none.json", []))
    assert len(inputs.detections) == inputs.num_dropped == 0
    assert inputs.warnings == ()


def test_tables_in_memory_need_no_file():
    ground_truth, results = crowded(0)
    inputs = table_inputs(as_annotations(ground_truth), as_detections(results))
    assert inputs.gt_path is inputs.dt_path is inputs.gt_sha256 is inputs.dt_sha256 is None
    assert inputs.num_dropped == sum(entry["category_id"] == 9 for entry in results)
    assert inputs.warnings[0].startswith("detections in memory: ")


# ---- Missing iscrowd ----


def test_a_missing_iscrowd_is_said_once_and_means_0(tmp_path):
    truth = whole_image_file()
    more = [truth["annotations"][0] | {"id": number} for number in (2, 3)]
    for entry in more:
        del entry["iscrowd"]
    truth["annotations"] += more
    inputs = load_inputs(write(tmp_path / "gt.json", truth), write(tmp_path / "dt.json", []))
    (warning,) = inputs.warnings
    assert warning.endswith("gt.json: 2 of 3 annotations have no iscrowd, which means 0")
    assert not inputs.annotations.table.iscrowd.any()


# ---- Tiles ----


def test_tiles_are_merged_as_by_the_authors(shared):
    folder = shared("oracle/merge")
    files = (folder / "gt.json", folder / "dt_tiles.json")
    inputs = load_inputs(*files, tiles=folder / "corner_gt.json")
    expected = json.loads((folder / "expected_merged.json").read_text())
    assert inputs.detections.scores.tolist() == [entry["score"] for entry in expected]
    assert inputs.detections.image_ids.tolist() == [entry["image_id"] for entry in expected]
    boxes = [entry["bbox"] for entry in expected]
    assert inputs.detections.boxes == pytest.approx(np.array(boxes), abs=1e-3)
    assert (inputs.merge, len(inputs.tile_detections)) == ("class-agnostic", 698)
    assert inputs.tiles_path == folder / "corner_gt.json"
    assert inputs.tiles_sha256 == content_sha256(folder / "corner_gt.json")


def test_merging_per_class_is_the_same_suppression_within_each_category(shared):
    folder = shared("oracle/merge")
    files = (folder / "gt.json", folder / "dt_tiles.json")
    inputs = load_inputs(*files, tiles=folder / "corner_gt.json", merge="per-class")
    tiles = read_annotations(folder / "corner_gt.json")
    merged = merge_tile_results(
        read_detections(folder / "dt_tiles.json", tiles), tiles, threshold=0.5, class_aware=True
    )
    assert inputs.detections.boxes.tolist() == merged.boxes.tolist()
    assert inputs.merge == "per-class"


def test_detections_keep_their_form_on_tiles_beside_the_merged_ones(tiled):
    gt, dt, tiles = tiled
    inputs = load_inputs(gt, dt, tiles=tiles)
    assert inputs.detections.image_ids.tolist() == [1, 2]
    assert inputs.detections.boxes.tolist() == [[50, 20, 10, 10], [0, 0, 5, 5]]
    assert inputs.tile_detections.image_ids.tolist() == [0, 1, 1, 4]
    assert len(load_inputs(gt, dt, tiles=tiles, merge="per-class").detections) == 3


def test_an_unknown_way_of_merging_is_refused(tiled):
    gt, dt, tiles = tiled
    with pytest.raises(
        InputError, match=r"merge must be one of class-agnostic, per-class, rec.*'x'"
    ):
        load_inputs(gt, dt, tiles=tiles, merge="x")


def test_tiles_of_another_data_set_are_refused_by_file_name(tiled, tmp_path):
    gt, dt, _ = tiled
    other = whole_image_file()
    other["images"][1]["file_name"] = "deep/c.jpg"
    corner = write(tmp_path / "c.json", tile_annotations(other, tile=(64, 64), overlap=(10, 10)))
    message = r"c.json: old image id 2 has file_name 'deep/c.jpg', which must be 'b.jpg' as in .*gt"
    with pytest.raises(InputError, match=message):
        load_inputs(gt, dt, tiles=corner)


def test_the_folder_of_a_file_name_may_differ(tiled, tmp_path):
    gt, dt, _ = tiled
    other = whole_image_file()
    other["images"][1]["file_name"] = "deep/b.jpg"
    corner = write(tmp_path / "c.json", tile_annotations(other, tile=(64, 64), overlap=(10, 10)))
    assert len(load_inputs(gt, dt, tiles=corner).detections) == 2


def test_detections_on_tiles_of_an_unlisted_image_are_refused(tiled, tmp_path):
    _, dt, tiles = tiled
    truth = whole_image_file()
    truth["images"] = truth["images"][:1]
    gt = write(tmp_path / "part.json", truth)
    message = r"corner.json: there are detections on tiles of the image 2, which .*part.json does"
    with pytest.raises(InputError, match=message):
        load_inputs(gt, dt, tiles=tiles)


def test_images_without_tiles_are_counted_and_said(tiled, tmp_path):
    gt, _, _ = tiled
    part = whole_image_file()
    part["images"] = part["images"][:1]
    corner = write(tmp_path / "c.json", tile_annotations(part, tile=(64, 64), overlap=(10, 10)))
    dt = write(tmp_path / "one.json", [found(0, [1, 1, 4, 4])])
    (warning,) = load_inputs(gt, dt, tiles=corner).warnings
    assert warning.startswith("1 of the 2 images of")
    assert "count as images without detections" in warning


def test_ground_truth_of_tiles_is_refused_where_that_of_images_is_needed(tiled):
    _, dt, tiles = tiled
    with pytest.raises(InputError, match=r"corner.json is a tile file itself; .* of the whole im"):
        load_inputs(tiles, dt, tiles=tiles)


def test_a_file_of_whole_images_is_no_tile_file(tiled):
    gt, _, _ = tiled
    dt = write(gt.parent / "whole.json", [found(1, [1, 1, 4, 4])])
    with pytest.raises(InputError, match="image 1 has no corner, so it is not a tile"):
        load_inputs(gt, dt, tiles=gt)


# ---- Broken input: the message names the file ----


def test_results_of_another_data_set_are_refused(tmp_path):
    gt, _ = crowded_files(tmp_path)
    dt = write(tmp_path / "dt.json", [found(1234, [1, 1, 4, 4])])
    with pytest.raises(InputError, match=r"dt.json: entry 0 .* has 1234, but needs an image_id"):
        load_inputs(gt, dt)


def test_results_of_unknown_tiles_are_refused(tiled):
    gt, dt, tiles = tiled
    write(dt, [found(99, [1, 1, 4, 4])])
    with pytest.raises(InputError, match=r"dt.json: entry 0 .* has 99, .*corner.json lists"):
        load_inputs(gt, dt, tiles=tiles)


@pytest.mark.parametrize("name", ["gt", "dt", "tiles"])
def test_a_missing_file_is_named(tiled, name):
    files = dict(zip(("gt", "dt", "tiles"), tiled, strict=True))
    files[name].unlink()
    with pytest.raises(InputError, match=rf"cannot read {files[name]}: No such file"):
        load_inputs(**files)
