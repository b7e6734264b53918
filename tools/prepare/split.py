"""Subcommand ``split``: one annotation file into a training and a test file."""

import argparse
from collections import Counter
from itertools import combinations
from pathlib import Path

from prepare.options import Subcommands, add_parser, naming, read_checked, report
from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry
from scale_match.storage.coco_files import write_raw_coco
from scale_match.storage.files import replacing
from scale_match.storage.image_jobs import remove_leftovers
from scale_match.storage.problems import Problems
from scale_match.storage.splitting import FOLDER, SplitSide, split_annotations


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "split",
        summary="one annotation file -> a training and a test file",
        description="Split the images of a file at random, with their boxes. Images of one group\n"
        "stay together: group the frames of a video or a flight, because neighbouring\n"
        "frames on both sides make the score too good. Tiles of an image always stay\n"
        "together. The share is met as nearly as the groups allow.",
        example="--annotations all.json --train train.json --test test.json \\\n"
        "    --group-by '([^/]+)_frame[0-9]+'",
    )
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="JSON", help="COCO-format file to read"
    )
    for option, side in (("--train", "training"), ("--test", "test")):
        parser.add_argument(
            option,
            type=Path,
            required=True,
            metavar="JSON",
            help=f"COCO-format file of the {side} side to write; both are written or none",
        )
    parser.add_argument(
        "--share",
        type=float,
        default=0.2,
        help="share of the images for the test file, above 0 and below 1 (default: 0.2)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="equal ones split equally (default: 0)"
    )
    parser.add_argument(
        "--group-by",
        metavar=f"{FOLDER}|REGEX",
        help=f"what stays together: the images of a {FOLDER}, or those in whose file_name this "
        "regular expression finds the same (its first group in brackets, else the whole match); "
        "default: each image file is a group",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    source = arguments.annotations
    _check_paths({"--annotations": source, "--train": arguments.train, "--test": arguments.test})
    raw = read_checked(source)
    with naming(source):
        train, test = split_annotations(
            raw, share=arguments.share, seed=arguments.seed, group_by=arguments.group_by
        )
    sides = {arguments.train: train, arguments.test: test}
    _write(sides)
    boxes = {path: _boxes(side.content) for path, side in sides.items()}
    for path, side in sides.items():
        _say(path, side, raw, boxes[path])
    problems = Problems(strict=False)
    for category in raw["categories"]:
        for path in sides:
            if not boxes[path][category["id"]]:
                problems.add(f"{category['name']} has none in {path}")
    report(problems, "times a category has no box in a file")


def _check_paths(paths: dict[str, Path]) -> None:
    for (option, path), (other_option, other) in combinations(paths.items(), 2):
        if path.resolve() == other.resolve():
            raise InputError(f"{other_option} {other} must not be the file given as {option}")
    for option in ("--train", "--test"):
        if paths[option].resolve().is_dir():
            raise InputError(f"{option} {paths[option]} must be a file to write, it is a folder")


def _write(sides: dict[Path, SplitSide]) -> None:
    """Write both files or none: the first gets its name when the second has been written."""
    (first, train), (second, test) = sides.items()
    remove_leftovers([first])
    with replacing(first) as temporary:
        try:
            write_raw_coco(temporary, train.content)
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), str(first))) from error
        write_raw_coco(second, test.content)


def _boxes(content: Entry) -> Counter[int]:
    """Number of boxes of each category id."""
    return Counter(box["category_id"] for box in content["annotations"])


def _say(path: Path, side: SplitSide, raw: Entry, boxes: Counter[int]) -> None:
    num_images = len(side.content["images"])
    reached = 100 * num_images / len(raw["images"])
    print(
        f"wrote {path}: {num_images} images ({reached:.1f} %) in {side.num_groups} groups, "
        f"{boxes.total()} boxes"
    )
    if len(raw["categories"]) > 1:
        for category in raw["categories"]:
            print(f"  {category['name']}: {boxes[category['id']]} boxes")
