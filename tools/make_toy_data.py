"""Draw the toy data: a source set of large figures and a TinyPerson-like target of tiny ones."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.toy.dataset import ToySettings, write_toy_data


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, draw, and say what was written."""
    defaults = ToySettings()
    parser = argparse.ArgumentParser(prog="make_toy_data.py", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--source-images", type=int, default=defaults.source_images)
    parser.add_argument("--target-train", type=int, default=defaults.target_train)
    parser.add_argument("--target-test", type=int, default=defaults.target_test)
    args = parser.parse_args(argv)
    settings = ToySettings(args.seed, args.source_images, args.target_train, args.target_test)
    for name, toy_set in write_toy_data(args.output, settings).items():
        print(f"{name}: {toy_set.count} images, {toy_set.annotations}")


if __name__ == "__main__":
    sys.exit(run_tool(main))
