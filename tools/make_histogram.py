"""Count the object sizes of an annotation file: the target of Scale Match in a few kilobytes."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.core.histogram_settings import HistogramSettings
from scale_match.storage.histograms import save_histogram
from scale_match.storage.object_sizes import read_object_sizes
from scale_match.storage.policies import given_mu_sigma

EPILOG = """
example:
  python tools/make_histogram.py --annotations tiny/train.json --output target.json

The file stands where an annotation file may: as SCALE_MATCH.TARGET of a config, with the same BINS,
LOG, EXCEPT_RATE and MU_SIGMA, and as --target of preview_scale_match.py. It has counts, edges (in
pixels), num_boxes, the settings, and name and SHA-256 hash of the source.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_histogram.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="JSON", help="COCO-format file to read"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="JSON", help="histogram to write"
    )
    parser.add_argument(
        "--bins", type=int, default=100, help="number of bins, head and tail included (default 100)"
    )
    parser.add_argument(
        "--log", action="store_true", help="inner bins of equal width in ln(size), not in pixels"
    )
    parser.add_argument(
        "--except-rate",
        type=float,
        metavar="R",
        help="share of the boxes in the head and the tail bin together; 0 is none (default 2/bins)",
    )
    parser.add_argument(
        "--mu-sigma",
        type=float,
        nargs=2,
        metavar=("M", "D"),
        help="move the sizes to mean M and standard deviation D, in pixels, before counting",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Count, write, and say what was counted."""
    args = _parser().parse_args(argv)
    source, output = args.annotations, args.output
    if output.resolve() == source.resolve():
        raise InputError(f"--output {output} must not be the file given as --annotations")
    rate = None if args.except_rate is None or args.except_rate < 0 else args.except_rate
    settings = HistogramSettings(args.bins, args.log, rate, given_mu_sigma(args.mu_sigma or ()))
    sizes = read_object_sizes(
        source, progress=partial(tqdm, desc="read", unit="block", leave=False)
    )
    try:
        histogram = settings.histogram(sizes.boxes)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    save_histogram(
        output,
        histogram,
        log=settings.log,
        except_rate=settings.except_rate,
        source=str(source),
        source_sha256=sizes.sha256,
        mu_sigma=settings.mu_sigma,
    )
    print(
        f"wrote {output}: {histogram.num_boxes} of {sizes.num_annotations} boxes in "
        f"{settings.bins} bins from {histogram.edges[0]:.4g} to {histogram.edges[-1]:.4g} pixels"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
