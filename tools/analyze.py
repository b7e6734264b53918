"""The data doctor: what is in an annotation file, what is wrong with it, how to train on it."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.core.data_advice import BACKBONES
from scale_match.core.errors import InputError
from scale_match.engine.data_doctor import (
    DoctorSettings,
    check_strict,
    diagnose,
    write_advised_config,
)
from scale_match.report.advised_config import ConfigFiles
from scale_match.report.data_examples import plot_examples
from scale_match.report.data_plots import plot_data_set
from scale_match.report.data_report import data_report
from scale_match.storage.files import write_json

CONFIGS = Path(__file__).resolve().parents[1] / "configs"

EPILOG = """
examples:
  python tools/analyze.py --annotations mine/train.json
  python tools/analyze.py --annotations mine/train.json --images mine/train --plot found/ \\
    --json found/analysis.json --write-config found/mine.yaml
  python tools/train_net.py --config-file found/mine.yaml

Problems are listed, all of them; the exit code is 0 unless --strict is given. A file that is no
annotation file at all gives exit code 2 and one sentence.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="analyze.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="JSON", help="COCO-format file, or tiles"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="image folder; every file is looked at"
    )
    parser.add_argument(
        "--verify", action="store_true", help="decode the images, not only read their headers"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything found as JSON")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="DIR",
        help="draw DIR/overview.png; with --images DIR/examples.png, too",
    )
    parser.add_argument(
        "--write-config",
        type=Path,
        metavar="FILE",
        help="write the advice as a .yaml for tools/train_net.py, or a .py for "
        "tools/lazyconfig_train_net.py; needs --images",
    )
    parser.add_argument(
        "--test-annotations", type=Path, metavar="JSON", help="what the config tests on"
    )
    parser.add_argument("--test-images", type=Path, metavar="DIR", help="its image folder")
    parser.add_argument(
        "--backbone",
        choices=sorted(BACKBONES),
        default="r50",
        help="for memory and config: r50 (GPU) or r18 (small, CPU); default r50",
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="JSON",
        help="what Scale Match would pretrain on; by default COCO's mean size stands for it",
    )
    parser.add_argument(
        "--strict", action="store_true", help="any problem is an error; nothing is written then"
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Look, report, write."""
    args = _parser().parse_args(argv)
    _check_options(args)
    settings = DoctorSettings(
        args.annotations, args.images, args.verify, args.source, args.backbone
    )
    bar = partial(tqdm, desc="images", unit="file", leave=False)
    found = diagnose(settings, progress=bar)
    diagnosis = found.diagnosis
    print(data_report(diagnosis), end="")
    if args.strict:
        check_strict(diagnosis)
    written: list[Path] = []
    if args.write_config is not None:
        files = ConfigFiles(
            CONFIGS, args.annotations, args.images, args.test_annotations, args.test_images
        )
        write_advised_config(diagnosis, files, args.write_config)
        written.append(args.write_config)
    if args.plot is not None and diagnosis.advice is None:
        print("\nno plot: there is no object to draw")
    elif args.plot is not None and diagnosis.advice is not None:
        overview, examples = args.plot / "overview.png", args.plot / "examples.png"
        title = args.annotations.name
        plot_data_set(found.objects, diagnosis.summary, diagnosis.advice, title, overview)
        written.append(overview)
        if args.images is not None:
            plot_examples(found.objects, found.images, args.images, examples)
            written.append(examples)
    if args.json is not None:
        write_json(args.json, diagnosis.as_json(), indent=1)
        written.append(args.json)
    if written:
        print("\nwrote " + ", ".join(str(path) for path in written))


def _check_options(args: argparse.Namespace) -> None:
    if args.write_config is not None and args.images is None:
        raise InputError("--write-config needs --images, the folder that the config will name")
    if bool(args.test_annotations) != bool(args.test_images):
        raise InputError("--test-annotations and --test-images go together: a test set needs both")
    if args.verify and args.images is None:
        raise InputError("--verify needs --images, the folder of the files to decode")
    for name in ("json", "write_config"):
        output = getattr(args, name)
        if output is not None and output.resolve() == args.annotations.resolve():
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {output} must not be the file given as --annotations")


if __name__ == "__main__":
    sys.exit(run_tool(main))
