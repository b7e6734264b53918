"""Unpacking downloaded archives: whole or not at all, and nothing outside of the folder."""

import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from scale_match.core.errors import InputError

__all__ = ["ARCHIVE_SUFFIXES", "find_archive", "unpack_archive"]

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


def find_archive(folder: Path, name: str) -> Path | None:
    """The archive of a folder ``name`` beside its place, such as ``name.tar.gz``; None if none."""
    candidates = [folder / f"{name}{suffix}" for suffix in ARCHIVE_SUFFIXES]
    return next((path for path in candidates if path.is_file()), None)


def unpack_archive(archive: Path, folder: Path) -> None:
    """Unpack an archive so that its content becomes a folder.

    Where everything in the archive lies in one folder, that folder is the content.

    Args:
        archive: A file with one of ``ARCHIVE_SUFFIXES``.
        folder: What to make; it must not exist.

    Raises:
        InputError: The archive is missing or damaged, or a name in it leads out of the folder.
    """
    temporary = folder.with_name(f".unpacking-{folder.name}")
    try:
        if temporary.exists():
            shutil.rmtree(temporary)  # of a run that was killed
        temporary.mkdir(parents=True)
        _extract(archive, temporary)
        inside = [path for path in temporary.iterdir() if path.name != "__MACOSX"]
        content = inside[0] if len(inside) == 1 and inside[0].is_dir() else temporary
        content.rename(folder)
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot unpack {archive}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            for name in zipped.namelist():
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                    raise InputError(f"cannot unpack {archive}: {name!r} leads out of the folder")
            zipped.extractall(folder)
        return
    with tarfile.open(archive) as tarred:
        tarred.extractall(folder, filter="data")  # refuses names that lead out
