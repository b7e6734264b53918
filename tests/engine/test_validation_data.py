import pytest

from engine.tiny import RUNNERS, make_data
from scale_match.core.errors import InputError
from scale_match.data.lazy import register_files
from scale_match.data.training_tiles import TrainingTiles
from scale_match.engine.data_sets import evaluation_dicts
from scale_match.engine.registration import register_all
from scale_match.engine.validation_data import (
    lazy_validation_loader,
    validation_dicts,
    yacs_validation_loader,
)

TEST_TILE = ((64, 64), (16, 16))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), num_images=2)


@pytest.fixture
def dicts(data):
    return evaluation_dicts(register_files(*map(str, data)))


def corners(selected):
    return [entry.get("corner") for entry in selected]


def test_images_are_cut_as_in_training(dicts):
    tiles = TrainingTiles(enabled=True, tile=(48, 64), overlap=(0, 0))
    selected = validation_dicts(dicts, tiles, test_tile=TEST_TILE, filter_empty=False)
    assert corners(selected) == [(0, 0, 48, 64), (48, 0, 96, 64)] * 2


def test_images_are_cut_as_in_inference_where_training_has_tile_files(dicts):
    selected = validation_dicts(dicts, TrainingTiles(), test_tile=TEST_TILE, filter_empty=False)
    assert corners(selected) == [(0, 0, 64, 64), (32, 0, 96, 64)] * 2


def test_images_stay_whole_without_tiles(dicts):
    assert validation_dicts(dicts, TrainingTiles(), test_tile=None, filter_empty=False) == dicts


def test_tiles_of_a_file_stay_as_they_are(dicts):
    tiles = [{**entry, "corner": (0, 0, 96, 64)} for entry in dicts]
    for enabled in (False, True):
        chosen = TrainingTiles(enabled=enabled)
        found = validation_dicts(tiles, chosen, test_tile=TEST_TILE, filter_empty=False)
        assert found == tiles


def test_images_without_a_box_are_left_out_as_in_training(dicts):
    empty = {**dicts[0], "annotations": []}
    given = [empty, dicts[1]]
    assert validation_dicts(given, TrainingTiles(), test_tile=None, filter_empty=True) == [dicts[1]]
    assert validation_dicts(given, TrainingTiles(), test_tile=None, filter_empty=False) == given
    share = TrainingTiles(empty_share=0.5)
    assert validation_dicts(given, share, test_tile=None, filter_empty=True) == given
    none = validation_dicts([empty], TrainingTiles(), test_tile=None, filter_empty=True)
    assert none == [empty]


def loader_of(name, data, folder, **changes):
    cfg = RUNNERS[name].config(data, folder, **changes)
    if name == "lazy":
        return lazy_validation_loader(cfg)
    cfg.DATASETS.TEST = (register_files(*map(str, data)),)
    return yacs_validation_loader(cfg)


@pytest.mark.parametrize("name", list(RUNNERS))
def test_both_front_ends_give_boxes_and_nothing_random(name, data, tmp_path):
    register_all()
    loader = loader_of(name, data, tmp_path, policy="sm", target=data[0])
    first, second = list(loader), list(loader)
    assert len(first) == 4
    for (one,), (two,) in zip(first, second, strict=True):
        assert one["image"].shape == (3, 64, 64)
        assert one["image"].equal(two["image"])
        assert one["instances"].gt_boxes.tensor.equal(two["instances"].gt_boxes.tensor)
        assert "scale" not in one
    assert sum(len(one["instances"]) for (one,) in first) > 0


def test_a_lazy_config_with_a_loader_of_its_own_is_refused(data, tmp_path):
    cfg = RUNNERS["lazy"].config(data, tmp_path)
    cfg.dataloader.test = {"_target_": "builtins.list"}
    with pytest.raises(InputError, match="needs a test set that is named by its files"):
        lazy_validation_loader(cfg)


def test_a_yacs_config_without_a_test_set_is_refused(data, tmp_path):
    cfg = RUNNERS["yacs"].config(data, tmp_path)
    with pytest.raises(InputError, match="needs a test set that is named by its files"):
        yacs_validation_loader(cfg)
