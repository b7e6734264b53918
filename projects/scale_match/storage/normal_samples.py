"""A file of standard normal numbers, from which Gaussian Scale Match may take its quantiles."""

import io
import json
import os

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray
from scale_match.storage.files import read_bytes

__all__ = ["read_normal_sample"]

_NPY_MAGIC = b"\x93NUMPY"


def read_normal_sample(path: str | os.PathLike[str]) -> FloatArray:
    """Read numbers: a flat JSON list, numbers between white space, or an array of NumPy (.npy).

    Args:
        path: The file, packed by gzip or not; the content tells its kind.

    Returns:
        (n,) finite numbers in file order, n >= 2.

    Raises:
        InputError: The file is missing or holds something else.
    """
    data = read_bytes(path)
    try:
        values = np.asarray(_parse(data))
    except (ValueError, EOFError, TypeError) as error:
        raise InputError(
            f"{path} is not a sample of normal numbers, a JSON list, numbers between white "
            f"space, or a .npy array: {error}"
        ) from error
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iuf":
        raise InputError(
            f"{path} must hold a flat list of at least 2 numbers, got the shape {values.shape} of "
            f"{values.dtype}"
        )
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        index = int(np.argmin(np.isfinite(numbers)))
        raise InputError(f"{path}: entry {index} is {numbers[index]}, which must be finite")
    return numbers


def _parse(data: bytes) -> object:
    if data.startswith(_NPY_MAGIC):
        return np.load(io.BytesIO(data), allow_pickle=False)
    text = data.decode()
    if text.lstrip().startswith(("[", "{")):
        return json.loads(text)
    return [float(word) for word in text.split()]
