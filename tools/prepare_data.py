"""Prepare annotations for training: `tile` cuts those of large images into tiles.

Run with `--help` after a subcommand for its options. Output is written whole or not at all.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations, read_raw_coco
from scale_match.storage.files import write_json
from scale_match.storage.tiling import tile_annotations


def main(argv: Sequence[str]) -> None:
    """Run the subcommand that the arguments name."""
    arguments = _parser().parse_args(argv)
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prepare_data.py", description=__doc__)
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    _add_tile(subcommands)
    return parser


def _add_tile(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subcommands.add_parser(
        "tile",
        help="annotations of whole images -> annotations of tiles",
        description="Write the annotations of overlapping tiles of large images, to train on them. "
        "No image is written: a tile entry names its image and its corner there.",
        epilog="example: python tools/prepare_data.py tile --annotations train.json "
        "--output train_tiles.json",
    )
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="JSON", help="COCO-format file to read"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="COCO-format file to write"
    )
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
    parser.set_defaults(run=_tile)


def _tile(arguments: argparse.Namespace) -> None:
    source, output = arguments.annotations, arguments.output
    if output.resolve() == source.resolve():
        raise InputError(f"--output {output} must not be the file given as --annotations")
    annotations = read_annotations(source)
    try:
        tiled = tile_annotations(
            read_raw_coco(source),
            tile=tuple(arguments.tile),
            overlap=tuple(arguments.overlap),
            keep=arguments.keep,
            progress=partial(tqdm, desc="tile", unit="image", leave=False),
        )
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    write_json(output, tiled)
    print(
        f"wrote {output}: {len(tiled['images'])} tiles of {len(annotations.images)} images, "
        f"{len(tiled['annotations'])} boxes from {len(annotations.table)} (a box may be in several "
        "tiles, or in none)"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
