"""Reading and writing whole files: clear errors, and never a half-written result.

A write goes to a temporary name in the same folder and is moved into place by ``os.replace``, so a
reader, or a run that is killed, sees the old file or the new one, never a part.
"""

import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from scale_match.core.errors import InputError

__all__ = [
    "file_sha256",
    "open_maybe_gzip",
    "parse_json",
    "read_bytes",
    "read_json",
    "replacing",
    "write_bytes",
    "write_json",
    "write_text",
]

_GZIP_MAGIC = b"\x1f\x8b"
_HASH_BLOCK = 1 << 20  # bytes


def open_maybe_gzip(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading bytes, unpacking gzip where its first two bytes say so.

    Args:
        path: The file; its name does not matter (``.json.gz`` is usual).

    Raises:
        InputError: There is no such file, or it cannot be opened.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise _cannot("read", path, error) from error
    packed = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file, unpacked if it is gzip.

    Raises:
        InputError: The file is missing, cannot be read, or is damaged gzip.
    """
    with open_maybe_gzip(path) as file:
        try:
            return file.read()
        except (OSError, EOFError, zlib.error) as error:
            raise _cannot("read", Path(path), error) from error


def parse_json(data: bytes, source: str) -> Any:  # noqa: ANN401 - JSON is any value
    """The value of a JSON text; ``NaN`` and ``Infinity`` are read, for the caller to judge.

    Args:
        data: The text, UTF-8 with or without a byte order mark.
        source: The file it came from, for messages.

    Raises:
        InputError: It is not JSON; the message gives line and column.
    """
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{source} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is not valid JSON: byte {error.start} is not {error.encoding} text"
        ) from error


def read_json(path: str | os.PathLike[str]) -> Any:  # noqa: ANN401 - JSON is any value
    """The value of a JSON file, packed by gzip or not.

    Raises:
        InputError: The file is missing, cannot be read, or is not JSON.
    """
    return parse_json(read_bytes(path), str(path))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file as it lies on the disk (packed bytes, if it is gzip).

    Raises:
        InputError: The file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    except OSError as error:
        raise _cannot("read", Path(path), error) from error
    return digest.hexdigest()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file name to write to, which becomes ``path`` if the block ends well.

    The name lies in the same folder, which is made where it is missing, and has the same suffix,
    from which some writers tell the format. If the block raises, the temporary file is removed and
    ``path`` stays as it was.

    Args:
        path: The file to make or to replace.

    Yields:
        The temporary path; nothing exists there yet.

    Raises:
        InputError: The folder cannot be made, or writing failed (no permission, disk full).
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot("write", path, error) from error
    try:
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105 - the one call that must not be half done
    except OSError as error:
        if error.filename not in (None, temporary, str(temporary)):
            raise  # the block failed with another file
        raise _cannot("write", path, error) from error
    finally:
        with suppress(OSError):  # what is wrong with the name has been said
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file as a whole; see :func:`replacing`.

    Raises:
        InputError: The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file (UTF-8) as a whole; see :func:`replacing`.

    Raises:
        InputError: The file cannot be written.
    """
    write_bytes(path, text.encode())


def write_json(
    path: str | os.PathLike[str],
    value: Any,  # noqa: ANN401 - JSON is any value
    *,
    indent: int | None = None,
) -> None:
    """Write a JSON file as a whole; see :func:`replacing`.

    Args:
        path: The file.
        value: Lists, dictionaries, strings, numbers, booleans, None.
        indent: Spaces per level; None writes one line.

    Raises:
        InputError: The file cannot be written.
        ValueError: A number is NaN or infinite, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def _cannot(verb: str, path: Path, error: Exception) -> InputError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return InputError(f"cannot {verb} {path}: {reason}")
