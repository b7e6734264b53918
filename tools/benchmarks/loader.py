"""`benchmark.py loader`: whether the loader keeps up with a model on tiles of large images."""

import argparse
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.drawn_photographs import photograph_dicts, write_drawn_photographs
from scale_match.storage.files import write_json

__all__ = ["add_parser"]

_TILE = (640, 512)  # (width, height) in pixels
_WARM_UP = 3  # batches

EPILOG = """
Each sample is a tile of 640x512 of a drawn JPEG (1920x1080 unless told otherwise). "free" takes
batches as fast as they come; "with a model" waits after each batch as long as a step of a model
takes, as a process that feeds a GPU does, and counts how long a next batch makes it wait. The limit
is what a tile costs in one process, when its image has to be decoded first and when that was done
for the tile before.

example:
  python tools/benchmark.py loader --workers 2 --batch 4 --step 0.3
"""


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "loader",
        help="images per second of the loader, on tiles, against a model's step",
        description="Whether loading keeps up with a model, and what limits it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, kind, default, text in (
        ("batch", _positive, 4, "tiles of a step"),
        ("workers", _count, 2, "loading processes; 0 loads in this one"),
        ("step", _seconds, 0.3, "seconds that the model takes"),
        ("steps", _positive, 30, "batches to take each time"),
        ("images", _positive, 8, "drawn images"),
        ("width", _width, 1920, "of the images"),
        ("height", _height, 1080, "of the images"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default %(default)s)"
        )
    parser.add_argument("--output", type=Path, metavar="JSON", help="also write the figures here")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print the figures, and write them if asked to."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_drawn_photographs(
            Path(folder),
            number=arguments.images,
            width=arguments.width,
            height=arguments.height,
            progress=partial(tqdm, desc="draw", unit="image", leave=False),
        )
        dicts = _tiles(photograph_dicts(paths))
        parts = _parts(dicts)
        free = _free_rate(arguments, dicts)
        waits = _waits(arguments, dicts)
    needed = arguments.batch / arguments.step
    # A step in which the next batch is ready waits for its transfer only.
    kept = float(np.mean(waits)) < 0.05 * arguments.step
    figures: dict[str, Any] = {
        "batch": arguments.batch,
        "workers": arguments.workers,
        "step_seconds": arguments.step,
        "images_per_second": free,
        "needed_images_per_second": needed,
        "mean_wait_seconds": float(np.mean(waits)),
        "longest_wait_seconds": float(np.max(waits)),
        "keeps_up": kept,
        "seconds_per_tile": parts,
    }
    print(f"free: {free:.0f} tiles/s, the model needs {needed:.1f}")
    print(
        f"with a model of {1000 * arguments.step:.0f} ms a step: waits of "
        f"{1000 * figures['mean_wait_seconds']:.1f} ms in the mean, "
        f"{1000 * figures['longest_wait_seconds']:.1f} ms at most: "
        f"{'it keeps up' if kept else 'it does NOT keep up'}"
    )
    first, next_ = (1000 * parts[name] for name in ("first", "next"))
    share = 1 - parts["next"] / parts["first"]
    print(
        f"in one process a tile takes {first:.1f} ms, and {next_:.1f} ms after another one of its "
        f"image: {100 * share:.0f} % is reading and decoding, which is "
        f"{'' if share > 0.5 else 'not '}the limit"
    )
    if arguments.output is not None:
        write_json(arguments.output, figures, indent=1)


def _tiles(dicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Four tiles, in the corners, of each image; the boxes stay those of the image."""
    tiles: list[dict[str, Any]] = []
    for entry in dicts:
        right, low = entry["width"] - _TILE[0], entry["height"] - _TILE[1]
        for x, y in ((0, 0), (right, 0), (0, low), (right, low)):
            corner = (x, y, x + _TILE[0], y + _TILE[1])
            tile = {"image_id": len(tiles), "width": _TILE[0], "height": _TILE[1]}
            tiles.append({**entry, **tile, "corner": corner})
    return tiles


def _parts(dicts: list[dict[str, Any]]) -> dict[str, float]:
    """Median CPU seconds of the mapper for the first and a next tile of an image."""
    import torch

    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {"first": [], "next": []}
    mapper = _mapper()
    for first, next_ in zip(dicts[::4], dicts[1::4], strict=True):
        for name, entry in (("first", first), ("next", next_)):
            started = time.process_time()
            mapper(entry)
            seconds[name].append(time.process_time() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def _free_rate(arguments: argparse.Namespace, dicts: list[dict[str, Any]]) -> float:
    """Tiles per second of wall time without a model."""
    batches = _batches(arguments, dicts)
    for _ in range(_WARM_UP):
        next(batches)
    started = time.perf_counter()
    for _ in tqdm(range(arguments.steps), desc="free", unit="batch", leave=False):
        next(batches)
    rate: float = arguments.batch * arguments.steps / (time.perf_counter() - started)
    return rate


def _waits(arguments: argparse.Namespace, dicts: list[dict[str, Any]]) -> list[float]:
    """Seconds that each step waits for its batch."""
    batches = _batches(arguments, dicts)
    for _ in range(_WARM_UP):
        next(batches)
    waits = []
    for _ in tqdm(range(arguments.steps), desc="with a model", unit="step", leave=False):
        time.sleep(arguments.step)
        started = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - started)
    return waits


def _batches(arguments: argparse.Namespace, dicts: list[dict[str, Any]]) -> Iterator[Any]:
    from scale_match.data.loader import build_train_loader

    loader = build_train_loader(
        dicts,
        _mapper(),
        total_batch_size=arguments.batch,
        seed=0,
        num_workers=arguments.workers,
    )
    return iter(loader)


def _mapper() -> Any:  # noqa: ANN401
    from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

    from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper

    return ScaleMatchDatasetMapper(True, augmentations=[T.RandomFlip()], image_format="BGR")


def _positive(text: str) -> int:
    return _at_least(text, 1)


def _count(text: str) -> int:
    return _at_least(text, 0)


def _width(text: str) -> int:
    return _at_least(text, _TILE[0])


def _height(text: str) -> int:
    return _at_least(text, _TILE[1])


def _at_least(text: str, least: int) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is not at least {least}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 60:
        raise argparse.ArgumentTypeError(f"{text} is not over 0 and under 60")
    return value
