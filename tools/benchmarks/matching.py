"""`benchmark.py matching`: labels of anchors from overlapping pairs, and from the whole matrix."""

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

_BOXES = (10, 100, 1000)
_SIZE = (640, 512)  # a tile of TinyPerson
_SPEED_TARGET, _MEMORY_TARGET = 50.0, 1 / 20  # at the largest of _BOXES
# What it is called here -> in the figures' heading.
_MODELS = {"retinanet": "Adap RetinaNet", "rpn": "RPN of Faster R-CNN"}

EPILOG = """
Boxes of 2 to 20 px on the anchors of Adap RetinaNet and of the first stage of Faster R-CNN (strides
4 to 64; nine and three anchors at a position, and each model's own rules). Each measurement is a
fresh process; time is the best of the repeats, memory the peak above what the process had before.
Both ways must give equal labels and indices, which is checked. With 1000 boxes detectron2 needs
6 GB for RetinaNet.

examples:
  python tools/benchmark.py matching
  python tools/benchmark.py matching --model rpn --device cuda --output matching.json
"""

# The body of a measured process.
_CALL = """
import hashlib, json, resource, sys, time
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, pairwise_iou
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.matcher import OverlapMatcher

model, kind, number, repeats, width, height, device, output = sys.argv[1:]
width, height, number = int(width), int(height), int(number)
levels = PyramidLevels(scales_per_octave=1 if model == "rpn" else 3)
generator = DefaultAnchorGenerator(
    sizes=[list(sizes) for sizes in levels.anchor_sizes],
    aspect_ratios=list(levels.aspect_ratios), strides=list(levels.strides), offset=0.0,
)
features = [torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in levels.strides]
anchors = [level.to(device) for level in generator(features)]
random = torch.Generator().manual_seed(0)
sides = 2 + 18 * torch.rand(number, 2, generator=random)
corners = torch.rand(number, 2, generator=random) * (torch.tensor([width, height]) - sides)
boxes = Boxes(torch.cat([corners, corners + sides], dim=1).to(device))
matcher = OverlapMatcher(
    [0.3, 0.7] if model == "rpn" else [0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True,
    min_low_quality_iou=0.3 if model == "rpn" else 0.0,
)
cell_anchors = [levels.num_anchors] * len(anchors)

def match():
    if kind == "pairs":
        return matcher.match_grid(anchors, cell_anchors, boxes)
    return matcher(pairwise_iou(boxes, Boxes.cat(anchors)))

def wait():
    if device != "cpu":
        torch.cuda.synchronize()

def peak():
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

OverlapMatcher([0.4, 0.5], [0, -1, 1]).match_grid(anchors, cell_anchors, boxes[:1])  # warm up
wait()
before, times = peak(), []
for _ in range(int(repeats)):
    started = time.perf_counter()
    matches, labels = match()
    wait()
    times.append(time.perf_counter() - started)
peak_bytes = peak() - before
values = matches.cpu().numpy().tobytes() + labels.cpu().numpy().tobytes()
figures = {
    "seconds": min(times),
    "peak_bytes": peak_bytes,
    "digest": hashlib.sha256(values).hexdigest(),
    "anchors": len(matches),
    "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
    "threads": torch.get_num_threads(),
}
with open(output, "w") as file:
    json.dump(figures, file)
"""


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "matching",
        help="time and memory of matching anchors to tiny boxes, against detectron2's way",
        description="What matching the anchors of a tile to ground truth costs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        nargs="+",
        choices=list(_MODELS),
        default=list(_MODELS),
        help="whose anchors and rules (default: both)",
    )
    parser.add_argument(
        "--boxes", type=int, nargs="+", default=list(_BOXES), help="numbers (default: 10 100 1000)"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=_SIZE, metavar=("W", "H"), help="(default: 640 512)"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--repeats", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, metavar="JSON", help="also write the figures here")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    if min(*arguments.boxes, arguments.repeats, *arguments.size) < 1:
        raise InputError("--boxes, --size and --repeats need positive numbers")
    check_is_there(arguments.device)
    figures = {model: _compare(model, arguments) for model in arguments.model}
    print(
        f"targets at 1000 boxes: {_SPEED_TARGET:g} times as fast, {_MEMORY_TARGET:g} of the memory"
    )
    if arguments.output is not None:
        write_json(arguments.output, figures, indent=1)


def _compare(model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways for each number of boxes and print the rows; the figures by number."""
    figures = {}
    for number in tqdm(arguments.boxes, desc=model, unit="number", leave=False):
        ours, theirs = (_measure(model, kind, number, arguments) for kind in ("pairs", "matrix"))
        if ours["digest"] != theirs["digest"]:
            raise InputError(f"with {number} boxes the two ways gave different labels")
        figures[number] = {"pairs": ours, "matrix": theirs}
    one = figures[arguments.boxes[0]]["pairs"]
    print(
        f"{_MODELS[model]}: {one['anchors']} anchors, {one['device']}, {one['threads']} threads; "
        "labels are equal"
    )
    print(" boxes  detectron2 s   ours s   times      GB  ours GB     part")
    for number, pair in figures.items():
        ours, theirs = pair["pairs"], pair["matrix"]
        print(
            f"{number:6}{theirs['seconds']:14.3f}{ours['seconds']:9.4f}"
            f"{theirs['seconds'] / ours['seconds']:8.0f}{theirs['peak_bytes'] / 1e9:8.2f}"
            f"{ours['peak_bytes'] / 1e9:9.3f}{_part(ours['peak_bytes'], theirs['peak_bytes']):>9}"
        )
    return {str(number): pair for number, pair in figures.items()}


def _part(ours: float, theirs: float) -> str:
    """Our share of their memory; few anchors may need less than the process had anyway."""
    return f"{ours / theirs:.3f}" if theirs else "-"


def _measure(model: str, kind: str, number: int, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        words = [model, kind, number, arguments.repeats if kind == "pairs" else 1, *arguments.size]
        measure_process(["-c", _CALL, *map(str, words), arguments.device, str(output)])
        figures: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return figures
