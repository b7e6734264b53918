"""Pretrain on a source of large objects, fine-tune on tiles of a target of tiny ones, evaluate.

What is done is not done again: a second call with the same settings skips finished stages, and a
training that was killed goes on from its last checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.engine.command_line import NO_PREFLIGHT_HELP, RESET_HEAD_HELP
from scale_match.engine.transfer import run_transfer
from scale_match.engine.transfer_report import RESULTS_FILE, results_table
from scale_match.engine.transfer_settings import (
    POLICIES,
    CocoFiles,
    TransferSettings,
    find_config,
)

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, run what is not done yet, and print the table."""
    args = _parser().parse_args(argv)
    if (args.test_annotations is None) != (args.test_images is None):
        raise InputError("--test-annotations and --test-images go together: one of them is missing")
    test = None
    if args.test_annotations is not None:
        test = CocoFiles(args.test_annotations, args.test_images)
    pretrain = args.pretrain_config
    settings = TransferSettings(
        source=CocoFiles(args.source_annotations, args.source_images),
        target=CocoFiles(args.target_annotations, args.target_images),
        output=args.output,
        config=find_config(args.config, [CONFIGS]),
        test=test,
        pretrain_config=None if pretrain is None else find_config(pretrain, [CONFIGS]),
        policy=args.policy,
        scratch=args.scratch,
        seed=args.seed,
        device=args.device,
        num_gpus=args.num_gpus,
        tile=tuple(args.tile),
        pretrain_steps=args.pretrain_steps,
        finetune_steps=args.finetune_steps,
        reset_head=args.reset_head,
        preflight=not args.no_preflight,
        opts=tuple(args.opts),
    )
    print(results_table(run_transfer(settings)))
    print(f"all of it: {settings.output / RESULTS_FILE}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="transfer.py", description=__doc__)
    data = parser.add_argument_group("data, COCO format")
    for name, what in (
        ("source", "whole images to pretrain on"),
        ("target", "whole images to fine-tune on in tiles; their sizes are Scale Match's target"),
        ("test", "whole images to evaluate on (nothing is evaluated without them)"),
    ):
        required = name != "test"
        data.add_argument(
            f"--{name}-annotations", type=Path, required=required, metavar="JSON", help=what
        )
        data.add_argument(
            f"--{name}-images", type=Path, required=required, metavar="DIR", help="their folder"
        )
    _add_training_options(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="config overrides for both trainings, at the end",
    )
    return parser


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    training = parser.add_argument_group("training")
    training.add_argument(
        "--config",
        required=True,
        metavar="NAME",
        help="yaml of detector and fine-tuning: a path, or a name below configs/",
    )
    training.add_argument(
        "--pretrain-config",
        metavar="NAME",
        help="yaml of the pretraining of the same detector (default: that of --config)",
    )
    training.add_argument(
        "--policy",
        choices=POLICIES,
        help="how the pretraining gets objects of the target's sizes: Scale Match (sm, msm, gsm), "
        "exact_tile or mosaic (docs/data.md), or not at all (default: that of its config, else sm)",
    )
    training.add_argument(
        "--scratch",
        action="store_true",
        help="train a second time without the source, for as many fine-tuning steps",
    )
    training.add_argument("--reset-head", action="store_true", help=RESET_HEAD_HELP)
    training.add_argument("--no-preflight", action="store_true", help=NO_PREFLIGHT_HELP)
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--device", help="cpu or cuda (default: that of the configs)")
    training.add_argument("--num-gpus", type=int, default=1, help="processes, on a CPU too")
    training.add_argument(
        "--tile",
        type=int,
        nargs=2,
        default=(640, 512),
        metavar=("WIDTH", "HEIGHT"),
        help="tiles to fine-tune on, in pixels, whatever the config's TRAIN_TILES are (default: "
        "640 512)",
    )
    training.add_argument(
        "--pretrain-steps", type=int, metavar="N", help="instead of the config's schedule"
    )
    training.add_argument(
        "--finetune-steps", type=int, metavar="N", help="instead of the config's schedule"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
