"""Score detections against ground truth: AP and AR for tiny objects, miss rate, COCO's numbers."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scale_match.cli import run_tool
from scale_match.core.average_precision import IOU_THRESHOLDS, MAX_DETS
from scale_match.core.errors import InputError
from scale_match.scoring.files import write_scores
from scale_match.scoring.inputs import MERGE_RULES, ScoringInputs, load_inputs
from scale_match.scoring.protocol_files import read_protocol
from scale_match.scoring.scores import Scores, ScoringOptions, score
from scale_match.scoring.standards import load_standard
from scale_match.scoring.tables import interval_tables, score_tables

EXAMPLES = """
examples:
  python tools/evaluate.py --gt gt.json --dt dt.json --output scores.json
  the detections of a training, with what its model says of itself:
    python tools/evaluate.py --gt test.json \\
      --dt output/mine/inference/coco_instances_results.json \\
      --protocol output/mine/inference/protocol.json --output scores.json
  detections on tiles, merged first; confidence intervals and kinds of errors:
    python tools/evaluate.py --gt gt.json --dt dt_tiles.json.gz --tiles corner_gt.json \\
      --bootstrap 1000 --errors --output scores.json
  other limits and IoUs; own size ranges:
    python tools/evaluate.py --gt gt.json --dt dt.json --max-dets 1000 --iou 0.5 0.6 \\
      --standard my.yaml --no-miss-rate --output scores.json

Files hold fractions, tables show them x100; -1 means that there is nothing to measure. All input
files may be packed by gzip. docs/metrics.md explains every number.
Exit code 2 and one sentence: something in the input is wrong, and nothing is written.
"""

_DEFAULT_MERGE = MERGE_RULES[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(parser)
    _add_settings(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gt", type=Path, required=True, metavar="FILE", help="ground truth, COCO format"
    )
    parser.add_argument(
        "--dt", type=Path, required=True, metavar="FILE", help="detections, COCO results"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="scores file to write"
    )
    parser.add_argument(
        "--tiles",
        type=Path,
        metavar="FILE",
        help='tile ("corner") file: the detections are of its tiles and are merged first; '
        "--gt stays the ground truth of the whole images",
    )
    parser.add_argument(
        "--merge",
        choices=MERGE_RULES,
        help=f"with --tiles: NMS over all or within each category (default {_DEFAULT_MERGE})",
    )
    parser.add_argument(
        "--protocol",
        type=Path,
        metavar="FILE",
        help="protocol.json of trainer, predict.py or sweep.py: what only the model knows",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--standard",
        default="tiny",
        metavar="NAME",
        help="tiny (default), coco (adds pycocotools' twelve numbers), or a .yaml file with own "
        "size ranges",
    )
    parser.add_argument(
        "--max-dets",
        type=int,
        nargs="+",
        metavar="N",
        help="detections per image and category; in the scores file the first is that of the keys "
        "AP and AR, each further one gives AP_maxDets<N>; tables show the largest first (default: "
        "the standard's, else 200 1000)",
    )
    parser.add_argument(
        "--iou",
        type=float,
        nargs="+",
        metavar="T",
        help="IoU thresholds of AP, AR and miss rate (default: the standard's, else 0.25 0.5 0.75)",
    )
    parser.add_argument("--no-miss-rate", action="store_true", help="leave the miss rate out")
    parser.add_argument("--per-category", action="store_true", help="values of each category, too")
    parser.add_argument(
        "--reference-bugs",
        action="store_true",
        help="repeat the plain errors of the authors' code (annotation id 0)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        metavar="N",
        help="confidence intervals from N resamples of the images (1000 is usual)",
    )
    parser.add_argument(
        "--seed", type=int, help="of the resampling; with --bootstrap only (default 0)"
    )
    parser.add_argument(
        "--errors",
        action="store_true",
        help="kinds of errors, and what AP would be without each of them",
    )


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, score, write, and show."""
    begin = time.perf_counter()
    args = _parser().parse_args(argv)
    _check(args)
    options = _options(args)
    model_protocol = read_protocol(args.protocol) if args.protocol else None
    inputs = load_inputs(args.gt, args.dt, tiles=args.tiles, merge=args.merge or _DEFAULT_MERGE)
    scores = score(inputs, options, model_protocol)
    blocks = _blocks(scores, args)
    write_scores(args.output, scores, blocks)
    _show(scores)
    _show_blocks(blocks, options.max_dets)
    _show_notes(scores)
    print(f"{time.perf_counter() - begin:.1f} s, written: {args.output}")


def _check(args: argparse.Namespace) -> None:
    """What argparse cannot say, and what would only be found after the work.

    Raises:
        InputError: An option cannot be used.
    """
    if args.merge and not args.tiles:
        raise InputError(f"--merge {args.merge} needs --tiles: there is nothing to merge")
    if args.seed is not None and args.bootstrap is None:
        raise InputError(f"--seed {args.seed} needs --bootstrap: nothing else is drawn")
    if args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name the file to write")
    for name in ("gt", "dt", "tiles", "protocol", "standard"):
        given = getattr(args, name)
        if given and Path(given).resolve() == args.output.resolve():
            raise InputError(f"--output {args.output} is the file of --{name}")


def _options(args: argparse.Namespace) -> ScoringOptions:
    standard = load_standard(args.standard)
    return ScoringOptions(
        standard=standard,
        max_dets=tuple(args.max_dets or standard.max_dets or MAX_DETS),
        iou_thresholds=tuple(args.iou or standard.iou_thresholds or IOU_THRESHOLDS),
        miss_rate=not args.no_miss_rate,
        per_category=args.per_category,
        reference_bugs=args.reference_bugs,
    )


def _blocks(scores: Scores, args: argparse.Namespace) -> dict[str, Any]:
    """Further keys of the scores file, whose code is loaded only when they are wanted."""
    blocks: dict[str, Any] = {}
    if args.bootstrap is not None:
        from tqdm import tqdm

        from scale_match.scoring.uncertainty import bootstrap_block

        progress = partial(tqdm, desc="bootstrap", unit="value", leave=False)
        seed = args.seed or 0
        blocks["bootstrap"] = bootstrap_block(scores, args.bootstrap, seed, progress=progress)
    if args.errors:
        from scale_match.scoring.errors import error_block, ladder_block

        blocks |= {"errors": error_block(scores), "ladder": ladder_block(scores)}
    return blocks


def _show(scores: Scores) -> None:
    print(_counted(scores.inputs))
    for table in score_tables(scores):
        print(f"\n{table.plain()}")


def _show_blocks(blocks: Mapping[str, Any], max_dets: Sequence[int]) -> None:
    if "bootstrap" in blocks:
        for table in interval_tables(blocks["bootstrap"], max_dets):
            print(f"\n{table.plain()}")
    if "errors" in blocks:
        from scale_match.scoring.errors import explanation_text

        print(f"\n{explanation_text(blocks['errors'], blocks['ladder'])}")


def _show_notes(scores: Scores) -> None:
    unknown = [name for name, value in scores.protocol.entries.items() if value is None]
    print(f"\nprotocol {scores.protocol.hash[:12]}", end="")
    print(f"; not given: {', '.join(unknown)}" if unknown else "")
    for warning in scores.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _counted(inputs: ScoringInputs) -> str:
    images, boxes = len(inputs.annotations.images), len(inputs.annotations.table)
    text = f"{images} images, {boxes} ground truths, {len(inputs.detections)} detections"
    if inputs.tile_detections is None:
        return text
    return f"{text} merged ({inputs.merge}) from {len(inputs.tile_detections)} on tiles"


if __name__ == "__main__":
    sys.exit(run_tool(main))
