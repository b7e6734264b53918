"""`benchmark.py histogram`: what the object sizes of a COCO-size file cost, first and later."""

import argparse
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.coco_size_file import write_coco_size_file
from benchmarks.processes import measure_process
from scale_match.core.errors import InputError
from scale_match.storage.files import read_json, write_json

__all__ = ["add_parser"]

# Those of COCO's train2017, at which the targets hold.
_IMAGES, _BOXES = 118_000, 860_000
_CPU_TARGET, _MEMORY_TARGET, _CACHED_TARGET = 4.0, 1.0, 0.05  # seconds, 10^9 bytes, seconds
_CASES = ("histogram, first time", "histogram, cached", "msm policy, cached", "gsm policy, cached")

EPILOG = """
The file is generated, polygons included (447 MB at the default numbers). Each measurement is a
fresh process that builds the target's histogram, or a whole policy, from it: the first reads the
file and leaves the cache, the others read the cache. "call" is the call alone, "process" all of the
process with its start and imports.

example:
  python tools/benchmark.py histogram
"""

# The body of a measured process: the case, the annotation file, and where to write the figures.
_CALL = """
import json, pickle, resource, sys, time
from scale_match.storage.histograms import read_target_histogram
from scale_match.storage.policies import build_scale_policy

def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

case, path, output = sys.argv[1:]
started, cpu_started = time.perf_counter(), cpu()
kind = case.replace(",", "").split()[0]
if kind == "histogram":
    result = read_target_histogram(path)
    edges = result.edges
else:
    result = build_scale_policy(kind, target=path, source=path)
    edges = result.source_edges
figures = {
    "call_wall": time.perf_counter() - started,
    "call_cpu": cpu() - cpu_started,
    "pickled_bytes": len(pickle.dumps(result)),
    "edges": edges.tolist(),
}
with open(output, "w") as file:
    json.dump(figures, file)
"""


@dataclass(frozen=True)
class _Figures:
    """Of one case; the best of its repeats."""

    call_wall_seconds: float
    call_cpu_seconds: float
    process_cpu_seconds: float
    process_peak_gb: float
    pickled_bytes: int


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "histogram",
        help="CPU time and memory of the object sizes of a large file, first and cached",
        description="What Scale Match's histograms and policies of a COCO-size file cost.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=_positive, default=_IMAGES, help="(default %(default)s)")
    parser.add_argument("--boxes", type=_positive, default=_BOXES, help="(default %(default)s)")
    parser.add_argument(
        "--repeats", type=_positive, default=3, help="of which the best counts (default 3)"
    )
    parser.add_argument("--folder", type=Path, help="for the generated file (default: temporary)")
    parser.add_argument("--output", type=Path, metavar="JSON", help="also write the figures here")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "generated.json"
        write_coco_size_file(
            path,
            num_images=arguments.images,
            num_boxes=arguments.boxes,
            progress=partial(tqdm, desc="generate", unit="block", leave=False),
        )
        megabytes = path.stat().st_size / 1e6
        results = _measure(path, arguments.repeats)
    print(f"{arguments.boxes} boxes in {arguments.images} images, {megabytes:.0f} MB")
    print(f"{'':24}{'call s':>10}{'call CPU s':>12}{'process CPU s':>15}{'peak GB':>9}{'sent':>10}")
    for case, figures in results.items():
        print(
            f"{case:24}{figures.call_wall_seconds:10.3f}{figures.call_cpu_seconds:12.3f}"
            f"{figures.process_cpu_seconds:15.2f}{figures.process_peak_gb:9.2f}"
            f"{figures.pickled_bytes:8} B"
        )
    if (arguments.images, arguments.boxes) == (_IMAGES, _BOXES):
        print(
            f"targets: first time {_CPU_TARGET:g} s of CPU and {_MEMORY_TARGET:g} GB, later "
            f"{_CACHED_TARGET:g} s for the call"
        )
    if arguments.output is not None:
        figures_of = {case: asdict(figures) for case, figures in results.items()}
        write_json(arguments.output, {"file_mb": megabytes, **figures_of}, indent=1)


def _measure(path: Path, repeats: int) -> dict[str, _Figures]:
    """All cases; edges that differ between the first and a later call are an error."""
    cache = path.with_name(f".{path.name}.sizes.npz")
    results: dict[str, _Figures] = {}
    edges: dict[str, list[float]] = {}
    for case in tqdm(_CASES, desc="measure", unit="case", leave=False):
        runs = []
        for _ in range(repeats):
            if case == _CASES[0]:
                cache.unlink(missing_ok=True)
            figures, found = _one(case, path)
            if edges.setdefault(case.split(",")[0], found) != found:
                raise InputError(f"{case}: the cached sizes are others than those of {path}")
            runs.append(figures)
        results[case] = min(runs, key=lambda run: run.call_cpu_seconds)
    return results


def _one(case: str, path: Path) -> tuple[_Figures, list[float]]:
    output = path.with_name("figures.json")
    process = measure_process(["-c", _CALL, case, str(path), str(output)])
    call: dict[str, Any] = read_json(output)
    figures = _Figures(
        call["call_wall"],
        call["call_cpu"],
        process.cpu_seconds,
        process.peak_gb,
        call["pickled_bytes"],
    )
    return figures, call["edges"]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value
