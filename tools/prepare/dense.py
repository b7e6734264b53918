"""Subcommand ``dense``: images with very many boxes are dropped."""

import argparse

from prepare.options import (
    Subcommands,
    add_annotation_options,
    add_parser,
    check_output,
    finish,
    naming,
    read_checked,
)
from scale_match.storage.dense import without_dense_images


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "dense",
        summary="images with more than 200 boxes dropped",
        description="Drop images with more than a number of boxes, boxes of every kind counted.\n"
        "TinyPerson's authors neither train nor evaluate on such images.",
        example="--annotations tiny_set_train_with_dense.json \\\n    --output tiny_set_train.json",
    )
    add_annotation_options(parser)
    parser.add_argument(
        "--max-boxes",
        type=int,
        default=200,
        metavar="N",
        help="an image with more boxes goes (default: 200)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    check_output(arguments.output, "--annotations", arguments.annotations)
    raw = read_checked(arguments.annotations)
    with naming(arguments.annotations):
        content = without_dense_images(raw, max_boxes=arguments.max_boxes)
    images, boxes = (len(raw[key]) - len(content[key]) for key in ("images", "annotations"))
    finish(arguments.output, content, f"; {images} dense images with {boxes} boxes dropped")
