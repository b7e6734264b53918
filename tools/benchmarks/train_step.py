"""`benchmark.py train-step`: a training step with detectron2's matching, and with ours."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.processes import check_is_there, measure_process
from scale_match.core.errors import InputError
from scale_match.storage.files import write_json

__all__ = ["add_parser"]

_MODELS = ("retinanet", "faster_rcnn", "fcos")
# FCOS of detectron2 assigns its locations by other rules: there is nothing to compare with.
_WITHOUT_STOCK = ("fcos",)
_BOXES = (20, 1000)
_SIZE = (640, 512)  # a tile of TinyPerson
_PARTS = ("forward", "targets", "backward", "optimizer")
_CALL = Path(__file__).with_name("measured_train_step.py")

EPILOG = """
R-50 from random weights on an image of noise with boxes of 2 to 20 px. Each measurement is a fresh
process; a first step with one box, which also sets up buffers, is not timed. "targets" is the
matching, "forward" all else up to the losses. On a CPU the seconds are those of the processor, so
that a shared machine disturbs less, and memory is the peak above what the process had with the
model; on a GPU they are wall-clock seconds, and memory is what torch allocated at most. With 1000
boxes detectron2's matching needs 6 GB.

examples:
  python tools/benchmark.py train-step
  python tools/benchmark.py train-step --model faster_rcnn --boxes 1000 --output step.json
  python tools/benchmark.py train-step --device cuda --batch 2 --repeats 10
"""


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "train-step",
        help="time and memory of a training step, with detectron2's matching and with ours",
        description="What a training step of an R-50 detector costs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=_MODELS, default=_MODELS[0], help="(default: retinanet)")
    parser.add_argument(
        "--boxes",
        type=int,
        nargs="+",
        default=list(_BOXES),
        metavar="N",
        help="numbers per image (default: 20 1000)",
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=_SIZE, metavar=("W", "H"), help="(default: 640 512)"
    )
    parser.add_argument("--batch", type=int, default=1, help="images (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--repeats", type=int, default=1, help="timed steps, the best counts (default %(default)s)"
    )
    parser.add_argument(
        "--depth", type=int, choices=(18, 50), default=50, help="of the ResNet (default 50)"
    )
    parser.add_argument("--output", type=Path, metavar="JSON", help="also write the figures here")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    if min(*arguments.boxes, *arguments.size, arguments.batch, arguments.repeats) < 1:
        raise InputError("--boxes, --size, --batch and --repeats need positive numbers")
    check_is_there(arguments.device)
    kinds = ("ours",) if arguments.model in _WITHOUT_STOCK else ("detectron2", "ours")
    jobs = [(number, kind) for number in arguments.boxes for kind in kinds]
    figures: dict[int, dict[str, Any]] = {number: {} for number in arguments.boxes}
    for number, kind in tqdm(jobs, desc="train-step", unit="process", leave=False):
        figures[number][kind] = _measure(kind, number, arguments)
    one = figures[arguments.boxes[0]]["ours"]
    width, height = arguments.size
    print(
        f"{arguments.model}, R-{arguments.depth}, {arguments.batch} x {width}x{height}, "
        f"{one['device']}, {one['threads']} threads"
    )
    print(" boxes  matching    " + "".join(f"{name:>10}" for name in (*_PARTS, "step s", "GB")))
    for number, by_kind in figures.items():
        for kind, found in by_kind.items():
            seconds = found["seconds"]
            values = [*(seconds[part] for part in _PARTS), sum(seconds.values())]
            columns = "".join(f"{value:10.3f}" for value in values)
            print(f"{number:6}  {kind:<12}{columns}{found['peak_bytes'] / 1e9:10.2f}")
        if len(by_kind) > 1:
            print(f"{number:6}  {_ratios(by_kind)}")
    if arguments.output is not None:
        write_json(arguments.output, {str(key): pair for key, pair in figures.items()}, indent=1)


def _ratios(by_kind: dict[str, Any]) -> str:
    """What ours saves, in words."""
    theirs, ours = by_kind["detectron2"], by_kind["ours"]
    step = sum(theirs["seconds"].values()) / max(sum(ours["seconds"].values()), 1e-9)
    targets = theirs["seconds"]["targets"] / max(ours["seconds"]["targets"], 1e-9)
    memory = theirs["peak_bytes"] / max(ours["peak_bytes"], 1)
    return (
        f"detectron2 / ours: step {step:.2f} times, targets {targets:.0f} times, "
        f"memory {memory:.2f} times"
    )


def _measure(kind: str, number: int, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        words = [
            arguments.model,
            kind,
            number,
            arguments.batch,
            *arguments.size,
            arguments.repeats,
            arguments.depth,
            arguments.device,
            output,
        ]
        measure_process([str(_CALL), *map(str, words)])
        figures: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return figures
