"""Try every combination of test-time settings of a trained detector in one pass of the model."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.engine.front_ends import front_end_of
from scale_match.engine.sweep import SWEEP_CSV, SWEEP_FILE, run_sweep
from scale_match.engine.sweep_settings import CROP, SweepSettings
from scale_match.inference.candidate_replay import NMS_TYPES

EXAMPLES = """
examples:
  the table of the authors' study, 36 rows:
    python tools/sweep.py --config-file output/mine/config.yaml \\
      --weights output/mine/model_final.pth --output output/mine/sweep
  which suppression, on other images, with a scores file for each row (for tools/compare.py):
    python tools/sweep.py --config-file output/mine/config.yaml \\
      --weights output/mine/model_final.pth --output output/mine/sweep_nms \\
      --crop yes --candidates 2000 --max-per-image 1000 --max-dets 1000 \\
      --nms class-aware class-agnostic --nms-threshold 0.4 0.5 0.6 \\
      --metric AP50_tiny AP50_tiny1 --write-scores \\
      --opts SCALE_MATCH.DATA.TEST_ANNOTATIONS val.json SCALE_MATCH.DATA.TEST_IMAGES images/val

The test set is the config's; --opts names another one. Run-time crop "yes": the candidates of all
tiles of an image are joined before one suppression and one limit. "no": every crop has its own, and
results are merged afterwards (suppression at 0.5, as tools/evaluate.py --tiles does).

writes to OUTPUT: candidates.npz (what the model proposed; a second call with the same weights,
config and images uses it and does not run the model), tiles.json, sweep.json, sweep.csv, and with
--write-scores rows/*/scores.json. Exit code 2 and one sentence: something in the input is wrong.
"""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, sweep, and print the table."""
    args = _parser().parse_args(argv)
    settings = SweepSettings(
        crop=tuple(args.crop),
        candidates=tuple(args.candidates),
        max_detections=tuple(args.max_per_image),
        max_dets=tuple(args.max_dets),
        nms=tuple(args.nms),
        nms_thresholds=tuple(args.nms_threshold),
        score_thresholds=tuple(args.score_threshold),
        metrics=tuple(args.metric),
    )
    front_end = front_end_of(args.config_file)
    cfg = front_end.load(args.config_file, args.opts)
    cfg = front_end.with_settings(cfg, args.weights, args.device)
    result = run_sweep(cfg, settings, args.output, scores=args.write_scores)
    print(result.note)
    print(result.table.plain())
    print(f"{len(result.rows)} rows: {args.output / SWEEP_FILE}, {args.output / SWEEP_CSV}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sweep.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file", type=Path, required=True, help=".yaml (yacs) or .py (Lazy)"
    )
    parser.add_argument("--weights", help="weight file; by default the config's")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--device", help="cpu or cuda; by default the config's")
    _add_settings(parser.add_argument_group("settings, each combined with each"))
    parser.add_argument(
        "--metric",
        nargs="+",
        default=["AP50_tiny"],
        help="columns of the table, as AP50_tiny, AR25_all, MR50_tiny (default: AP50_tiny); the "
        "files hold all AP and AR",
    )
    parser.add_argument(
        "--write-scores",
        action="store_true",
        help="write a scores file for each row, and its detections",
    )
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        help="config overrides: KEY VALUE pairs (yacs) or path.key=value (Lazy); come last",
    )
    return parser


def _add_settings(group: "argparse._ArgumentGroup") -> None:
    standard = SweepSettings()
    group.add_argument(
        "--crop",
        nargs="+",
        choices=CROP,
        default=standard.crop,
        help="run-time crop (default: both)",
    )
    for name, default, text in (
        ("--candidates", standard.candidates, "candidates per level and tile before suppression"),
        ("--max-per-image", standard.max_detections, "detections kept per image, or per crop"),
        ("--max-dets", standard.max_dets, "detections that the evaluation looks at"),
    ):
        group.add_argument(
            name,
            nargs="+",
            type=int,
            default=default,
            metavar="N",
            help=f"{text} (default: {' '.join(map(str, default))})",
        )
    group.add_argument(
        "--nms",
        nargs="+",
        choices=NMS_TYPES,
        default=standard.nms,
        help="whether boxes of different classes suppress each other (default: class-aware)",
    )
    group.add_argument(
        "--nms-threshold",
        nargs="+",
        type=float,
        default=standard.nms_thresholds,
        metavar="IOU",
        help="IoU above which the worse of two boxes goes (default: 0.5)",
    )
    group.add_argument(
        "--score-threshold",
        nargs="+",
        type=float,
        default=standard.score_thresholds,
        metavar="SCORE",
        help="only candidates of greater scores (default: the model's own)",
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
