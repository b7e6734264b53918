"""Write the weights of a checkpoint alone: the hand-over from one training to another."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.engine.weight_extraction import Part, extract_weights, model_of_config

EXAMPLES = """
reads checkpoints of this project, of detectron2 and its zoo, of mmdetection and maskrcnn_benchmark
(with their order of anchors and classes), and torchvision's ResNets; see docs/weights.md.

examples:
  the weights of a training without its optimizer:
    python tools/extract_weights.py output/coco/model_final.pth coco.pth
  without the layers that depend on the number of classes:
    ... output/coco/model_final.pth coco.pth --without-classes
  checked against the model that will take them:
    ... epoch_12.pth tiny.pth --config configs/tiny_person/adap_retinanet_r50_fpn_1x_tinyperson.yaml
  ... and only what fits, for a model with other anchors:
    ... model.pth start.pth --config mine.yaml --reset-head

Exit code 2 and one sentence: something in the input is wrong.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="extract_weights.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="INPUT", help="a checkpoint or weight file, or an address")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="the .pth file to write")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="write what the model of this config takes"
    )
    parser.add_argument(
        "--reset-head",
        action="store_true",
        help="with --config: leave out what of pyramid and head does not fit, and list it",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--without-classes",
        action="store_true",
        help="leave out the layers that depend on the number of classes",
    )
    part.add_argument(
        "--without-head", action="store_true", help="leave out everything but ResNet and pyramid"
    )
    parser.add_argument(
        "--ema", action="store_true", help="take the moving average that the training kept"
    )
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        help="overrides of --config: KEY VALUE pairs (yacs) or path.key=value (Lazy); come last",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, write the file, and say what became of the input."""
    args = _parser().parse_args(argv)
    if args.config is None and (args.reset_head or args.opts):
        raise InputError("--reset-head and --opts are about a model: name it with --config")
    part: Part = "all"
    if args.without_classes:
        part = "without classes"
    elif args.without_head:
        part = "backbone"
    found = extract_weights(
        args.input,
        args.output,
        model=None if args.config is None else model_of_config(args.config, args.opts),
        reset_head=args.reset_head,
        part=part,
        average=args.ema,
    )
    print(found.report)
    print(
        f"{args.output}: {found.parameters} parameters and buffers, "
        f"{found.bytes_after / 1e6:.1f} MB (the input has {found.bytes_before / 1e6:.1f} MB)"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
