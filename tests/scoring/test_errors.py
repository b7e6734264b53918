import json

import numpy as np
import pytest

from error_samples import crowded_and_removed, scene, tables
from scale_match.core.average_precision import SIZE_RANGES
from scale_match.core.error_types import ERROR_TYPES
from scale_match.core.seams import SEAM_BANDS
from scale_match.scoring.errors import error_block, error_split, explanation_text, ladder_block
from scale_match.scoring.inputs import load_inputs, table_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.scoring.standards import Standard

A, B = [0, 0, 10, 10], [170, 0, 10, 10]
GRID = {"tile_size": [200, 200], "tile_overlap": [20, 20], "test_scale": 1}


def scored(truths, results, protocol=None, **options):
    options = ScoringOptions(**{"miss_rate": False} | options)
    return score(table_inputs(*tables(*scene(truths, results))), options, protocol)


def left_out(block):
    return {entry["row"]: entry["reason"] for entry in block["left_out"]}


@pytest.fixture
def on_tiles(shared):
    """The merging oracle, scored."""
    folder = shared("oracle/merge")
    inputs = load_inputs(
        folder / "gt.json", folder / "dt_tiles.json", tiles=folder / "corner_gt.json"
    )
    return score(inputs, ScoringOptions(miss_rate=False))


# ---- The block of errors ----


def test_an_entry_of_a_size_range():
    # One of two found, behind a background error: AP 51 levels at 1/2.
    scores = scored([(1, A), (1, B)], [(1, [300, 300, 10, 10], 0.9), (1, A, 0.8)])
    entry = error_block(scores)["size_ranges"]["tiny"]
    types = entry.pop("types")
    actual = 51 / 101 / 2
    assert entry == {
        "AP": pytest.approx(actual), "gap": pytest.approx(1 - actual),
        "npos": 2, "found": 1, "explained": 0, "missed": 1, "fp": 1, "ignored": 0,
    }  # fmt: skip
    assert types["background"] == {
        "count": 1,
        "AP_if_fixed": pytest.approx(51 / 101),
        "delta": pytest.approx(51 / 101 - actual),
        # Background first 51 / 202; after missed 1 - 1/2.
        "share": pytest.approx((51 / 202 + 1 / 2) / 2),
    }
    assert types["missed"]["count"] == 1
    assert types["missed"]["AP_if_fixed"] == pytest.approx(0.5)
    assert [kind for kind in types if types[kind]["count"]] == ["background", "missed"]
    assert tuple(types) == ERROR_TYPES


