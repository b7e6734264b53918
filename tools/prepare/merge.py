"""Subcommand ``merge``: several annotation files joined into one."""

import argparse
from pathlib import Path

from tqdm import tqdm

from prepare.options import (
    Subcommands,
    add_output_option,
    add_parser,
    add_strict_option,
    check_output,
    finish,
    read_checked,
    report,
)
from scale_match.core.errors import InputError
from scale_match.storage.image_links import link_images
from scale_match.storage.joining import join_annotations
from scale_match.storage.problems import Problems


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "merge",
        summary="train + val of COCO (or any files) -> one file, ids kept unique",
        description="Join annotation files. Ids stay where they are unique; one that an earlier\n"
        "file has already becomes the next free number. Categories are the same where\n"
        "their names are. --link-images makes one image folder of links, --prefix instead\n"
        "puts a folder before the file names.",
        example="--annotations annotations/instances_train2017.json \\\n"
        "    annotations/instances_val2017.json --images train2017 val2017 \\\n"
        "    --output annotations/instances_merge2017.json --link-images merge2017",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        nargs="+",
        required=True,
        metavar="JSON",
        help="COCO-format files to read, two or more",
    )
    add_output_option(parser)
    parser.add_argument(
        "--images", type=Path, nargs="+", metavar="DIR", help="image folder of each file"
    )
    parser.add_argument(
        "--link-images",
        type=Path,
        metavar="DIR",
        help="folder to make, with a link to each image",
    )
    parser.add_argument(
        "--prefix",
        nargs="+",
        default=[],
        metavar="NAME",
        help="put these before the file names, one for each file",
    )
    add_strict_option(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    sources = arguments.annotations
    check_output(arguments.output, "--annotations", *sources)
    resolved = [path.resolve() for path in sources]
    for place, path in enumerate(resolved):
        if path in resolved[:place]:
            raise InputError(f"--annotations names one file twice: {sources[place]}")
    folders = arguments.images or []
    if bool(folders) != bool(arguments.link_images):
        raise InputError("--images and --link-images are needed together, or neither of them")
    if folders and len(folders) != len(sources):
        raise InputError(f"{len(folders)} --images for {len(sources)} --annotations: one each")
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"there is no image folder {folder}")
    with tqdm(sources, desc="read", unit="file", leave=False) as bar:
        parts = {str(path): read_checked(path) for path in bar}
    content, changed = join_annotations(parts, prefixes=arguments.prefix, strict=arguments.strict)
    if folders:
        # The joined file has the images of the parts in their order, perhaps with other names.
        targets = [
            folder / image["file_name"]
            for folder, part in zip(folders, parts.values(), strict=True)
            for image in part["images"]
        ]
        names = [image["file_name"] for image in content["images"]]
        problems = Problems(strict=arguments.strict)
        link_images(dict(zip(names, targets, strict=True)), arguments.link_images, problems)
        report(problems, "images do not exist, and have no link")
    renumbered = ", ".join(f"{number} {key}" for key, number in changed.items() if number)
    finish(arguments.output, content, f"; new ids: {renumbered}" if renumbered else "; ids kept")
