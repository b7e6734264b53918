"""Training on tiles and with ignored regions, through both front ends."""

import json
import shutil

import pytest
import torch

from engine.tiny import RUNNERS, make_data, same_weights, weights_of
from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.engine.model_checks import check_regions

KEYS = {
    "yacs": {
        "SCALE_MATCH.TRAIN_TILES.ENABLED": True,
        "SCALE_MATCH.TRAIN_TILES.SIZE": [64, 48],
        "SCALE_MATCH.TRAIN_TILES.OVERLAP": [16, 16],
        "SCALE_MATCH.TRAIN_TILES.EMPTY_SHARE": 0.1,
        "SCALE_MATCH.TRAIN_TILES.TOGETHER": 4,
        "SCALE_MATCH.IGNORE_REGIONS": "mask",
    },
    "lazy": {
        "dataloader.train.tiles.enabled": True,
        "dataloader.train.tiles.tile": [64, 48],
        "dataloader.train.tiles.overlap": [16, 16],
        "dataloader.train.tiles.empty_share": 0.1,
        "dataloader.train.tiles.together": 4,
        "dataloader.train.mapper.ignore_regions": "mask",
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path, images = make_data(tmp_path_factory.mktemp("data"), num_images=4)
    content = json.loads(path.read_text())
    for box in content["annotations"][::4]:
        box["ignore"] = True
    path.write_text(json.dumps(content))
    return path, images


@pytest.mark.parametrize("name", RUNNERS)
def test_a_resumed_run_on_tiles_ends_with_the_same_weights(data, tmp_path, name):
    runner = RUNNERS[name]
    settings = {**KEYS[name], "workers": 0}
    runner.train(data, tmp_path / "whole", period=1, **settings)
    # As after a kill between iterations 2 and 3, which lie in one block of 4.
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000002.pth", tmp_path / "parts")
    (tmp_path / "parts" / "last_checkpoint").write_text("model_0000002.pth")
    runner.train(data, tmp_path / "parts", period=1, resume=True, **{**settings, "workers": 2})

    first, second = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")

    assert same_weights(first, second)
    # 4 tiles of each of 4 images, all with a box
    assert "16 images in batches of 2" in (tmp_path / "whole" / "log.txt").read_text()


def test_a_model_that_does_not_know_regions_is_refused():
    masking = ScaleMatchDatasetMapper(
        True, augmentations=[], image_format="RGB", ignore_regions="mask"
    )
    with pytest.raises(InputError, match=r"'mask' needs a ScaleMatchRetinaNet, .* not Linear"):
        check_regions(torch.nn.Linear(1, 1), masking)
    check_regions(torch.nn.Linear(1, 1), None)
