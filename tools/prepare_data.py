"""Prepare data for training: erase, cut, select, shrink, merge, split and convert.

Run with `--help` after a subcommand for its options and an example. Output is written whole or not
at all, images before the annotation file; a run that was stopped goes on where it stopped.
"""

import argparse
import sys
from collections.abc import Sequence

from prepare import convert, dense, erase, merge, shrink, split, tasks, tile, tinyperson

from scale_match.cli import run_tool


def main(argv: Sequence[str]) -> None:
    """Run the subcommand that the arguments name."""
    arguments = _parser().parse_args(argv)
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prepare_data.py",
        description=__doc__,
        epilog="example:\n  python tools/prepare_data.py tinyperson --root /data/tiny_set",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for subcommand in (erase, tile, tasks, dense, shrink, merge, split, convert, tinyperson):
        subcommand.add_to(subcommands)
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(main))
