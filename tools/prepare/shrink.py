"""Subcommand ``shrink``: images and boxes reduced by a factor."""

import argparse

from prepare.options import (
    Subcommands,
    add_annotation_options,
    add_image_options,
    add_parser,
    check_folders,
    check_images_pair,
    check_output,
    finish,
    naming,
    read_checked,
    write_images,
    written,
)
from scale_match.storage.shrinking import shrink_jobs, shrunk_annotations


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "shrink",
        summary="images and boxes reduced by a factor",
        description="Reduce images and boxes by a factor, as Tiny CityPersons is made from\n"
        "CityPersons by 4. Without --images the annotations alone are reduced.",
        example="--factor 4 --annotations cityperson.json --images leftImg8bit/ \\\n"
        "    --output tiny_cityperson.json --write-images tiny_leftImg8bit/",
    )
    add_annotation_options(parser)
    add_image_options(parser, required=False)
    parser.add_argument(
        "--factor", type=float, required=True, help="by which both sides get shorter, at least 1"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    check_output(arguments.output, "--annotations", arguments.annotations)
    with_images = check_images_pair(arguments)
    raw = read_checked(arguments.annotations)
    with naming(arguments.annotations):
        content = shrunk_annotations(raw, arguments.factor)
    more = ""
    if with_images:
        check_folders(arguments.images, arguments.write_images)
        with naming(arguments.annotations):
            jobs = shrink_jobs(raw, arguments.factor, arguments.images, arguments.write_images)
        summary, content = write_images(arguments, jobs, content)
        more = written(summary, arguments.write_images)
    finish(arguments.output, content, more)
