"""The hash of a file's content, by which scores say what they were computed from."""

import hashlib
import os
import zlib

from scale_match.core.errors import InputError
from scale_match.storage.files import open_maybe_gzip

__all__ = ["content_sha256"]

_BLOCK = 1 << 20  # bytes


def content_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's content, unpacked if it is gzip.

    So a file and its ``.gz`` have one hash, unlike with ``storage.files.file_sha256``.

    Raises:
        InputError: The file is missing, cannot be read, or is damaged gzip.
    """
    digest = hashlib.sha256()
    with open_maybe_gzip(path) as file:
        try:
            while block := file.read(_BLOCK):
                digest.update(block)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"cannot read {path}: {error}") from error
    return digest.hexdigest()
