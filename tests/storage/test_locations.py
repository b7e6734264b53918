"""A data file is looked up here first, then below detectron2's data root."""

import re
from pathlib import Path

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.locations import data_root, resolve_data_path


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A current folder and a data root, both empty."""
    here, root = tmp_path / "here", tmp_path / "root"
    here.mkdir()
    root.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    return here, root


def touch(folder, name):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_file_in_the_current_folder_is_taken_as_named(places):
    here, root = places
    touch(here, "coco/a.json")
    touch(root, "coco/a.json")

    assert resolve_data_path("coco/a.json") == Path("coco/a.json")


def test_a_file_that_is_not_here_is_found_below_the_data_root(places):
    _, root = places
    touch(root, "coco/a.json")

    assert resolve_data_path("coco/a.json") == root / "coco/a.json"
    assert resolve_data_path(Path("coco")) == root / "coco"


def test_a_file_that_is_nowhere_is_refused_with_both_places(places, monkeypatch):
    here, root = places
    said = re.escape(f"cannot read coco/a.json: it is neither in {here} nor in {root} (the folder")
    with pytest.raises(InputError, match=rf"^{said} of data sets, DETECTRON2_DATASETS\)$"):
        resolve_data_path("coco/a.json")
    monkeypatch.delenv("DETECTRON2_DATASETS")
    said = re.escape(f"neither in {here} nor in {here / 'datasets'} (")
    with pytest.raises(InputError, match=rf"{said}.* DETECTRON2_DATASETS, which is not set\)$"):
        resolve_data_path("coco/a.json")


def test_a_folder_that_is_nowhere_stays_as_named(places):
    # An evaluation registers the training set too and does not need its images.
    assert resolve_data_path("coco/train2017") == Path("coco/train2017")


def test_an_absolute_path_stays(places, tmp_path):
    assert resolve_data_path(tmp_path / "no" / "file") == tmp_path / "no" / "file"


def test_the_home_folder_is_understood(places, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DETECTRON2_DATASETS", "~/sets")
    file = touch(tmp_path, "sets/x.json")

    assert resolve_data_path("x.json") == file
    assert resolve_data_path("~/sets/x.json") == file


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_data_root_it_is_datasets_here(places, monkeypatch, value):
    monkeypatch.delenv("DETECTRON2_DATASETS")
    if value is not None:
        monkeypatch.setenv("DETECTRON2_DATASETS", value)

    assert data_root() == Path("datasets")
    touch(places[0], "datasets/coco/a.json")
    assert resolve_data_path("coco/a.json") == Path("datasets/coco/a.json")
