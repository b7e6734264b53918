import hashlib
from dataclasses import replace

import pytest

from scale_match.core.errors import InputError
from scale_match.core.protocol import MODEL_ENTRIES
from scale_match.scoring.fingerprint import scoring_protocol
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import ScoringOptions
from scale_match.storage.tiling import tile_annotations
from scoring_files import found, whole_image_file, write

SETTINGS = ScoringOptions().protocol_entries()
MODEL = {
    "tile_size": [64, 64],
    "tile_overlap": [10, 10],
    "merge": "joint",
    "merge_threshold": 0.5,
    "max_per_image": 1000,
    "max_per_tile": "none",
    "candidates_per_level": 2000,
    "score_threshold": 0.05,
    "nms_threshold": "none",
    "test_scale": 1,
}
WHOLE = (
    MODEL
    | {"max_per_image": 300}
    | dict.fromkeys(("tile_size", "tile_overlap", "merge", "merge_threshold"), "none")
)


@pytest.fixture
def inputs(tmp_path):
    truth = whole_image_file()
    gt = write(tmp_path / "gt.json", truth)
    return load_inputs(gt, write(tmp_path / "dt.json", [found(1, [1, 1, 9, 9])]))


@pytest.fixture
def on_tiles(tmp_path):
    """Of an image in which the grid shows itself: 64 x 64 with an overlap of 10."""
    truth = whole_image_file(width=200, height=180)
    tiles = tile_annotations(truth, tile=(64, 64), overlap=(10, 10))
    return load_inputs(
        write(tmp_path / "gt.json", truth),
        write(tmp_path / "dt.json", [found(0, [1, 1, 9, 9])]),
        tiles=write(tmp_path / "corner.json", tiles),
    )


def entries_of(inputs, given=None):
    return scoring_protocol(inputs, SETTINGS, given).entries


def test_what_the_files_and_settings_say_is_known_and_the_rest_is_null(inputs):
    entries = entries_of(inputs)
    assert entries["ground_truth"] == inputs.gt_sha256
    assert entries["images"] == {"count": 2, "sha256": hashlib.sha256(b"[1, 2]").hexdigest()}
    assert entries["categories"] == [1, 2]
    assert entries["max_dets"] == [200, 1000]
    assert entries["iou_thresholds"] == [0.25, 0.5, 0.75]
    assert entries["size_ranges"]["tiny1"] == [1, 8]
    assert "uncertain" in entries["ignore_rule"]
    assert entries["reference_bugs"] is False
    assert {name for name, value in entries.items() if value is None} == set(MODEL_ENTRIES)


def test_the_order_of_images_is_no_part_of_the_protocol(inputs):
    turned = replace(inputs.annotations, images=inputs.annotations.images[::-1])
    entries = entries_of(replace(inputs, annotations=turned))
    assert entries["images"] == entries_of(inputs)["images"]


def test_what_the_model_says_is_taken(inputs):
    entries = entries_of(inputs, MODEL)
    assert {name: entries[name] for name in MODEL} == MODEL
    assert None not in entries.values()


def test_entries_of_a_users_own_come_last(inputs):
    entries = entries_of(inputs, {"flipped": True, "score_threshold": 0.1})
    assert list(entries)[-1] == "flipped"
    assert entries["score_threshold"] == 0.1
    assert entries["merge"] is None


def test_the_detections_are_no_part_of_the_protocol(inputs, tmp_path):
    other = load_inputs(inputs.gt_path, write(tmp_path / "other.json", []))
    assert scoring_protocol(other, SETTINGS).hash == scoring_protocol(inputs, SETTINGS).hash


def test_another_ground_truth_is_another_protocol(inputs, tmp_path):
    gt = write(tmp_path / "other.json", whole_image_file(annotations=[]))
    other = scoring_protocol(load_inputs(gt, inputs.dt_path), SETTINGS)
    (difference,) = (
        each
        for each in other.differences(scoring_protocol(inputs, SETTINGS))
        if not each.is_unknown
    )
    assert difference.name == "ground_truth"


def test_ground_truth_that_is_no_file_may_be_named(inputs):
    entries = entries_of(replace(inputs, gt_sha256=None), {"ground_truth": "abc"})
    assert entries["ground_truth"] == "abc"
    assert entries_of(replace(inputs, gt_sha256=None))["ground_truth"] is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_dets": [100]}, r"says max_dets = \[100\], but here it is \[200, 1000\]"),
        ({"ground_truth": "abc"}, r"says ground_truth = 'abc', but here it is '[0-9a-f]{64}'"),
        ({"images": {"count": 3}}, r"says images = \{'count': 3\}, but here"),
    ],
)
def test_a_contradiction_is_an_error(inputs, given, message):
    with pytest.raises(InputError, match=message):
        entries_of(inputs, given)


def test_saying_what_is_known_is_no_contradiction(inputs):
    whole = scoring_protocol(inputs, SETTINGS, MODEL)
    assert scoring_protocol(inputs, SETTINGS, whole.entries).hash == whole.hash


# ---- Tiles ----


def test_grid_and_merging_are_read_off_the_tiles(on_tiles):
    entries = entries_of(on_tiles)
    assert entries["tile_size"] == [64, 64]
    assert entries["tile_overlap"] == [10, 10]
    assert (entries["merge"], entries["merge_threshold"]) == ("class-agnostic", 0.5)
    unknown = {name for name, value in entries.items() if value is None}
    assert unknown == MODEL_ENTRIES.keys() - {"tile_size", "tile_overlap", "merge"} - {
        "merge_threshold"
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"merge": "joint"}, r"says merge = 'joint', but here it is 'class-agnostic'"),
        ({"merge_threshold": 0.6}, r"says merge_threshold = 0.6, but here it is 0.5"),
        ({"tile_size": [64, 60]}, r"says tile_size = \[64, 60\], but here it is \[64, 64\]"),
        (
            {"tile_size": [64, 64], "tile_overlap": [10, 11]},
            r"says tile_size = \[64, 64\] and tile_overlap = \[10, 11\], but .*corner.json has oth",
        ),
    ],
)
def test_a_contradiction_to_the_tiles_is_an_error(on_tiles, given, message):
    with pytest.raises(InputError, match=message):
        entries_of(on_tiles, given)


def test_a_grid_that_the_tiles_do_not_show_may_be_named(tmp_path):
    truth = whole_image_file(width=100, height=80)
    tiles = tile_annotations(truth, tile=(64, 64), overlap=(10, 10))
    files = write(tmp_path / "gt.json", truth), write(tmp_path / "dt.json", [])
    inputs = load_inputs(*files, tiles=write(tmp_path / "corner.json", tiles))
    assert entries_of(inputs)["tile_overlap"] is None
    given = {"tile_size": [64, 64], "tile_overlap": [10, 10]}
    assert entries_of(inputs, given)["tile_overlap"] == [10, 10]
    with pytest.raises(InputError, match="has other tiles"):
        entries_of(inputs, {"tile_size": [64, 64], "tile_overlap": [40, 40]})


def test_a_model_that_saw_tiles_as_images_has_its_limit_per_tile(on_tiles):
    entries = entries_of(on_tiles, WHOLE)
    assert entries["tile_size"] == [64, 64]
    assert entries["merge"] == "class-agnostic"
    assert (entries["max_per_tile"], entries["max_per_image"]) == (300, "none")
    assert None not in entries.values()
