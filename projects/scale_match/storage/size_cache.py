"""Object sizes of large annotation files, kept so that a file is parsed once and not in each run.

A cache is a file of its own beside the annotation file (``.NAME.sizes.npz``), or in a cache folder
where that folder is not to be written to. It is used as long as path, size and modification time of
the annotation file are the same. One that is damaged or out of date is as good as none: it is made
anew, never an error.
"""

import hashlib
import io
import json
import logging
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.storage.files import write_bytes

__all__ = ["CACHE_VARIABLE", "FileState", "ObjectSizes", "load_sizes", "store_sizes"]

CACHE_VARIABLE = "SCALE_MATCH_CACHE"
# Another number for another content; older caches are then made anew.
_VERSION = 1
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, TypeError)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ObjectSizes:
    """The object sizes of an annotation file, by the rules of README 1.1.

    Attributes:
        boxes: sqrt(w * h) in pixels of the boxes that count, > 0, ascending, (N,).
        images: Geometric mean of these for each image that has any, ascending, (M,).
        sha256: Hexadecimal hash of the file as it lies on the disk.
        num_annotations: Boxes in the file, those that do not count included.
        num_zero: Boxes that do not count only because they have zero width or height.
    """

    boxes: FloatArray
    images: FloatArray
    sha256: str
    num_annotations: int
    num_zero: int


@dataclass(frozen=True)
class FileState:
    """What tells one version of a file from another.

    Attributes:
        path: Absolute, links resolved.
        num_bytes: Its size.
        mtime_ns: Time of its last modification, in nanoseconds.
    """

    path: str
    num_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "FileState | None":
        """The state of a regular file; None for what is absent, unreadable, a folder or a pipe."""
        try:
            resolved = Path(path).resolve()
            status = resolved.stat()
        except OSError:
            return None
        if not resolved.is_file():
            return None
        return cls(str(resolved), status.st_size, status.st_mtime_ns)


def load_sizes(state: FileState) -> ObjectSizes | None:
    """The cached sizes of a file in this state; None where there are none that can be used."""
    for place in _places(state):
        try:
            sizes = _read(place, state)
        except FileNotFoundError:
            continue
        except _DAMAGE as error:
            _logger.info("the cache %s is damaged and will be made anew: %s", place, error)
            continue
        if sizes is not None:
            return sizes
    return None


def store_sizes(state: FileState, sizes: ObjectSizes) -> None:
    """Keep the sizes of a file; without a place to write to nothing is kept, and the log says so.

    Args:
        state: Of the file before it was read.
        sizes: What was read.
    """
    facts = {
        **asdict(state),
        "version": _VERSION,
        "sha256": sizes.sha256,
        "num_annotations": sizes.num_annotations,
        "num_zero": sizes.num_zero,
    }
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.array(json.dumps(facts)), boxes=sizes.boxes, images=sizes.images)
    for place in _places(state):
        if not _is_writable(place.parent):
            continue
        try:
            write_bytes(place, buffer.getvalue())
        except InputError as error:
            _logger.info("%s", error)
            continue
        return
    _logger.warning(
        "the object sizes of %s cannot be kept, so the next run reads the file again: neither its "
        "folder nor the cache folder %s can be written to (%s names another)",
        state.path,
        _cache_folder(),
        CACHE_VARIABLE,
    )


def _places(state: FileState) -> Iterator[Path]:
    """Where the cache of a file may be, the first choice first."""
    path = Path(state.path)
    yield path.with_name(f".{path.name}.sizes.npz")
    yield _cache_folder() / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sizes.npz"


def _cache_folder() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "scale_match"


def _is_writable(folder: Path) -> bool:
    """Whether a folder is to be written to; one that nobody may write to is not, not even by root.

    A folder that is not there yet can be made.
    """
    try:
        return bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _read(place: Path, state: FileState) -> ObjectSizes | None:
    """The content of a cache, None if it is of another file or state.

    Raises:
        OSError: It is not there or cannot be read; others of ``_DAMAGE`` for what is damaged.
    """
    with np.load(place, allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        if facts["version"] != _VERSION or any(
            facts[name] != value for name, value in asdict(state).items()
        ):
            return None
        sizes = ObjectSizes(
            boxes=arrays["boxes"],
            images=arrays["images"],
            sha256=str(facts["sha256"]),
            num_annotations=int(facts["num_annotations"]),
            num_zero=int(facts["num_zero"]),
        )
    for values in (sizes.boxes, sizes.images):
        if values.dtype != np.float64 or values.ndim != 1 or not (values[1:] >= values[:-1]).all():
            raise ValueError("its sizes are not ascending numbers")
    return sizes