def test_size_ranges_without_objects_have_nothing_to_measure():
    entry = error_block(scored([(1, A)], []))["size_ranges"]["small"]
    assert entry["AP"] == entry["gap"] == -1.0
    assert entry["types"]["missed"] == {
        "count": 0, "AP_if_fixed": -1.0, "delta": -1.0, "share": -1.0,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_numbers_agree_with_the_scores_and_sum(seed):
    ground_truth, results, _ = crowded_and_removed(seed, share=0)
    results = [entry for entry in results if entry["category_id"] != 9]
    scores = score(
        table_inputs(*tables(ground_truth, results)), ScoringOptions(max_dets=(5, 1000)), GRID
    )
    block = error_block(scores)
    assert block["max_dets"] == 1000
    counts, values = scores.ap.counts(1000), scores.ap.average_precision(1000)
    for label, entry in block["size_ranges"].items():
        types = entry["types"]
        count = counts[f"{label}_50"]
        assert entry["AP"] == values[f"{label}_50"]
        assert {key: entry[key] for key in ("npos", "fp", "ignored")} == {
            key: count[key] for key in ("npos", "fp", "ignored")
        }
        assert entry["found"] == count["tp"]
        assert entry["found"] + entry["explained"] + entry["missed"] == entry["npos"]
        assert sum(types[kind]["count"] for kind in ERROR_TYPES[:-1]) == entry["fp"]
        if entry["AP"] >= 0:
            total = sum(types[kind]["share"] for kind in ERROR_TYPES)
            assert total == pytest.approx(entry["gap"], abs=1e-13)
        bands = block["seams"]["size_ranges"][label]
        for key in ("npos", "found", "explained", "missed"):
            assert sum(band[key] for band in bands) == entry[key]
        for kind in ERROR_TYPES[:-1]:
            assert sum(band["types"][kind] for band in bands) == types[kind]["count"]


def test_blocks_are_json(on_tiles):
    for block in (error_block(on_tiles), ladder_block(on_tiles)):
        assert json.loads(json.dumps(block, allow_nan=False)) == block


def test_where_iou_50_was_not_asked_for_it_is_made_up_for():
    truths, results = [(1, A), (1, B)], [(1, A, 0.9)]
    without, ordinary = (
        scored(truths, results, iou_thresholds=ious) for ious in ((0.75,), (0.5, 0.75))
    )
    assert error_block(without) == error_block(ordinary)
    assert ladder_block(without) == ladder_block(ordinary)


def test_what_is_made_up_for_has_the_same_bugs():
    ground_truth, results = scene([(1, A)], [(1, A, 0.9)])
    ground_truth["annotations"][0]["id"] = 0
    inputs = table_inputs(*tables(ground_truth, results))
    for ious in ((0.75,), (0.5,)):
        options = ScoringOptions(miss_rate=False, iou_thresholds=ious, reference_bugs=True)
        assert error_block(score(inputs, options))["size_ranges"]["tiny"]["AP"] == 0.0


def test_a_split_that_is_known_already_is_used():
    scores, other = scored([(1, A)], []), scored([(1, A)], [(1, A, 0.9)])
    assert error_block(scores, error_split(other)) == error_block(other)


# ---- Seams ----


def bands_of(block, label="tiny"):
    """Band -> (objects, found, false positives), without empty ones."""
    return {
        entry["band"]: numbers
        for entry in block["seams"]["size_ranges"][label]
        if any(numbers := (entry["npos"], entry["found"], sum(entry["types"].values())))
    }


def test_seams_of_a_protocol():
    # Tiles of 200 x 200 at 0, 180, 200: seams at 180, 200 and 380. B ends at 180.
    scores = scored([(1, A), (1, B)], [(1, B, 0.9), (1, [100, 5, 20, 20], 0.8)], GRID)
    block = error_block(scores)
    assert block["seams"]["source"] == "protocol"
    assert left_out(block) == {}
    assert [entry["band"] for entry in block["seams"]["size_ranges"]["tiny"]] == [*SEAM_BANDS]
    assert bands_of(block) == {"0-8": (1, 1, 0), "32-64": (0, 0, 1), "64+": (1, 0, 0)}


def test_seams_of_a_test_at_double_size():
    # 800 x 800 in tiles of 200: a seam at 180 / 2 = 90 in pixels of the file, 80 from A.
    scores = scored([(1, A)], [], GRID | {"test_scale": 2.0})
    assert bands_of(error_block(scores)) == {"64+": (1, 0, 0)}
    scores = scored([(1, [60, 60, 10, 10])], [], GRID | {"test_scale": 2})
    assert bands_of(error_block(scores)) == {"16-32": (1, 0, 0)}


def test_images_of_one_tile_have_no_seam():
    scores = scored([(1, A)], [], GRID | {"tile_size": [640, 512]})
    assert bands_of(error_block(scores)) == {"no seam": (1, 0, 0)}


def test_seams_of_a_tile_file(on_tiles):
    block = error_block(on_tiles)
    assert block["seams"]["source"] == "tiles"
    # The same grid from a protocol; the oracle has overlaps of 50.
    inputs = table_inputs(on_tiles.inputs.annotations, on_tiles.inputs.detections)
    grid = {"tile_size": [640, 512], "tile_overlap": [50, 50], "test_scale": 1}
    again = error_block(score(inputs, on_tiles.options, grid))
    assert again["seams"]["size_ranges"] == block["seams"]["size_ranges"]
    assert again["size_ranges"] == block["size_ranges"]


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        (None, "needs the tile file"),
        (GRID | {"tile_overlap": None}, "needs the tile file"),
        (GRID | {"tile_size": 640}, "needs the tile file"),
        (GRID | {"tile_size": [640.5, 512]}, "needs the tile file"),
        (GRID | {"tile_size": "none", "tile_overlap": "none"}, "was not on tiles"),
        (GRID | {"test_scale": None}, "says test_scale as a number.*received None"),
        (GRID | {"test_scale": "short side 800"}, "received 'short side 800'"),
        (GRID | {"test_scale": True}, "received True"),
        (GRID | {"test_scale": 0}, "received 0"),
    ],
)
def test_without_a_tile_grid_seams_are_left_out_with_the_reason(protocol, reason):
    block = error_block(scored([(1, A)], [], protocol))
    assert "seams" not in block
    assert list(left_out(block)) == ["seams"]
    with pytest.raises(ValueError, match=reason):
        raise ValueError(left_out(block)["seams"])


