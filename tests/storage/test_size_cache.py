"""Caches of object sizes: found, refused, made anew."""

import logging
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from scale_match.storage import size_cache
from scale_match.storage.size_cache import FileState, ObjectSizes, load_sizes, store_sizes

SIZES = ObjectSizes(np.arange(1.0, 2000.0), np.array([3.5, 4.25]), "ab" * 32, 2100, 7)


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALE_MATCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "gt.json").write_text("{}")
    return FileState.of(folder / "gt.json")


def beside(state):
    folder, name = os.path.split(state.path)
    return os.path.join(folder, f".{name}.sizes.npz")  # noqa: PTH118 - as the state has it


def read_only(state):
    """Takes the write permission of the file's folder from everybody."""
    folder = os.path.dirname(state.path)  # noqa: PTH120
    os.chmod(folder, 0o555)  # noqa: PTH101


def check_equal(loaded):
    assert loaded.boxes.tolist() == SIZES.boxes.tolist()
    assert loaded.images.tolist() == SIZES.images.tolist()
    assert replace(loaded, boxes=SIZES.boxes, images=SIZES.images) is not None
    assert (loaded.sha256, loaded.num_annotations, loaded.num_zero) == ("ab" * 32, 2100, 7)


def test_what_is_stored_is_loaded_bit_by_bit(state):
    assert load_sizes(state) is None
    store_sizes(state, SIZES)
    check_equal(load_sizes(state))


@pytest.mark.parametrize(
    "change", [{"num_bytes": 3}, {"mtime_ns": 5}, {"path": "/somewhere/else/gt.json"}]
)
def test_another_state_has_no_cache(state, change):
    store_sizes(state, SIZES)
    assert load_sizes(replace(state, **change)) is None


def test_a_file_that_was_moved_with_its_cache_is_read_again(state, tmp_path):
    store_sizes(state, SIZES)
    moved = tmp_path / "moved"
    os.rename(os.path.dirname(state.path), moved)  # noqa: PTH104, PTH120
    assert load_sizes(FileState.of(moved / "gt.json")) is None


def damaged(content):
    yield b""
    yield b"no cache at all"
    yield content[: len(content) // 2]
    middle = bytearray(content)
    middle[len(middle) // 2] ^= 0xFF
    yield bytes(middle)


def test_a_damaged_cache_counts_as_none_and_is_replaced(state):
    store_sizes(state, SIZES)
    with open(beside(state), "rb") as file:  # noqa: PTH123
        content = file.read()
    for bad in damaged(content):
        with open(beside(state), "wb") as file:  # noqa: PTH123
            file.write(bad)
        assert load_sizes(state) is None
        store_sizes(state, SIZES)
        check_equal(load_sizes(state))


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": np.array([2.0, 1.0])},
        {"images": np.array([1.0, np.nan])},
        {"boxes": np.array([1, 2])},
        {"boxes": np.array([[1.0, 2.0]])},
    ],
)
def test_sizes_that_are_not_ascending_numbers_are_not_used(state, change):
    store_sizes(state, replace(SIZES, **change))
    assert load_sizes(state) is None


def test_a_cache_of_another_version_is_not_used(state, monkeypatch):
    monkeypatch.setattr(size_cache, "_VERSION", 0)
    store_sizes(state, SIZES)
    monkeypatch.setattr(size_cache, "_VERSION", 1)
    assert load_sizes(state) is None


def test_objects_of_python_are_never_loaded(state):
    with zipfile.ZipFile(beside(state), "w") as archive:
        archive.writestr("facts.npy", b"\x93NUMPY")
    assert load_sizes(state) is None


def test_a_folder_that_nobody_may_write_to_is_left_alone(state, tmp_path):
    read_only(state)
    try:
        store_sizes(state, SIZES)
        assert [path.name for path in (tmp_path / "data").iterdir()] == ["gt.json"]
        (entry,) = (tmp_path / "cache").iterdir()
        assert entry.name.endswith(".sizes.npz")
        check_equal(load_sizes(state))
    finally:
        os.chmod(tmp_path / "data", 0o755)  # noqa: PTH101


def test_files_of_one_name_do_not_share_an_entry_of_the_cache_folder(state, tmp_path):
    other = replace(state, path=str(tmp_path / "other" / "gt.json"))
    (tmp_path / "other").mkdir()
    os.chmod(tmp_path / "other", 0o555)  # noqa: PTH101
    read_only(state)
    try:
        store_sizes(state, SIZES)
        store_sizes(other, replace(SIZES, num_zero=99))
        assert len(list((tmp_path / "cache").iterdir())) == 2
        assert (load_sizes(state).num_zero, load_sizes(other).num_zero) == (7, 99)
    finally:
        for name in ("data", "other"):
            os.chmod(tmp_path / name, 0o755)  # noqa: PTH101


def test_without_any_place_the_log_says_so(state, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCALE_MATCH_CACHE", str(tmp_path / "file" / "cache"))
    read_only(state)
    try:
        with caplog.at_level(logging.WARNING):
            store_sizes(state, SIZES)
        (record,) = caplog.records
        assert "gt.json cannot be kept" in record.getMessage()
        assert "SCALE_MATCH_CACHE" in record.getMessage()
        assert load_sizes(state) is None
    finally:
        os.chmod(tmp_path / "data", 0o755)  # noqa: PTH101


def test_the_cache_folder_is_below_the_home_by_default(state, tmp_path, monkeypatch):
    monkeypatch.delenv("SCALE_MATCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert size_cache._cache_folder() == tmp_path / "xdg" / "scale_match"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert size_cache._cache_folder() == tmp_path / ".cache" / "scale_match"


def test_only_a_regular_file_has_a_state(tmp_path):
    assert FileState.of(tmp_path) is None
    assert FileState.of(tmp_path / "none") is None
    assert FileState.of("/dev/null") is None
    (tmp_path / "a").write_text("abc")
    (tmp_path / "link").symlink_to("a")
    assert FileState.of(tmp_path / "link") == FileState.of(tmp_path / "a")
    assert FileState.of(tmp_path / "a").num_bytes == 3
