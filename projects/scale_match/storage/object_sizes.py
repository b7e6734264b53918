"""The object sizes of an annotation file, read once: what Scale Match needs of it, cached.

A COCO-size file takes seconds and most of a gigabyte to read, its sizes 8 MB and milliseconds
(``size_cache``). Only the fields that count are decoded here; a file in which anything is wrong is
read once more by ``annotations``, which says what.
"""

import functools
import gzip
import hashlib
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from scale_match.core.boxes import GREATEST_COORDINATE, box_sizes
from scale_match.core.counted_sizes import image_sizes
from scale_match.core.errors import InputError
from scale_match.core.records import BoolArray, FloatArray, IntArray
from scale_match.storage.annotations import read_annotations
from scale_match.storage.size_cache import FileState, ObjectSizes, load_sizes, store_sizes

__all__ = ["ObjectSizes", "read_object_sizes"]

# A smaller file is read about as fast as its cache, and gets none.
MIN_CACHED_BYTES = 4 << 20
_BLOCK = 4 << 20
_GZIP_MAGIC = b"\x1f\x8b"

_logger = logging.getLogger(__name__)

Progress = Callable[[Iterable[int]], Iterable[int]]

_Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Flag = bool | Annotated[int, Meta(ge=0, le=1)]


class _Entry(msgspec.Struct, gc=False):
    id: _Id


class _Box(msgspec.Struct, gc=False):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: tuple[float, float, float, float]
    iscrowd: _Flag = False
    ignore: _Flag = False


class _File(msgspec.Struct):
    images: list[_Entry]
    annotations: list[_Box]
    categories: list[_Entry]


def read_object_sizes(path: str | os.PathLike[str], *, progress: Progress = iter) -> ObjectSizes:
    """The sizes of the boxes of an annotation file that count, and of its images.

    Of a file of 4 MiB or more they are kept beside it, or, in a folder that is not to be written
    to, in a cache folder, for as long as its path, size and modification time stay the same.

    Args:
        path: COCO-format file, packed by gzip or not.
        progress: Wraps the loop over the blocks of a file that is read; not used with a cache.

    Raises:
        InputError: The file is missing, breaks a rule, or no box counts.
    """
    state = FileState.of(path)
    caching = state is not None and state.num_bytes >= MIN_CACHED_BYTES
    sizes = load_sizes(state) if state is not None and caching else None
    if sizes is None:
        sizes = _read(path, progress)
        # Not if the file was replaced meanwhile: nobody knows which of the two was read.
        if state is not None and caching and FileState.of(path) == state:
            store_sizes(state, sizes)
    _report(path, sizes)
    return sizes


def _report(path: str | os.PathLike[str], sizes: ObjectSizes) -> None:
    if sizes.num_zero:
        _warn_once(
            f"{path}: {sizes.num_zero} of {len(sizes.boxes) + sizes.num_zero} boxes have zero "
            "width or height and do not count for the size histogram"
        )
    if len(sizes.boxes) == 0:
        raise InputError(
            f"{path} has no box that counts for a size histogram: of {sizes.num_annotations} boxes "
            "all are crowd, ignored, or of zero width or height"
        )


@functools.cache
def _warn_once(message: str) -> None:
    _logger.warning("%s", message)


def _read(path: str | os.PathLike[str], progress: Progress) -> ObjectSizes:
    data, digest = _content(path, progress)
    columns = _columns(data)
    del data  # half a gigabyte
    if columns is None:
        # Raises, with the entry to blame; or the file has only what Python's JSON has besides.
        table = read_annotations(path).table
        columns = table.image_ids, table.boxes, table.iscrowd | table.ignore
    image_ids, boxes, left_out = columns
    sizes = box_sizes(boxes[~left_out])
    ids = image_ids[~left_out]
    return ObjectSizes(
        boxes=np.sort(sizes[sizes > 0.0]),
        images=np.sort(image_sizes(sizes, ids)),
        sha256=digest,
        num_annotations=len(boxes),
        num_zero=int(np.count_nonzero(sizes <= 0.0)),
    )


def _content(path: str | os.PathLike[str], progress: Progress) -> tuple[bytes | bytearray, str]:
    """The text of a file, unpacked, and the hash of the file as it is, in one pass."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            data = bytearray(os.fstat(file.fileno()).st_size)
            view = memoryview(data)
            for start in progress(range(0, len(data), _BLOCK)):
                block = view[start : start + _BLOCK]
                if file.readinto(block) < len(block):
                    raise InputError(f"cannot read {path}: it became shorter meanwhile")
                digest.update(block)
            rest = file.read()  # all of it, where the path is a pipe
        del view
        data += rest
        digest.update(rest)
        if data.startswith(_GZIP_MAGIC):
            return gzip.decompress(data), digest.hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"cannot read {path}: {reason}") from error
    return data, digest.hexdigest()


def _columns(data: bytes | bytearray) -> tuple[IntArray, FloatArray, BoolArray] | None:
    """Image ids (N,), boxes (N, 4), and which boxes are left out (N,); None if a rule is broken."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except msgspec.MsgspecError:
        return None
    entries = file.annotations
    numbers = chain.from_iterable(map(attrgetter("bbox"), entries))
    boxes = np.fromiter(numbers, np.float64, 4 * len(entries)).reshape(-1, 4)
    image_ids = _column(entries, "image_id", np.int64)
    known = _column(file.images, "id", np.int64), _column(file.categories, "id", np.int64)
    rules = (
        len(file.images) > 0,
        (np.abs(boxes) <= GREATEST_COORDINATE).all() and (boxes[:, 2:] >= 0.0).all(),
        _all_different(_column(entries, "id", np.int64)) and all(map(_all_different, known)),
        np.isin(image_ids, known[0]).all(),
        np.isin(_column(entries, "category_id", np.int64), known[1]).all(),
    )
    if not all(rules):
        return None
    left_out = _column(entries, "iscrowd", np.bool_) | _column(entries, "ignore", np.bool_)
    return image_ids, boxes, left_out


def _column(entries: Sequence[_Entry | _Box], name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.fromiter(map(attrgetter(name), entries), dtype, len(entries))


def _all_different(ids: IntArray) -> bool:
    ordered = np.sort(ids)
    return bool((ordered[1:] != ordered[:-1]).all())
