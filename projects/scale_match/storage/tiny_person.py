"""From the downloaded TinyPerson to the files that its training and test configs name.

The authors' archive holds most of them already; what is there is taken, and what is not is made by
the rules of their dataset page: dense images (more than 200 boxes) go, ignored and uncertain
regions of the training images are erased, both categories become ``person``, and tiles of 640x512
overlap by 50 pixels.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations, read_raw_coco
from scale_match.storage.archives import ARCHIVE_SUFFIXES, find_archive, unpack_archive
from scale_match.storage.coco_entries import Entry, ids_of_files, without_images
from scale_match.storage.coco_files import write_raw_coco
from scale_match.storage.dense import without_dense_images
from scale_match.storage.erasing import erase_jobs, erased_annotations
from scale_match.storage.files import file_sha256, read_bytes, write_bytes
from scale_match.storage.image_files import UnreadableImageError, image_size
from scale_match.storage.image_jobs import image_path, remove_leftovers, run_image_jobs
from scale_match.storage.problems import Problems
from scale_match.storage.tasks import ALL, task_annotations
from scale_match.storage.tiling import tile_annotations

__all__ = ["TINY_SET", "find_tiny_set", "prepare_tiny_person"]

TINY_SET = "tiny_set"
_FOLDERS = ("annotations", "train", "test", "erase_with_uncertain_dataset", "mini_annotations")
_ERASED = "erase_with_uncertain_dataset"
# File that is made -> where the authors' archive has the same under another name.
_TILES = "mini_annotations/tiny_set_train_sw640_sh512_all_erase.json"
_TRAIN = "mini_annotations/tiny_set_train_all_erase.json"
_TEST = "mini_annotations/tiny_set_test_all.json"
_AUTHORS = {
    _TILES: f"{_ERASED}/annotations/corner/task/tiny_set_train_sw640_sh512_all.json",
    _TRAIN: f"{_ERASED}/annotations/task/tiny_set_train_all.json",
    _TEST: "annotations/task/tiny_set_test_all.json",
}
_RAW_TRAIN, _RAW_TEST = (f"annotations/tiny_set_{split}.json" for split in ("train", "test"))
_RAW_ERASED = f"{_ERASED}/annotations/tiny_set_train.json"
_MARK = "prepared_from"  # key of the files made here: name and hash of what they were made from

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Run:
    """The settings of one run."""

    root: Path
    problems: Problems
    workers: int
    progress: Callable[[Iterable[str], int], Iterable[str]]
    log: Log


def find_tiny_set(path: Path, log: Log) -> Path:
    """The folder ``tiny_set``, unpacked if need be.

    Args:
        path: The folder itself, the one that holds it, or an archive of it.
        log: Told what is unpacked.

    Raises:
        InputError: There is no such folder, or the archive is damaged.
    """
    if path.is_file() and path.name.endswith(ARCHIVE_SUFFIXES):
        path = _unpacked(path, path.with_name(TINY_SET), log)
    elif (path / TINY_SET).is_dir():
        path = path / TINY_SET
    elif archive := find_archive(path, TINY_SET):
        path = _unpacked(archive, path / TINY_SET, log)
    if not path.is_dir():
        raise InputError(f"there is no folder or archive {path}")
    for name in _FOLDERS:
        archive = find_archive(path, name)
        if archive is not None:
            _unpacked(archive, path / name, log)
    return path


def prepare_tiny_person(
    root: Path,
    problems: Problems,
    *,
    workers: int = 1,
    progress: Callable[[Iterable[str], int], Iterable[str]] = lambda names, total: names,
    log: Log = lambda line: None,
) -> None:
    """Make or take every file that the TinyPerson configs name.

    Args:
        root: The folder ``tiny_set``, see :func:`find_tiny_set`.
        problems: Gets the images that cannot be used.
        workers: Number of processes that write images.
        progress: Wraps the names of the images that are done.
        log: Told one line for each result: taken, kept, or made.

    Raises:
        InputError: A file is missing or broken, or ``problems`` is strict and an image is unusable.
    """
    run = _Run(root, problems, workers, progress, log)
    left_out = _erase_train_images(run)
    _provide(run, _TRAIN, _train_source(root), lambda: _made_train(root, left_out), left_out)
    _provide(run, _TILES, _TRAIN, lambda: tile_annotations(_read(root / _TRAIN)))
    _provide(run, _TEST, _RAW_TEST, lambda: _made_test(root))
    _check_images(run, _TILES, f"{_ERASED}/train")
    _check_images(run, _TEST, "test")


def _unpacked(archive: Path, folder: Path, log: Log) -> Path:
    if not folder.exists():
        log(f"unpacking {archive}")
        unpack_archive(archive, folder)
    return folder


def _erase_train_images(run: _Run) -> frozenset[str]:
    """Make the erased training images that are not there; returns those that cannot be made."""
    source, output = run.root / "train", run.root / _ERASED / "train"
    annotations = run.root / _RAW_TRAIN
    if not annotations.is_file():
        if output.is_dir():
            run.log(f"{output}: taken as it is, because there is no {annotations}")
        return frozenset()
    raw = without_dense_images(_read(annotations))
    jobs = erase_jobs(raw, source, output, keep_others=True)
    summary = run_image_jobs(jobs, run.problems, workers=run.workers, progress=run.progress)
    run.log(f"{output}: {summary.kept} images were there, {summary.written} made")
    return summary.left_out


def _provide(
    run: _Run,
    name: str,
    source: str,
    make: Callable[[], Entry],
    left_out: Collection[str] = (),
) -> None:
    """Keep a file, or take the authors' one, or make it from ``source``."""
    path, theirs = run.root / name, run.root / _AUTHORS[name]
    remove_leftovers([path])
    if path.is_file():
        read_annotations(path)
        # Without a mark it is the authors' file; without its source it cannot be made anew.
        mark, expected = read_raw_coco(path).get(_MARK), _mark(run.root, source, left_out)
        if mark is None or expected is None or mark == expected:
            run.log(f"{path}: kept")
            return
    if theirs.is_file():
        read_annotations(theirs)
        write_bytes(path, read_bytes(theirs))
        run.log(f"{path}: taken from {theirs}")
        return
    content = make()
    write_raw_coco(path, {**content, _MARK: _mark(run.root, source, left_out)})
    run.log(
        f"{path}: made from {run.root / source}, {len(content['images'])} images, "
        f"{len(content['annotations'])} boxes"
    )


