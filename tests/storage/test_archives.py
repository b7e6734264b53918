import io
import tarfile
import zipfile

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.archives import ARCHIVE_SUFFIXES, find_archive, unpack_archive


def pack(path, names):
    """An archive with files of these names, each holding its name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, name)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return path


@pytest.mark.parametrize("suffix", ARCHIVE_SUFFIXES)
@pytest.mark.parametrize("inside", ["", "train/", "other/"])
def test_the_content_becomes_the_folder_with_and_without_a_folder_inside(tmp_path, suffix, inside):
    archive = pack(tmp_path / f"train{suffix}", [f"{inside}a/1.jpg", f"{inside}2.jpg"])
    assert find_archive(tmp_path, "train") == archive
    unpack_archive(archive, tmp_path / "train")
    assert (tmp_path / "train/2.jpg").read_text() == f"{inside}2.jpg"
    assert (tmp_path / "train/a/1.jpg").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"train", archive.name}


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".unpacking-train/old").mkdir(parents=True)
    unpack_archive(pack(tmp_path / "train.zip", ["1.jpg"]), tmp_path / "train")
    assert {path.name for path in (tmp_path / "train").iterdir()} == {"1.jpg"}


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_damaged_archive_leaves_nothing(tmp_path, suffix):
    names = [f"{number}.jpg" for number in range(200)]
    archive = pack(tmp_path / f"train{suffix}", names)
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"cannot unpack .*train"):
        unpack_archive(archive, tmp_path / "train")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt"])
def test_names_that_lead_out_are_refused(tmp_path, suffix, name):
    archive = pack(tmp_path / f"train{suffix}", ["1.jpg", name])
    with pytest.raises(InputError, match=r"cannot unpack .*train"):
        unpack_archive(archive, tmp_path / "train")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_a_missing_archive_is_named(tmp_path):
    assert find_archive(tmp_path, "train") is None
    with pytest.raises(InputError, match=r"cannot unpack .*none.zip: .*No such file"):
        unpack_archive(tmp_path / "none.zip", tmp_path / "train")
