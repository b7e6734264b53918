"""Writing many images: each decoded once, in several processes, and again only where needed.

A job is one source image and the files to be made from it. What is already there is kept if it
bears the mark of the same source and treatment and is whole (:mod:`scale_match.storage.stamps`), so
a run that was stopped goes on where it stopped, and a changed source is noticed.
"""

import hashlib
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path, PurePosixPath
from typing import Protocol

from scale_match.core.checks import whole_number
from scale_match.core.errors import InputError
from scale_match.storage.files import write_bytes
from scale_match.storage.image_files import (
    Picture,
    UnreadableImageError,
    decode,
    encode,
    read_image_bytes,
)
from scale_match.storage.problems import Problems
from scale_match.storage.stamps import is_stamped, key_of, stamp

__all__ = [
    "Edit",
    "ImageJob",
    "JobSummary",
    "image_path",
    "remove_leftovers",
    "run_image_jobs",
]

# Part of every key: change it when the same treatment gives other files than before.
_VERSION = "1"
_LEFTOVER = re.compile(r"\.tmp-[0-9a-f]{8}-(.+)")  # names of scale_match.storage.files.replacing
_CHUNK = 4  # jobs handed to a process at a time


class Edit(Protocol):
    """A treatment of an image: a frozen dataclass of plain values, whose ``repr`` identifies it."""

    def apply(self, picture: Picture) -> Picture:
        """The treated image; the argument stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class ImageJob:
    """What to make from one image.

    Attributes:
        name: How the image is called in the annotations.
        source: Its file.
        size: (width, height) that the annotations state.
        outputs: Files to write, each with its treatment; None copies the image as it is, without
            coding it again.
        keep_others: Keep an output that has no mark, so was not written by this program, if it
            can be decoded and has the right size.
    """

    name: str
    source: Path
    size: tuple[int, int]
    outputs: tuple[tuple[Path, Edit | None], ...]
    keep_others: bool = False


@dataclass(frozen=True, slots=True)
class JobSummary:
    """What became of the jobs.

    Attributes:
        written: Number of files written.
        kept: Number of files that were there already.
        left_out: Names of the images that could not be used.
    """

    written: int
    kept: int
    left_out: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Result:
    name: str
    written: int = 0
    kept: int = 0
    problem: str | None = None


def run_image_jobs(
    jobs: Sequence[ImageJob],
    problems: Problems,
    *,
    workers: int = 1,
    progress: Callable[[Iterable[str], int], Iterable[str]] = lambda names, total: names,
) -> JobSummary:
    """Write the images of all jobs.

    Args:
        jobs: Their outputs are different files.
        problems: Gets every image that cannot be read or has another size than stated.
        workers: Number of processes; with 1 the work is done in this one.
        progress: Wraps the names of the images that are done, of which it learns the number.

    Returns:
        How many files were written and kept, and which images were left out.

    Raises:
        InputError: An image is unusable and ``problems`` is strict, none at all is usable, a file
            cannot be written, two outputs are one file or an output is its source, or a process
            died.
    """
    whole_number("workers", workers, minimum=1)
    _check_outputs(jobs)
    remove_leftovers(output for job in jobs for output, _ in job.outputs)
    written = kept = 0
    left_out: set[str] = set()
    with _results(jobs, workers) as results:
        for result in _watched(results, len(jobs), progress):
            written, kept = written + result.written, kept + result.kept
            if result.problem is not None:
                problems.add(result.problem)
                left_out.add(result.name)
    if jobs and len(left_out) == len(jobs):
        raise InputError(
            f"none of {len(jobs)} images can be used; the first: {problems.messages[0]}"
        )
    return JobSummary(written, kept, frozenset(left_out))


def image_path(folder: Path, file_name: str) -> Path:
    """Where an image of an annotation file lies.

    Raises:
        InputError: The name leads out of the folder.
    """
    parts = PurePosixPath(file_name)
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"file_name {file_name!r} must be a path inside the image folder")
    return folder / parts


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove the half-written temporary files that a killed run left beside these files."""
    names_of_folder: dict[Path, set[str]] = {}
    for path in paths:
        names_of_folder.setdefault(path.parent, set()).add(path.name)
    for folder, names in names_of_folder.items():
        for found in folder.glob(".tmp-*") if folder.is_dir() else ():
            match = _LEFTOVER.fullmatch(found.name)
            if match is not None and match[1] in names:
                found.unlink(missing_ok=True)


def _check_outputs(jobs: Sequence[ImageJob]) -> None:
    seen: set[Path] = set()
    for job in jobs:
        for output, _ in job.outputs:
            if output in seen:
                raise InputError(f"two images would be written to {output}: {job.name} is one")
            if output == job.source:
                raise InputError(f"{output} would be written over the image that it is made from")
            seen.add(output)


def _watched(
    results: Iterator[_Result],
    total: int,
    progress: Callable[[Iterable[str], int], Iterable[str]],
) -> Iterator[_Result]:
    """The results, while ``progress`` sees the name of each."""
    done: list[_Result] = []

    def names() -> Iterator[str]:
        for result in results:
            done.append(result)
            yield result.name

    for _ in progress(names(), total):
        yield done.pop()


@contextmanager
def _results(jobs: Sequence[ImageJob], workers: int) -> Iterator[Iterator[_Result]]:
    """The results of the jobs in their order; work not begun is dropped when the block ends."""
    if workers == 1 or len(jobs) < 2:
        yield map(_run, jobs)
        return
    # New interpreters, not copies of this one: its threads and locks must not be copied.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool.map(_run, jobs, chunksize=_CHUNK)
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that writes images died, perhaps for want of memory; images that are "
            f"finished are kept, run again with fewer --workers than {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is killed: nobody would take its results."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(job: ImageJob) -> _Result:
    outputs = [output for output in job.outputs if not _is_others(output[0], job)]
    todo: list[tuple[Path, Edit | None, str]] = []
    try:
        if outputs:
            data = read_image_bytes(job.source)
            digest = hashlib.sha256(data).hexdigest()
            keyed = [(path, edit, _key(digest, edit)) for path, edit in outputs]
            todo = [(path, edit, key) for path, edit, key in keyed if _key_at(path) != key]
        if todo:
            picture = decode(data, job.source, job.size)
            for path, edit, key in todo:
                content = data if edit is None else encode(edit.apply(picture), path)
                write_bytes(path, stamp(content, key))
    except UnreadableImageError as error:
        return _Result(job.name, problem=str(error))
    return _Result(job.name, len(todo), len(job.outputs) - len(todo))


def _key(digest: str, edit: Edit | None) -> str:
    return hashlib.sha256(f"{_VERSION} {digest} {edit!r}".encode()).hexdigest()


def _key_at(path: Path) -> str | None:
    return key_of(path.read_bytes()) if path.is_file() else None


def _is_others(path: Path, job: ImageJob) -> bool:
    """Whether a usable image is there that this program did not write."""
    if not (job.keep_others and path.is_file()):
        return False
    try:
        data = read_image_bytes(path)
        if is_stamped(data):
            return False
        decode(data, path, job.size)
    except UnreadableImageError:
        return False
    return True
