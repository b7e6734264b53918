"""Show what Scale Match would do to a data set: scales, sizes, lost boxes. Nothing is trained."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.report.preview_run import PreviewSettings, run_preview
from scale_match.scoring.preview_summary import summary_lines

EPILOG = """
example:
  python tools/preview_scale_match.py --source large/train.json --target tiny/train.json \\
    --policy sm --json preview.json --images large/images --plot preview.png

OUT.json is a list with one object per source image, in file order: image_id, num_boxes (those that
count), src_size (geometric mean of their sizes in pixels; null without boxes), scale, size [height,
width], num_left, fallback (no box would have stayed, so --default-scale is used). OUT.summary.json,
beside it, has the distributions of source, target and result and their Kolmogorov-Smirnov
distances, which are printed, too. Scales are those of a training with this --seed in this --epoch.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="preview_scale_match.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--source", type=Path, required=True, metavar="JSON", help="images to be scaled, COCO form"
    )
    parser.add_argument(
        "--target",
        default="",
        metavar="JSON",
        help="whose object sizes to imitate: annotation file or saved histogram (gsm with "
        "--mu-sigma needs none)",
    )
    parser.add_argument(
        "--policy",
        required=True,
        choices=("sm", "msm", "gsm"),
        help="sampled, monotone or Gaussian Scale Match",
    )
    _add_target_options(parser)
    _add_scale_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the training (default 0)")
    parser.add_argument("--epoch", type=int, default=0, help="of the training (default 0)")
    parser.add_argument(
        "--json", type=Path, required=True, metavar="OUT.json", help="file to write"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="show some images in the plot")
    parser.add_argument(
        "--plot", type=Path, metavar="OUT.png", help="draw size histograms (.png, .svg or .pdf)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at an image that cannot be shown"
    )
    return parser


def _add_target_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the distribution to reach")
    group.add_argument(
        "--bins", type=int, help="bins (default: those of a saved histogram, else 100)"
    )
    group.add_argument(
        "--log", action="store_true", default=None, help="inner bins of equal width in ln(size)"
    )
    group.add_argument(
        "--except-rate",
        type=float,
        metavar="R",
        help="share of the boxes in the first and the last bin together (default 2/bins)",
    )
    group.add_argument(
        "--mu-sigma",
        type=float,
        nargs=2,
        metavar=("M", "D"),
        help="sm, msm: move the target's sizes to this mean and deviation in pixels; gsm: mean and "
        "deviation of ln(size in pixels), by default those of the target",
    )
    group.add_argument(
        "--normal-sample",
        default="",
        metavar="FILE",
        help="gsm: standard normal numbers to take the quantiles from (JSON list, text, or .npy); "
        "without it they are exact",
    )
    group.add_argument(
        "--min-size",
        type=float,
        default=-1.0,
        metavar="PX",
        help="gsm: sizes up to this, in pixels, are not aimed at (default: 1 with --normal-sample, "
        "as in the authors' code, else 0)",
    )
    group.add_argument(
        "--size-per",
        choices=("box", "image"),
        default="image",
        help="gsm: rank the sizes of the source's boxes, or one mean size per image (default)",
    )


def _add_scale_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the scale of an image")
    group.add_argument(
        "--scale-range",
        type=float,
        nargs=2,
        default=[0.1, 1.0],
        metavar=("LO", "HI"),
        help="least and greatest scale (default 0.1 1)",
    )
    group.add_argument(
        "--default-scale",
        type=float,
        default=0.25,
        help="scale of an image without boxes, or all of whose boxes would vanish (default 0.25)",
    )
    group.add_argument(
        "--max-tries", type=int, default=5, help="sm: draws until a scale is in range (default 5)"
    )
    group.add_argument(
        "--out-of-range",
        choices=("clip", "default"),
        default="clip",
        help="set other scales to the nearer end of the range, or to --default-scale",
    )


def main(argv: Sequence[str]) -> None:
    """Preview, write the files, and say what came out."""
    settings = PreviewSettings(**vars(_parser().parse_args(argv)))
    progress = partial(tqdm, desc="preview", unit="image", leave=False)
    outcome = run_preview(settings, progress=progress)
    for problem in outcome.problems:
        print(f"not shown: {problem}", file=sys.stderr)
    print("\n".join(summary_lines(outcome.summary)))
    if outcome.problems:
        print(f"{len(outcome.problems)} images could not be shown")
    print(f"wrote {', '.join(map(str, outcome.written))}")


if __name__ == "__main__":
    sys.exit(run_tool(main))
