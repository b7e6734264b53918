import json

import pytest
from detectron2.data import transforms as T  # noqa: N812 - as everywhere in detectron2
from torch import nn

from engine.tiny import RUNNERS, make_data
from scale_match.core.protocol import MODEL_ENTRIES
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.engine.protocol import model_protocol
from scale_match.inference.tiled_model import TiledModel


class Dense(nn.Module):
    """A detector with the attributes of detectron2's dense ones."""

    test_topk_candidates = 2000
    test_score_thresh = 0.05
    test_nms_thresh = 0.6
    max_detections_per_image = 300


def mapper(*augmentations):
    return ScaleMatchDatasetMapper(is_train=False, augmentations=augmentations, image_format="RGB")


WHOLE = {
    "tile_size": "none",
    "tile_overlap": "none",
    "merge": "none",
    "merge_threshold": "none",
    "max_per_image": 300,
    "max_per_tile": "none",
    "candidates_per_level": 2000,
    "score_threshold": 0.05,
    "nms_threshold": 0.6,
    "test_scale": 1,
}


def test_a_model_of_whole_images_says_that_there_are_no_tiles():
    entries = model_protocol(Dense(), mapper())
    assert entries == WHOLE
    assert list(entries) == list(MODEL_ENTRIES)


def test_joint_merging_sets_the_models_own_suppression_and_limit_aside():
    model = TiledModel(Dense(), tile=(640, 512), overlap=(100, 50), nms_threshold=0.4)
    assert model_protocol(model, mapper()) == WHOLE | {
        "tile_size": [640, 512],
        "tile_overlap": [100, 50],
        "merge": "joint",
        "merge_threshold": 0.4,
        "max_per_image": 1000,
        "nms_threshold": "none",
    }


def test_a_model_without_a_limit_says_so():
    model = Dense()
    model.max_detections_per_image = -1
    assert model_protocol(model, mapper()) == WHOLE | {"max_per_image": "none"}
    per_tile = model_protocol(TiledModel(model, merge="per_tile"), mapper())
    assert per_tile["max_per_tile"] == "none"


@pytest.mark.parametrize(("limit", "per_tile"), [(None, 300), (77, 77)])
def test_merging_per_tile_keeps_them(limit, per_tile):
    model = TiledModel(Dense(), merge="per_tile", max_detections=500, max_detections_per_tile=limit)
    entries = model_protocol(model, mapper())
    assert (entries["merge"], entries["merge_threshold"]) == ("per_tile", 0.5)
    assert (entries["max_per_image"], entries["max_per_tile"]) == (500, per_tile)
    assert entries["nms_threshold"] == 0.6


def test_a_model_of_another_kind_tells_nothing_of_its_own():
    entries = model_protocol(nn.Identity())
    unknown = {name for name, value in entries.items() if value is None}
    assert unknown == {
        *("max_per_image", "candidates_per_level", "score_threshold", "nms_threshold"),
        "test_scale",
    }


def test_the_scale_of_test_images_is_that_of_their_mapper():
    resize = T.ResizeShortestEdge((800, 800), 1333, "choice")
    scale = model_protocol(Dense(), mapper(resize))["test_scale"]
    assert scale == {"min_size": [800, 800], "max_size": 1333}
    for unknown in (mapper(T.RandomFlip()), mapper(resize, T.RandomFlip()), dict, None):
        assert model_protocol(Dense(), unknown)["test_scale"] is None


@pytest.mark.parametrize("name", list(RUNNERS))
def test_both_trainers_write_scores_and_the_models_protocol(name, tmp_path):
    data = make_data(tmp_path / "data", num_images=2)
    metrics = RUNNERS[name].train(data, tmp_path / "run", max_iter=1)
    folder = tmp_path / "run" / "inference"
    entries = json.loads((folder / "protocol.json").read_text())
    assert None not in entries.values()
    assert (entries["tile_size"], entries["tile_overlap"]) == ([64, 64], [16, 16])
    assert (entries["merge"], entries["test_scale"]) == ("joint", 1)
    content = json.loads((folder / "scores.json").read_text())
    assert content["AP_maxDets1000"]["tiny_50"] == metrics["bbox"]["AP50_tiny"]
    assert {key: content["protocol"]["entries"][key] for key in entries} == entries
    assert content["inputs"]["gt"]["path"] == str(data[0])
    assert content["inputs"]["dt"]["path"] == str(folder / "coco_instances_results.json")
