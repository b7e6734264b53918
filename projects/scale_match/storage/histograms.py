"""Size histograms: saved in a few KB of JSON, or counted from an annotation file.

A saved histogram lets one pretrain for a target whose images and annotations are elsewhere.
"""

import os
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.histogram_settings import HistogramSettings
from scale_match.core.records import FloatArray
from scale_match.storage.files import read_bytes, write_json
from scale_match.storage.object_sizes import read_object_sizes

__all__ = [
    "load_histogram",
    "read_counted_sizes",
    "read_target_histogram",
    "save_histogram",
    "saved_settings",
]

_FORMAT = "scale_match.size_histogram"
_VERSION = 1
# A saved histogram of 10,000 bins has 0.3 MB; what is larger is not searched for one.
_MAX_SAVED_BYTES = 1 << 20


class _Saved(msgspec.Struct):
    """The fields of a saved histogram; ``bins`` and ``num_boxes`` are there for the reader."""

    version: Literal[1]
    counts: list[int]
    edges: list[float]
    num_boxes: int
    bins: int
    log: bool
    except_rate: float
    source: str
    source_sha256: str
    mu_sigma: tuple[float, float] | None = None


class _Probe(msgspec.Struct):
    format: str = ""


def save_histogram(
    path: str | os.PathLike[str],
    histogram: SizeHistogram,
    *,
    log: bool,
    except_rate: float | None,
    source: str,
    source_sha256: str,
    mu_sigma: tuple[float, float] | None = None,
) -> None:
    """Write a histogram with the settings and the file that it was counted from.

    Args:
        path: The JSON file to write.
        histogram: What ``SizeHistogram.from_sizes`` made with the settings below.
        log: Its ``log``.
        except_rate: Its ``except_rate``; None, the default there, is saved as 2 / bins.
        source: Name of the annotation file.
        source_sha256: Its hash (``scale_match.storage.files.file_sha256``).
        mu_sigma: Mean and deviation that the sizes were moved to; None if they were not.

    Raises:
        InputError: The file cannot be written.
    """
    bins = len(histogram.counts)
    fields = {
        "format": _FORMAT,
        "version": _VERSION,
        "counts": histogram.counts.tolist(),
        "edges": histogram.edges.tolist(),
        "num_boxes": histogram.num_boxes,
        "bins": bins,
        "log": log,
        "except_rate": HistogramSettings(bins=bins, except_rate=except_rate).rate,
        "mu_sigma": None if mu_sigma is None else list(mu_sigma),
        "source": Path(source).name,
        "source_sha256": source_sha256,
    }
    write_json(path, fields)


def load_histogram(path: str | os.PathLike[str]) -> SizeHistogram:
    """Read a histogram that :func:`save_histogram` wrote, with its own settings.

    Raises:
        InputError: The file is missing or not a saved histogram, or a field breaks its rule.
    """
    source = str(path)
    data = read_bytes(path)
    if not _is_saved(data):
        raise InputError(f"{source} is not a saved histogram: its 'format' is not {_FORMAT!r}")
    return _histogram(_saved(data, source), source)


def saved_settings(path: str | os.PathLike[str]) -> HistogramSettings | None:
    """The settings of a saved histogram; None for any other file, an annotation file above all.

    Raises:
        InputError: The file is missing, or a saved histogram of which a part is wrong.
    """
    data = read_bytes(path) if _is_small(path) else b""
    if not _is_saved(data):
        return None
    saved = _saved(data, str(path))
    _histogram(saved, str(path))
    return HistogramSettings(saved.bins, saved.log, saved.except_rate, saved.mu_sigma)


def read_target_histogram(
    path: str | os.PathLike[str],
    *,
    bins: int = 100,
    log: bool = False,
    except_rate: float | None = None,
    mu_sigma: tuple[float, float] | None = None,
) -> SizeHistogram:
    """The histogram of a target: a saved one, or counted from a COCO-format file.

    Args:
        path: A saved histogram or an annotation file, told apart by the key ``format``.
        bins: Number of bins.
        log: Whether inner bins have equal widths in ln(size).
        except_rate: Share of the boxes in head and tail; None means 2 / bins.
        mu_sigma: Mean and deviation in pixels that the sizes are moved to first; None does not.

    Returns:
        The histogram with these settings.

    Raises:
        InputError: The file is neither or breaks a rule, has no box that counts, or is a histogram
            saved with other settings.
    """
    source = str(path)
    data = read_bytes(path) if _is_small(path) else b""
    settings = HistogramSettings(bins, log, except_rate, mu_sigma)
    if not _is_saved(data):
        sizes = read_counted_sizes(path)
        try:
            return settings.histogram(sizes)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
    saved = _saved(data, source)
    wanted = {"bins": bins, "log": log, "except_rate": settings.rate, "mu_sigma": settings.mu_sigma}
    for name, value in wanted.items():
        if getattr(saved, name) != value:
            raise InputError(
                f"{source} was saved with {name} {getattr(saved, name)}, but {name} {value} is "
                "asked for: ask for the same, or make the histogram anew"
            )
    return _histogram(saved, source)


def read_counted_sizes(path: str | os.PathLike[str]) -> FloatArray:
    """Sizes of the boxes of an annotation file that count; says how many have zero size.

    Those of a large file are read once and then from a cache; see ``object_sizes``.

    Returns:
        (N,) in pixels, ascending, N >= 1, by the rules of
        :func:`scale_match.core.counted_sizes.counted_sizes`.

    Raises:
        InputError: The file breaks a rule, or no box counts.
    """
    return read_object_sizes(path).boxes


def _is_small(path: str | os.PathLike[str]) -> bool:
    try:
        return Path(path).stat().st_size <= _MAX_SAVED_BYTES
    except OSError:
        return True  # reading it will say what is wrong


def _is_saved(data: bytes) -> bool:
    try:
        return msgspec.json.decode(data, type=_Probe).format == _FORMAT
    except msgspec.MsgspecError:
        return False


def _saved(data: bytes, source: str) -> _Saved:
    try:
        return msgspec.json.decode(data, type=_Saved)
    except msgspec.ValidationError as error:
        raise InputError(f"{source} is not a whole saved histogram: {error}") from error


def _histogram(saved: _Saved, source: str) -> SizeHistogram:
    try:
        histogram = SizeHistogram(np.array(saved.counts), np.array(saved.edges))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    if (saved.bins, saved.num_boxes) != (len(saved.counts), histogram.num_boxes):
        raise InputError(
            f"{source}: bins {saved.bins} and num_boxes {saved.num_boxes} must agree with the "
            f"counts, which are {len(saved.counts)} and sum up to {histogram.num_boxes}"
        )
    return histogram
