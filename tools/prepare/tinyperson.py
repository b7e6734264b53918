"""Subcommand ``tinyperson``: from the downloaded archive to what the configs name."""

import argparse
from functools import partial
from pathlib import Path

from prepare.options import Subcommands, add_parser, add_run_options, images_bar, report
from scale_match.storage.problems import Problems
from scale_match.storage.tiny_person import find_tiny_set, prepare_tiny_person


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "tinyperson",
        summary="the whole recipe for TinyPerson as downloaded",
        description="Provide every file that the configs in configs/tiny_person name, in place:\n"
        "  erase_with_uncertain_dataset/train/       training images, regions erased\n"
        "  mini_annotations/tiny_set_train_sw640_sh512_all_erase.json   their tiles\n"
        "  mini_annotations/tiny_set_train_all_erase.json               whole images\n"
        "  mini_annotations/tiny_set_test_all.json                      test images\n"
        "The authors' erased images and annotation files are taken where they are there; what\n"
        "is missing is made from train/, test/ and annotations/tiny_set_{train,test}.json.\n"
        "Archives in the folder, such as mini_annotations.tar.gz, are unpacked.",
        example="--root /data/tiny_set --workers 4",
    )
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder tiny_set, the one above it, or an archive of it",
    )
    add_run_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    root = find_tiny_set(arguments.root, print)
    problems = Problems(strict=arguments.strict)
    prepare_tiny_person(
        root,
        problems,
        workers=arguments.workers,
        progress=partial(images_bar, "erase"),
        log=print,
    )
    report(problems, "images cannot be used")
    print(f"ready: export DETECTRON2_DATASETS={root.resolve().parent}")