def _mark(root: Path, source: str, left_out: Collection[str]) -> Entry | None:
    """What a file made here says about its origin; None where the source is not there."""
    if not (root / source).is_file():
        return None
    return {"file": source, "sha256": file_sha256(root / source), "left_out": sorted(left_out)}


def _train_source(root: Path) -> str:
    return _RAW_ERASED if (root / _RAW_ERASED).is_file() else _RAW_TRAIN


def _made_train(root: Path, left_out: Collection[str]) -> Entry:
    raw = without_dense_images(_read(root / _train_source(root)))
    raw = without_images(raw, ids_of_files(raw, left_out))
    return task_annotations(erased_annotations(raw), ALL)


def _made_test(root: Path) -> Entry:
    return task_annotations(without_dense_images(_read(root / _RAW_TEST)), ALL)


def _read(path: Path) -> Entry:
    read_annotations(path)
    return read_raw_coco(path)


def _check_images(run: _Run, annotations: str, folder: str) -> None:
    """Name the images of an annotation file that are not in their folder, or are no images."""
    names = {image.file_name: None for image in read_annotations(run.root / annotations).images}
    for name in names:
        path = image_path(run.root / folder, name)
        if not path.is_file():
            run.problems.add(f"{run.root / folder / name}, named in {annotations}, does not exist")
            continue
        try:
            image_size(path)
        except UnreadableImageError as error:
            run.problems.add(str(error))
