"""`benchmark.py bootstrap`: what intervals of AP by resampling the images cost."""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.generated_input import write_generated_input
from scale_match.core.ap_result import ApResult
from scale_match.core.average_precision import evaluate_average_precision
from scale_match.core.bootstrap import bootstrap_average_precision
from scale_match.storage.annotations import read_annotations
from scale_match.storage.files import write_json
from scale_match.storage.results import read_detections

__all__ = ["add_parser"]

# The size of TinyPerson's test set, at which the targets hold.
_IMAGES, _OBJECTS, _DETECTIONS, _RESAMPLES = 786, 18_600, 1000, 1000
_ONE_TARGET, _ALL_TARGET = 3.0, 60.0  # seconds


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "bootstrap",
        help="time of bootstrap intervals of AP",
        description="CPU seconds of bootstrap intervals of AP over generated images, without "
        "loading and matching: AP50_tiny at the largest limit, and every AP at every limit.",
        epilog="example: python tools/benchmark.py bootstrap --output bootstrap.json",
    )
    for name, default in (
        ("images", _IMAGES),
        ("objects", _OBJECTS),
        ("detections", _DETECTIONS),
        ("resamples", _RESAMPLES),
    ):
        help_text = "in each image " if name == "detections" else ""
        parser.add_argument(
            f"--{name}", type=_positive, default=default, help=f"{help_text}(default %(default)s)"
        )
    parser.add_argument("--seed", type=int, default=0, help="of the input (default %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the figures, and write them if asked to."""
    result = _evaluated(arguments)
    draw = partial(
        bootstrap_average_precision, result, resamples=arguments.resamples, seed=arguments.seed
    )
    largest = max(result.max_dets)
    figures: dict[str, Any] = {
        "resamples": arguments.resamples,
        "AP50_tiny_cpu_seconds": _cpu_seconds(lambda: draw(keys=["tiny_50"], max_dets=largest)),
        "every_AP_cpu_seconds": sum(
            _cpu_seconds(partial(draw, max_dets=limit, progress=_progress(limit)))
            for limit in result.max_dets
        ),
        "peak_gb": _peak_gb(),
    }
    print(f"{arguments.resamples} resamples of {arguments.images} images, CPU seconds")
    print(f"AP50_tiny at maxDets {largest}: {figures['AP50_tiny_cpu_seconds']:.2f}")
    number = len(result.max_dets) * len(result.average_precision())
    print(f"all {number} AP: {figures['every_AP_cpu_seconds']:.2f}")
    print(f"memory of the process, loading and matching included: {figures['peak_gb']:.2f} GB")
    if _is_of_target_size(arguments):
        kept = (
            figures["AP50_tiny_cpu_seconds"] <= _ONE_TARGET
            and figures["every_AP_cpu_seconds"] <= _ALL_TARGET
        )
        print(f"targets {_ONE_TARGET:g} s and {_ALL_TARGET:g} s: {'kept' if kept else 'NOT kept'}")
    if arguments.output is not None:
        write_json(arguments.output, figures, indent=1)


def _evaluated(arguments: argparse.Namespace) -> ApResult:
    with tempfile.TemporaryDirectory() as folder:
        gt, dt = write_generated_input(
            Path(folder),
            num_images=arguments.images,
            num_objects=arguments.objects,
            detections_per_image=arguments.detections,
            seed=arguments.seed,
            progress=partial(tqdm, desc="input", unit="image", leave=False),
        )
        annotations = read_annotations(gt)
        return evaluate_average_precision(annotations, read_detections(dt, annotations))


def _cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _progress(limit: int) -> Callable[[Sequence[str]], Iterable[str]]:
    return partial(tqdm, desc=f"AP at maxDets {limit}", unit="value", leave=False)


def _peak_gb() -> float:
    """Largest memory of this process so far in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _is_of_target_size(arguments: argparse.Namespace) -> bool:
    sizes = (arguments.images, arguments.objects, arguments.detections, arguments.resamples)
    return sizes == (_IMAGES, _OBJECTS, _DETECTIONS, _RESAMPLES)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number
