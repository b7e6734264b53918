"""`benchmark.py evaluate`: what tools/evaluate.py needs, and that a plain reference agrees."""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.generated_input import write_generated_input
from benchmarks.plain_reference import REFERENCES
from benchmarks.processes import Measurement, measure_process
from scale_match.core.errors import InputError
from scale_match.storage.files import read_json, write_json

__all__ = ["add_parser", "largest_difference"]

_TOOLS = Path(__file__).resolve().parent.parent
_ORACLES = _TOOLS.parent / "tests" / "oracles"

# The size of TinyPerson's test set, at which the targets hold.
_IMAGES, _OBJECTS, _DETECTIONS = 786, 18_600, 1000
_CPU_TARGET, _MEMORY_TARGET = 6.0, 0.7  # seconds, 10^9 bytes
_TOLERANCE = 1e-9

EPILOG = """
Input is generated and measured at three sizes: a part, on which the plain loops of tests/oracles
are run as well and have to give the same values; the whole, the size of TinyPerson's test set; and
a multiple of it, which shows the growth. Each measurement is a fresh run of tools/evaluate.py:
start, loading, AP and AR at 200 and 1000 detections, miss rate, writing. The multiple needs 1.2 GB
of disk and 3 GB of memory; all takes a few minutes.

examples:
  python tools/benchmark.py evaluate
  python tools/benchmark.py evaluate --multiple 1 --no-reference --repeats 1
"""


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "evaluate",
        help="CPU time and memory of scoring detections",
        description="CPU seconds and peak memory of scoring generated detections.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=_positive, default=_IMAGES, help="(default %(default)s)")
    parser.add_argument(
        "--objects", type=_positive, default=_OBJECTS, help="in all images (default %(default)s)"
    )
    parser.add_argument(
        "--detections",
        type=_positive,
        default=_DETECTIONS,
        help="in each image (default %(default)s)",
    )
    parser.add_argument(
        "--multiple",
        type=_positive,
        default=10,
        help="how many times the images the largest input has (default %(default)s; 1 leaves it "
        "out)",
    )
    parser.add_argument(
        "--part",
        type=_positive,
        default=20,
        help="the plain reference gets the images divided by this (default %(default)s)",
    )
    parser.add_argument(
        "--no-reference", action="store_true", help="do not run the plain reference"
    )
    parser.add_argument(
        "--repeats", type=_positive, default=3, help="runs, the least counts (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the input (default %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the figures, and write them if asked to.

    Raises:
        InputError: The reference is not there, or its values differ, or a run failed.
    """
    if not arguments.no_reference:
        _check_references()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        # The smallest first: the system counts this process's memory as that of the next one.
        if not arguments.no_reference:
            figures["reference"] = _against_reference(arguments, Path(temporary))
        figures["sizes"] = [
            _at_size(arguments, multiple, Path(temporary))
            for multiple in dict.fromkeys((1, arguments.multiple))
        ]
    _print_figures(figures, arguments)
    if arguments.output is not None:
        write_json(arguments.output, figures, indent=1)


def largest_difference(ours: Any, theirs: Any) -> float:  # noqa: ANN401 - numbers in dictionaries
    """Largest absolute difference between numbers of the same place.

    Args:
        ours: A number, or a dictionary of such values.
        theirs: Likewise; keys that only ``ours`` has are not looked at.

    Returns:
        Infinite if ``ours`` lacks a key.
    """
    if not isinstance(theirs, Mapping):
        return abs(float(ours) - float(theirs))
    return max(
        (
            largest_difference(ours[key], value) if key in ours else float("inf")
            for key, value in theirs.items()
        ),
        default=0.0,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _check_references() -> None:
    for name in REFERENCES:
        if not (_ORACLES / name).is_file():
            raise InputError(
                f"the plain reference {_ORACLES / name} is not there: run tools/benchmark.py from "
                "a checkout of the project, or with --no-reference"
            )


def _generate(
    arguments: argparse.Namespace, folder: Path, *, images: int, objects: int
) -> tuple[str, str]:
    paths = write_generated_input(
        folder,
        num_images=images,
        num_objects=objects,
        detections_per_image=arguments.detections,
        seed=arguments.seed,
        progress=partial(tqdm, desc=f"input of {images} images", unit="image", leave=False),
    )
    gt, dt = map(str, paths)
    return gt, dt


def _measure_tool(gt: str, dt: str, output: Path, repeats: int) -> Measurement:
    """The least of some runs of tools/evaluate.py."""
    command = [str(_TOOLS / "evaluate.py"), "--gt", gt, "--dt", dt, "--output", str(output)]
    runs = [
        measure_process(command)
        for _ in tqdm(range(repeats), desc="evaluate.py", unit="run", leave=False)
    ]
    return Measurement(min(r.cpu_seconds for r in runs), min(r.peak_gb for r in runs))


def _at_size(arguments: argparse.Namespace, multiple: int, folder: Path) -> dict[str, Any]:
    images = multiple * arguments.images
    gt, dt = _generate(arguments, folder, images=images, objects=multiple * arguments.objects)
    measured = _measure_tool(
        gt, dt, folder / "scores.json", arguments.repeats if multiple == 1 else 1
    )
    return {"images": images, "detections": images * arguments.detections} | asdict(measured)


def _against_reference(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    images = max(1, arguments.images // arguments.part)
    objects = max(1, arguments.objects // arguments.part)
    gt, dt = _generate(arguments, folder, images=images, objects=objects)
    ours = _measure_tool(gt, dt, folder / "ours.json", arguments.repeats)
    script = str(Path(__file__).with_name("plain_reference.py"))
    output = folder / "theirs.json"
    with tqdm(total=1, desc="plain reference", unit="run", leave=False):
        theirs = measure_process([script, str(_ORACLES), gt, dt, str(output)])
    difference = largest_difference(read_json(folder / "ours.json"), read_json(output))
    if not difference <= _TOLERANCE:
        raise InputError(
            f"tools/evaluate.py and the plain reference differ by {difference} on the generated "
            f"input of {images} images with seed {arguments.seed}; at most {_TOLERANCE} is rounding"
        )
    return {
        "images": images,
        "detections": images * arguments.detections,
        "largest_difference": difference,
        "ours": asdict(ours),
        "plain": asdict(theirs),
        "cpu_ratio": theirs.cpu_seconds / ours.cpu_seconds,
    }


def _print_figures(figures: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    print("tools/evaluate.py in a fresh process: start, loading, AP and AR at 200 and 1000, MR")
    print(f"{'images':>8} {'detections':>11} {'CPU seconds':>12} {'memory GB':>10}")
    for size in figures["sizes"]:
        print(
            f"{size['images']:8d} {size['detections']:11d} {size['cpu_seconds']:12.2f} "
            f"{size['peak_gb']:10.2f}"
        )
    first, *others = figures["sizes"]
    if (arguments.images, arguments.objects, arguments.detections) == (
        _IMAGES,
        _OBJECTS,
        _DETECTIONS,
    ):
        kept = first["cpu_seconds"] <= _CPU_TARGET and first["peak_gb"] <= _MEMORY_TARGET
        print(
            f"target for {_IMAGES} images: {_CPU_TARGET} s and {_MEMORY_TARGET} GB: "
            f"{'kept' if kept else 'NOT kept'}"
        )
    for size in others:
        growth = size["cpu_seconds"] / first["cpu_seconds"]
        print(f"{arguments.multiple} times the images: {growth:.1f} times the CPU seconds")
    if reference := figures.get("reference"):
        print(
            f"plain reference on {reference['images']} images: "
            f"{reference['plain']['cpu_seconds']:.1f} s of CPU, "
            f"{reference['cpu_ratio']:.0f} times ours of {reference['ours']['cpu_seconds']:.2f} s; "
            f"largest difference {reference['largest_difference']:.1e}"
        )