# ---- The ladder ----


def test_the_ladder_without_tiles_leaves_merging_out():
    block = ladder_block(scored([(1, A), (2, B)], [(1, B, 0.9), (1, [0, 5, 10, 10], 0.8)]))
    assert (block["size_range"], block["max_dets"], block["AP"]) == ("tiny", 1000, 0.0)
    nearly = pytest.approx
    assert block["rungs"] == [
        {"rung": "limit", "alone": 0.0, "cumulative": 0.0},
        {"rung": "localisation", "alone": nearly(0.25), "cumulative": nearly(0.25)},
        {"rung": "classification", "alone": nearly(0.5), "cumulative": nearly(1.0)},
    ]
    assert list(left_out(block)) == ["merging"]
    assert "needs the detections on tiles" in left_out(block)["merging"]


def test_the_ladder_with_tiles_has_every_rung(on_tiles):
    block = ladder_block(on_tiles)
    assert [entry["rung"] for entry in block["rungs"]] == [
        "merging", "limit", "localisation", "classification",
    ]  # fmt: skip
    assert block["left_out"] == []
    cumulative = [block["AP"], *(entry["cumulative"] for entry in block["rungs"])]
    assert (np.diff(cumulative) >= 0).all()
    assert block["rungs"][0]["alone"] > block["AP"]


def test_a_standard_without_tiny_gets_the_ladder_of_its_first_range():
    standard = Standard("mine", {"dots": (1.0, 15.0), "rest": (15.0, 1e5)}, {"all": (-1.0, 1e10)})
    block = ladder_block(scored([(1, A)], [(1, A, 0.9)], standard=standard))
    assert block["size_range"] == "dots"
    assert block["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("own", "note"),
    [
        (None, "is not known"),
        (2, "1 of 1 images have the 2 detections"),
        (3, None),
        ("none", None),
    ],
)
def test_the_ladder_says_when_the_model_has_cut_detections_itself(own, note):
    scores = scored([(1, A)], [(1, A, 0.9), (1, B, 0.8)], {"max_per_image": own})
    notes = ladder_block(scores)["notes"]
    assert len(notes) == (note is not None)
    assert all(note in each for each in notes)


# ---- Degenerate input ----


@pytest.mark.parametrize(("truths", "results"), [([], []), ([(1, A)], []), ([], [(1, A, 0.9)])])
def test_nothing_found_or_nothing_to_find_is_no_error(truths, results):
    scores = scored(truths, results, GRID)
    errors, ladder = error_block(scores), ladder_block(scores)
    assert set(errors["size_ranges"]) == set(SIZE_RANGES)
    assert ladder["AP"] == (0.0 if truths else -1.0)
    assert "tiny" in explanation_text(errors, ladder)
