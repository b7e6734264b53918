"""Write one self-contained HTML page about saved scores: numbers, curves, sizes, images."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.report.build import build_report
from scale_match.storage.files import write_text

EXAMPLES = """
examples:
  python tools/make_report.py output/mine/scores.json --images datasets/test --output report.html
  python tools/make_report.py ours.json theirs.json --bootstrap 1000 --output both.html

The scores files are those of tools/evaluate.py and of the trainers. The ground truth and detections
that they name are read again, so they must still be there, unchanged. The page loads nothing from
elsewhere; it can be mailed, printed, and read on a phone. Exit code 2 and one sentence: something
in the input is wrong, and no page was written.
"""

_Item = TypeVar("_Item")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_report.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scores", type=Path, nargs="+", metavar="SCORES", help="scores files, side by side"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="HTML", help="page to write")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images; no pictures without it"
    )
    parser.add_argument(
        "--worst", type=int, default=8, metavar="N", help="images to draw (default 8)"
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        metavar="N",
        help="intervals from N resamples of the images, drawn anew (default: those of the files)",
    )
    parser.add_argument(
        "--seed", type=int, help="of the resampling; with --bootstrap only (default 0)"
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="the AP that pictures, sizes and images are about, for example AP25_small_maxDets200;"
        " without a limit the largest (default AP50_tiny, or the first AP of all files)",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, build the page, write it whole."""
    args = _parser().parse_args(argv)
    if args.seed is not None and args.bootstrap is None:
        raise InputError(f"--seed {args.seed} needs --bootstrap: nothing else is drawn")
    if args.output.resolve() in [path.resolve() for path in args.scores]:
        raise InputError(f"--output {args.output} must not be one of the scores files")
    page, pictures = build_report(
        args.scores,
        images=args.images,
        worst=args.worst,
        metric=args.metric,
        resamples=args.bootstrap,
        seed=args.seed or 0,
        progress=_progress,
    )
    write_text(args.output, page)
    for sentence in pictures.left_out:
        print(f"left out: {sentence}")
    print(
        f"wrote {args.output}: {len(args.scores)} scores files, {len(pictures.drawn)} images "
        f"drawn, {len(page.encode()) / 1e6:.1f} MB"
    )


def _progress(stage: str, items: Sequence[_Item]) -> Iterable[_Item]:
    return tqdm(items, desc=stage, leave=False)


if __name__ == "__main__":
    sys.exit(run_tool(main))
