"""Detect in image files with a trained model; writes detections and pictures."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.engine.front_ends import front_end_of
from scale_match.engine.launch import check_device
from scale_match.engine.prediction_ids import ids_of_file
from scale_match.engine.prediction_run import named_images, predict_images

EXAMPLES = """
examples:
  python tools/predict.py --config-file output/mine/config.yaml \\
    --weights output/mine/model_final.pth --input photo.jpg more/ "*.png" --output found
  python tools/predict.py --config-file configs/quick/adap_retinanet_r18_fpn_quick_toy.py \\
    --weights model.pth --device cpu --input images/ --output found --opts tiles.batch_size=1
  to be scored against ground truth:
    python tools/predict.py --config-file output/mine/config.yaml \\
      --weights output/mine/model_final.pth --input test/ --annotations test.json \\
      --score-threshold 0 --output found
    python tools/evaluate.py --gt test.json --dt found/detections.json \\
      --protocol found/protocol.json --output scores.json

writes detections.json (COCO results), images.json (which image has which id), protocol.json (for
evaluate.py --protocol) and drawn/. Ids of images and categories count from 1, in the order of the
images and of the classes, and are no annotation file's ids, unless --annotations names one. Exit
code 2 and one sentence: something in the input is wrong.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config-file", type=Path, required=True, help=".yaml (yacs) or .py (Lazy)"
    )
    parser.add_argument("--weights", help="weight file; by default the config's")
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="PATH", help="files, folders, or patterns"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="JSON",
        help="COCO file of whole images whose ids to write; images are found in it by their path "
        "below the --input folder, else by their name alone, and must all be there",
    )
    parser.add_argument(
        "--score-threshold", type=float, default=0.05, help="least score written (default 0.05)"
    )
    parser.add_argument(
        "--draw-threshold", type=float, default=0.3, help="least score drawn (default 0.3)"
    )
    parser.add_argument("--device", help="cpu or cuda; by default the config's")
    parser.add_argument(
        "--strict", action="store_true", help="stop at an image that cannot be read"
    )
    parser.add_argument(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        help="config overrides: KEY VALUE pairs (yacs) or path.key=value (Lazy); come last",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, predict, and say what was found."""
    args = _parser().parse_args(argv)
    if args.device is not None:
        check_device(args.device, key="--device cpu")
    front_end = front_end_of(args.config_file)
    cfg = front_end.load(args.config_file, args.opts)
    images = named_images(args.input)
    ids = None if args.annotations is None else ids_of_file(args.annotations, images)
    predictor = front_end.predictor(front_end.with_settings(cfg, args.weights, args.device))
    if ids is not None:
        ids.check_classes(predictor.num_classes)
    summary = predict_images(
        predictor,
        list(images),
        args.output,
        min_score=args.score_threshold,
        min_score_drawn=args.draw_threshold,
        strict=args.strict,
        image_ids=None if ids is None else ids.images,
        category_ids=None if ids is None else ids.categories,
    )
    if ids is not None and summary.num_images < ids.num_listed:
        print(
            f"note: detections of {summary.num_images} of the {ids.num_listed} images of "
            f"{args.annotations}; a score counts the objects of the others as missed"
        )
    print(
        f"{summary.num_detections} detections in {summary.num_images} images, "
        f"{len(summary.unreadable)} images left out: {args.output}"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))
