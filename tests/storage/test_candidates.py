"""Candidates survive the disk to the last bit, and a broken file is said to be one."""

from dataclasses import fields, replace

import numpy as np
import pytest

from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.storage.candidates import read_candidates, write_candidates


def some_table(counts=(2, 0, 3)):
    generator = np.random.default_rng(0)
    total = sum(counts)
    return CandidateTable(
        image_ids=np.array([9, 4]),
        seen_sizes=np.array([[100, 50], [60, 40]]),
        sizes=np.array([[200, 100], [60, 40]]),
        tile_images=np.array([0, 0, 1]),
        tiles=np.array([[0, 0, 60, 50], [40, 0, 100, 50], [0, 0, 60, 40]]),
        starts=np.array([0, *np.cumsum(counts)]),
        boxes=generator.normal(size=(total, 4)).astype(np.float32),
        scores=generator.random(total).astype(np.float32),
        filter_scores=generator.random(total).astype(np.float32),
        classes=np.arange(total, dtype=np.int32),
        levels=np.arange(total, dtype=np.int32) // 2,
        ranks=np.arange(total, dtype=np.int32) % 2,
        limit=7,
        score_threshold=0.05,
    )


def same(first, second):
    return all(
        np.array_equal(getattr(first, each.name), getattr(second, each.name))
        and np.asarray(getattr(first, each.name)).dtype
        == np.asarray(getattr(second, each.name)).dtype
        for each in fields(CandidateTable)
    )


@pytest.mark.parametrize("counts", [(2, 0, 3), (0, 0, 0)])
def test_what_is_written_is_read(tmp_path, counts):
    table = some_table(counts)
    path = tmp_path / "new" / "candidates.npz"

    write_candidates(path, table, fingerprint="abc")
    found, fingerprint = read_candidates(path)

    assert fingerprint == "abc"
    assert same(found, table)
    assert (type(found.limit), type(found.score_threshold)) == (int, float)
    assert [each.name for each in path.parent.iterdir()] == ["candidates.npz"]


def test_a_second_write_replaces_the_first(tmp_path):
    path = tmp_path / "candidates.npz"
    write_candidates(path, some_table(), fingerprint="abc")
    write_candidates(path, replace(some_table(), limit=8), fingerprint="def")
    found, fingerprint = read_candidates(path)
    assert (found.limit, fingerprint) == (8, "def")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.npz cannot be read as a file of candidates: No su"):
        read_candidates(tmp_path / "none.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "candidates.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"candidates.npz cannot be read as a file of candidates"):
        read_candidates(path)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "candidates.npz"
    write_candidates(path, some_table(), fingerprint="abc")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be read as a file of candidates"):
        read_candidates(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "candidates.npz"
    np.savez(path, boxes=np.zeros(3))
    with pytest.raises(InputError, match="is not a file of candidates of this version"):
        read_candidates(path)


def test_an_array_is_no_archive(tmp_path):
    path = tmp_path / "candidates.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="cannot be read as a file of candidates"):
        read_candidates(path)


def test_an_archive_without_a_column_is_refused(tmp_path):
    path = tmp_path / "candidates.npz"
    write_candidates(path, some_table(), fingerprint="abc")
    with np.load(path) as archive:
        columns = {name: archive[name] for name in archive.files if name != "ranks"}
    np.savez(path, **columns)
    with pytest.raises(InputError, match=r"candidates.npz lacks \['ranks'\]"):
        read_candidates(path)
