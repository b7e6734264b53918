"""What the subcommands share: options, reading, progress, and the last lines."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from tqdm import tqdm

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations, read_raw_coco
from scale_match.storage.coco_entries import Entry, ids_of_files, without_images
from scale_match.storage.coco_files import write_raw_coco
from scale_match.storage.image_jobs import ImageJob, JobSummary, run_image_jobs
from scale_match.storage.problems import Problems

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_parser(
    subcommands: Subcommands, name: str, *, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    """A subcommand with its help; the example is the options after its name."""
    return subcommands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example:\n  python tools/prepare_data.py {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_annotation_options(parser: argparse.ArgumentParser) -> None:
    """The options --annotations and --output."""
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="JSON", help="COCO-format file to read"
    )
    add_output_option(parser)


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """The option --output."""
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="JSON",
        help="COCO-format file to write, whole or not at all, after all images",
    )


def add_image_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """The options --images and --write-images, and those of how images are written."""
    parser.add_argument(
        "--images", type=Path, required=required, metavar="DIR", help="folder of the images"
    )
    parser.add_argument(
        "--write-images",
        type=Path,
        required=required,
        metavar="DIR",
        help="folder to write images to (JPEG with quality 95, other formats without loss); "
        "JPEG and PNG images of an earlier run that are whole and of the same source are kept",
    )
    add_run_options(parser)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options --workers and --strict."""
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that read and write images (default: 1)",
    )
    add_strict_option(parser)


def add_strict_option(parser: argparse.ArgumentParser) -> None:
    """The option --strict."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at an image or label that cannot be used; by default it is left out and named",
    )


def read_checked(path: Path) -> Entry:
    """All fields of an annotation file whose content is in order."""
    read_annotations(path)
    return read_raw_coco(path)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the name of the annotation file before what is wrong with its content."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_output(output: Path, option: str, *inputs: Path) -> None:
    """Refuse to overwrite what is read; ``option`` is the one that names the inputs."""
    for path in inputs:
        if output.resolve() == path.resolve():
            raise InputError(f"--output {output} must not be the file given as {option}")


def check_folders(images: Path, output: Path) -> None:
    """Refuse to write into the folder that is read from; there must be one to read."""
    if not images.is_dir():
        raise InputError(f"there is no image folder {images}")
    if output.resolve() == images.resolve():
        raise InputError(f"--write-images {output} must not be the folder given as --images")


def check_images_pair(arguments: argparse.Namespace) -> bool:
    """Whether images are written; both folders are needed for that."""
    if (arguments.images is None) != (arguments.write_images is None):
        raise InputError("--images and --write-images are needed together, or neither of them")
    return arguments.write_images is not None


def write_images(
    arguments: argparse.Namespace, jobs: list[ImageJob], raw: Entry
) -> tuple[JobSummary, Entry]:
    """Write images with a progress bar.

    Returns:
        What became of them, and ``raw`` without the images that could not be used.
    """
    problems = Problems(strict=arguments.strict)
    summary = run_image_jobs(
        jobs, problems, workers=arguments.workers, progress=partial(images_bar, "images")
    )
    report(problems, "images cannot be used and are left out")
    return summary, without_images(raw, ids_of_files(raw, summary.left_out))


def images_bar(name: str, names: Iterable[str], total: int) -> Iterable[str]:
    """A progress bar over images."""
    return tqdm(names, total=total, desc=name, unit="image", leave=False)


def report(problems: Problems, what: str) -> None:
    """Say on standard error what was left out."""
    for line in problems.summary(what):
        sys.stderr.write(f"warning: {line}\n" if not line.startswith(" ") else f"{line}\n")


def finish(output: Path, content: Entry, more: str = "") -> None:
    """Write the annotation file and say what it holds."""
    write_raw_coco(output, content)
    print(
        f"wrote {output}: {len(content['images'])} images, {len(content['annotations'])} boxes"
        f"{more}"
    )


def written(summary: JobSummary, folder: Path) -> str:
    """The part of the last line about images."""
    return f"; {folder}: {summary.written} images written, {summary.kept} kept"
