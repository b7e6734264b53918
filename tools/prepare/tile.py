"""Subcommand ``tile``: annotations of whole images to those of tiles."""

import argparse
from functools import partial

from tqdm import tqdm

from prepare.options import (
    Subcommands,
    add_annotation_options,
    add_image_options,
    add_parser,
    check_folders,
    check_images_pair,
    check_output,
    images_bar,
    naming,
    read_checked,
    report,
    written,
)
from scale_match.storage.coco_entries import without_images
from scale_match.storage.coco_files import write_raw_coco
from scale_match.storage.image_jobs import run_image_jobs
from scale_match.storage.problems import Problems
from scale_match.storage.tiling import tile_annotations, tile_image_files


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "tile",
        summary="annotations of whole images -> annotations of tiles",
        description="Write the annotations of overlapping tiles of large images, to train on.\n"
        "A tile entry names its image and its corner there; no image is written, unless\n"
        "--write-images is given: then the annotations name the tiles' own image files.",
        example="--annotations train.json --output train_tiles.json",
    )
    add_annotation_options(parser)
    parser.add_argument(
        "--tile",
        type=int,
        nargs=2,
        default=[640, 512],
        metavar=("WIDTH", "HEIGHT"),
        help="size of a tile in pixels (default: 640 512)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        nargs=2,
        default=[50, 50],
        metavar=("X", "Y"),
        help="overlap of neighbouring tiles in pixels (default: 50 50, with which the published "
        "corner annotations of TinyPerson were made; testing on tiles has 100 100)",
    )
    parser.add_argument(
        "--keep",
        type=float,
        default=0.7,
        help="a box belongs to a tile if sqrt(area inside) / sqrt(area) is at least this "
        "(default: 0.7)",
    )
    add_image_options(parser, required=False)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    source, output = arguments.annotations, arguments.output
    check_output(output, "--annotations", source)
    with_images = check_images_pair(arguments)
    if with_images:
        check_folders(arguments.images, arguments.write_images)
    raw = read_checked(source)
    with naming(source):
        tiled = tile_annotations(
            raw,
            tile=tuple(arguments.tile),
            overlap=tuple(arguments.overlap),
            keep=arguments.keep,
            progress=partial(tqdm, desc="tile", unit="image", leave=False),
        )
    more = ""
    num_images = len(raw["images"])
    if with_images:
        with naming(source):
            content, jobs = tile_image_files(tiled, arguments.images, arguments.write_images)
        problems = Problems(strict=arguments.strict)
        summary = run_image_jobs(
            jobs, problems, workers=arguments.workers, progress=partial(images_bar, "images")
        )
        report(problems, "images cannot be used and are left out")
        num_images -= len(summary.left_out)
        out = {tile["id"] for tile in tiled["images"] if tile["file_name"] in summary.left_out}
        tiled = without_images(content, out)
        more = written(summary, arguments.write_images)
    write_raw_coco(output, tiled)
    print(
        f"wrote {output}: {len(tiled['images'])} tiles of {num_images} images, "
        f"{len(tiled['annotations'])} boxes from {len(raw['annotations'])} (a box may be in "
        f"several tiles, or in none){more}"
    )
