"""Subcommand ``convert``: other annotation formats to COCO."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tqdm import tqdm

from prepare.options import (
    Subcommands,
    add_output_option,
    add_parser,
    add_strict_option,
    check_output,
    finish,
    naming,
    read_checked,
    report,
)
from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry
from scale_match.storage.conversion import read_names
from scale_match.storage.convert_tinyperson import convert_tinyperson
from scale_match.storage.convert_visdrone import convert_visdrone
from scale_match.storage.convert_voc import convert_voc
from scale_match.storage.convert_yolo import convert_yolo
from scale_match.storage.problems import Problems

_bar = partial(tqdm, desc="convert", unit="image", leave=False)

EXAMPLES = """--from yolo --images images/train --labels labels/train \\
    --names data.yaml --output train.json
  python tools/prepare_data.py convert --from voc --labels Annotations \\
    --images JPEGImages --output train.json
  python tools/prepare_data.py convert --from visdrone --images images \\
    --labels annotations --output train.json
  python tools/prepare_data.py convert --from tinyperson \\
    --annotations tiny_set_train.json --output plain_coco.json"""


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "convert",
        summary="YOLO, VOC, VisDrone or TinyPerson's own fields -> COCO",
        description="Convert annotations to COCO format. An image whose labels are broken is left\n"
        "out and named. From tinyperson: ignore and uncertain boxes become iscrowd ones,\n"
        "the authors' other fields go, so that every COCO program reads the file.",
        example=EXAMPLES,
    )
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        choices=list(_CONVERTERS),
        help="the format to read",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="DIR", help="folder of the label files (not tinyperson)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the images (yolo, visdrone; voc: checks names and sizes)",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="category names: one a line, or YAML with 'names' (yolo; voc: the order of the ids)",
    )
    parser.add_argument(
        "--annotations", type=Path, metavar="JSON", help="file to read (tinyperson)"
    )
    parser.add_argument(
        "--zero-based",
        action="store_true",
        help="voc: corners count from 0 and the far one is exclusive",
    )
    parser.add_argument(
        "--regions-in-each",
        action="store_true",
        help="visdrone: write ignored regions once for each category, for an evaluation by "
        "category (default: once)",
    )
    add_output_option(parser)
    add_strict_option(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    convert, needed, allowed = _CONVERTERS[arguments.source]
    _check_options(arguments, needed, allowed)
    problems = Problems(strict=arguments.strict)
    content = convert(arguments, problems)
    report(problems, "images or labels cannot be used and are left out")
    finish(arguments.output, content, f", {len(content['categories'])} categories")


def _check_options(arguments: argparse.Namespace, needed: set[str], allowed: set[str]) -> None:
    for option in ("labels", "images", "names", "annotations", "zero_based", "regions_in_each"):
        name = "--" + option.replace("_", "-")
        given = bool(getattr(arguments, option))
        if option in needed and not given:
            raise InputError(f"--from {arguments.source} needs {name}")
        if given and option not in needed | allowed:
            raise InputError(f"--from {arguments.source} does not use {name}")


def _yolo(arguments: argparse.Namespace, problems: Problems) -> Entry:
    names = read_names(arguments.names)
    return convert_yolo(arguments.images, arguments.labels, names, problems, progress=_bar)


def _voc(arguments: argparse.Namespace, problems: Problems) -> Entry:
    return convert_voc(
        arguments.labels,
        problems,
        images=arguments.images,
        names=read_names(arguments.names) if arguments.names else (),
        zero_based=arguments.zero_based,
        progress=_bar,
    )


def _visdrone(arguments: argparse.Namespace, problems: Problems) -> Entry:
    return convert_visdrone(
        arguments.images,
        arguments.labels,
        problems,
        regions_in_each=arguments.regions_in_each,
        progress=_bar,
    )


def _tinyperson(arguments: argparse.Namespace, problems: Problems) -> Entry:
    check_output(arguments.output, "--annotations", arguments.annotations)
    raw = read_checked(arguments.annotations)
    with naming(arguments.annotations):
        return convert_tinyperson(raw)


# Format -> function, options it needs, options it may have.
_CONVERTERS: dict[
    str, tuple[Callable[[argparse.Namespace, Problems], Entry], set[str], set[str]]
] = {
    "yolo": (_yolo, {"images", "labels", "names"}, set()),
    "voc": (_voc, {"labels"}, {"images", "names", "zero_based"}),
    "visdrone": (_visdrone, {"images", "labels"}, {"regions_in_each"}),
    "tinyperson": (_tinyperson, {"annotations"}, set()),
}
