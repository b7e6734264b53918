"""Draw what a training sees: its first samples, augmented, with boxes and ignore regions."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.engine.front_ends import front_end_of
from scale_match.engine.sample_preview import preview_samples
from scale_match.report.sample_sheet import draw_sample_sheet

EPILOG = """
examples:
  python tools/preview_samples.py --config-file found/mine.yaml --output samples.png \\
    SCALE_MATCH.AUGMENT.CROP_SIZE "[512,640]"
  python tools/preview_samples.py --config-file configs/quick/adap_retinanet_r18_fpn_quick_toy.py \\
    --num 4 --output samples.png dataloader.train.annotations=mine/train.json \\
    dataloader.train.images=mine/train

The samples are those of a training with this config and seed (0, if it has none), in order. No
model is built, no weights are needed, and OUTPUT_DIR is not touched. Exit code 2 and one sentence:
something in the input is wrong.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="preview_samples.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file", type=Path, required=True, help=".yaml (yacs) or .py (Lazy)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="OUT.png", help=".png or .jpg to write"
    )
    parser.add_argument("--num", type=int, default=6, help="samples (default %(default)s)")
    parser.add_argument(
        "--iteration", type=int, default=0, help="of the training, from 0 (default %(default)s)"
    )
    parser.add_argument(
        "--columns", type=int, default=2, help="samples in a row (default %(default)s)"
    )
    parser.add_argument(
        "--cell",
        type=int,
        default=640,
        metavar="PX",
        help="width of a sample: narrower ones are enlarged by a whole factor, wider ones reduced "
        "(default %(default)s)",
    )
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        default=[],
        help="config overrides: KEY VALUE pairs (yacs) or path.key=value (Lazy); come last",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Load the samples, draw them, and say what is in them."""
    args = _parser().parse_args(argv)
    cfg = front_end_of(args.config_file).load(args.config_file, args.opts)
    progress = partial(tqdm, desc="samples", unit="sample", total=args.num, leave=False)
    series = preview_samples(cfg, args.num, iteration=args.iteration, progress=progress)
    draw_sample_sheet(series.views, args.output, columns=args.columns, cell=args.cell)
    sizes = series.sizes
    regions = sum(len(view.regions) for view in series.views)
    print(f"{len(series.views)} samples from iteration {args.iteration} on, seed {series.seed}")
    print(f"{len(sizes)} boxes to train on, {regions} regions without background loss")
    if len(sizes):
        low, middle, high = np.quantile(sizes, [0.05, 0.5, 0.95])
        print(f"sizes: 5 % under {low:.1f} px, half under {middle:.1f} px, 5 % over {high:.1f} px")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    sys.exit(run_tool(main))
