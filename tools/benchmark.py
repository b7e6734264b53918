"""Measure how fast the package is, by subcommands, each with its targets.

Run with `--help` after a subcommand for its options.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmarks import (
    bootstrap,
    distribution,
    evaluate,
    histogram,
    loader,
    mapper,
    matching,
    train_step,
)

from scale_match.cli import run_tool


def main(argv: Sequence[str]) -> None:
    """Run the subcommand that the arguments name."""
    arguments = _parser().parse_args(argv)
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmark.py", description=__doc__)
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    distribution.add_parser(subcommands)
    evaluate.add_parser(subcommands)
    bootstrap.add_parser(subcommands)
    histogram.add_parser(subcommands)
    matching.add_parser(subcommands)
    train_step.add_parser(subcommands)
    mapper.add_parser(subcommands)
    loader.add_parser(subcommands)
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(main))
