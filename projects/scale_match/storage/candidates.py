"""Raw candidates in one file, with a fingerprint of what they were made from."""

import os
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.storage.files import replacing

__all__ = ["read_candidates", "write_candidates"]

_FORMAT = "scale_match.candidates 2"
_DTYPES = {
    "boxes": np.float32,
    "scores": np.float32,
    "filter_scores": np.float32,
    "classes": np.int32,
    "levels": np.int32,
    "ranks": np.int32,
    "score_threshold": np.float64,
}
# What numpy raises for a file that is no archive, is cut off, or holds something else.
_DAMAGE = (EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile)


def write_candidates(
    path: str | os.PathLike[str], table: CandidateTable, *, fingerprint: str
) -> None:
    """Write candidates to an ``.npz`` file, as a whole or not at all.

    Args:
        path: The file to make or to replace.
        table: The candidates.
        fingerprint: Of the weights, settings and images that they follow from.

    Raises:
        InputError: The file cannot be written.
    """
    arrays: dict[str, Any] = {
        field.name: np.asarray(getattr(table, field.name)) for field in fields(table)
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, format=np.array(_FORMAT), fingerprint=np.array(fingerprint), **arrays)


def read_candidates(path: str | os.PathLike[str]) -> tuple[CandidateTable, str]:
    """Read what :func:`write_candidates` wrote.

    Args:
        path: The file.

    Returns:
        The candidates and their fingerprint.

    Raises:
        InputError: The file is missing, damaged, or no file of candidates.
    """
    source = Path(path)
    try:
        with np.load(source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _DAMAGE as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"{source} cannot be read as a file of candidates: {reason}") from error
    if str(arrays.pop("format", "")) != _FORMAT:
        raise InputError(f"{source} is not a file of candidates of this version")
    fingerprint = str(arrays.pop("fingerprint", ""))
    expected = {field.name for field in fields(CandidateTable)}
    if arrays.keys() != expected:
        raise InputError(f"{source} lacks {sorted(expected - arrays.keys())}, or has more")
    return _table(arrays), fingerprint


def _table(arrays: dict[str, npt.NDArray[Any]]) -> CandidateTable:
    columns: dict[str, Any] = {
        name: array.astype(_DTYPES.get(name, np.int64), copy=False)
        for name, array in arrays.items()
    }
    return CandidateTable(
        **columns
        | {
            "limit": int(columns["limit"]),
            "score_threshold": float(columns["score_threshold"]),
        }
    )
