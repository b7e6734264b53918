"""Subcommand ``erase``: regions of images filled with their mean colours."""

import argparse

from prepare.options import (
    Subcommands,
    add_annotation_options,
    add_image_options,
    add_parser,
    check_folders,
    check_output,
    finish,
    naming,
    read_checked,
    write_images,
    written,
)
from scale_match.storage.erasing import REGION_FLAGS, erase_jobs, erased_annotations


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "erase",
        summary="ignore and uncertain regions of images filled with their mean colours",
        description="Fill ignore and uncertain regions of the images with the region's mean\n"
        "colour, as TinyPerson's authors do for training, and leave their boxes out of the\n"
        "annotations. Objects that are trained on stay visible where they lie in a region.",
        example="--annotations train.json --images train/ \\\n"
        "    --output train_erase.json --write-images train_erase/",
    )
    add_annotation_options(parser)
    add_image_options(parser, required=True)
    parser.add_argument(
        "--flags",
        nargs="+",
        default=["ignore", "uncertain"],
        metavar="FLAG",
        help=f"boxes with one of these are regions, of {', '.join(REGION_FLAGS)} "
        "(default: ignore uncertain)",
    )
    parser.add_argument(
        "--cover-objects",
        action="store_true",
        help="fill regions also where other objects lie in them",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    check_output(arguments.output, "--annotations", arguments.annotations)
    check_folders(arguments.images, arguments.write_images)
    raw = read_checked(arguments.annotations)
    with naming(arguments.annotations):
        erased = erased_annotations(raw, arguments.flags)
        jobs = erase_jobs(
            raw,
            arguments.images,
            arguments.write_images,
            flags=arguments.flags,
            cover_objects=arguments.cover_objects,
        )
    summary, content = write_images(arguments, jobs, erased)
    count = len(raw["annotations"]) - len(erased["annotations"])
    finish(arguments.output, content, f", {count} erased{written(summary, arguments.write_images)}")
