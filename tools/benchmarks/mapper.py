"""`benchmark.py mapper`: images per second of the training mapper, and what it changes in them."""

import argparse
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.drawn_photographs import photograph_dicts, write_drawn_photographs
from scale_match.core.errors import InputError
from scale_match.storage.files import write_json

__all__ = ["add_parser"]

EPILOG = """
Three mappers bring the same images to the same size, one thread each:
  ours     ScaleMatchDatasetMapper
  stock    detectron2's DatasetMapper: full decode, PIL's bilinear resize, which is antialiased
  authors  the order of the authors' code: full decode, OpenCV's bilinear resize, which is not
           antialiased (in the frame of the stock mapper)
Each has a process of its own, as it has in a training's loading worker: what another one leaves
of the memory decides whether pixels need new pages of the system, which is a fifth of the stock
mapper's time. They take turns in blocks; the figures are medians of CPU time. "difference" is the
mean absolute difference to the pixels of the stock mapper in grey levels. Without --images the
pictures are drawn: noise with the spectrum of photographs. "bits" is how many a file has for each
pixel: with more of them all mappers spend more time on the part of decoding that cannot be left
out.

examples:
  python tools/benchmark.py mapper
  python tools/benchmark.py mapper --images photos --scales 0.25 0.5 --output mapper.json
"""
# Least ratio to the stock mapper by (width, height), at scale; and the largest mean difference.
_TARGETS = {(640, 480): {0.25: 3.5, 0.5: 1.7}, (1920, 1080): {0.25: 4.5, 0.5: 2.0}}
_LEAST, _DIFFERENCE = 1.0, 0.5
_BLOCK_SECONDS = 0.1
_MAPPERS = ("ours", "stock", "authors")

_Mapper = Callable[[dict[str, Any]], dict[str, Any]]


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "mapper",
        help="images per second of the mapper, with scaling",
        description="How fast the mapper reads and shrinks images, against detectron2's.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sizes", nargs="+", type=_size, metavar="WxH", default=[(640, 480), (1920, 1080)],
        help="of the drawn pictures (default 640x480 1920x1080)",
    )  # fmt: skip
    parser.add_argument(
        "--scales", nargs="+", type=_scale, default=[0.25, 0.5, 0.75, 1.0],
        help="over 0, up to 1 (default 0.25 0.5 0.75 1)",
    )  # fmt: skip
    parser.add_argument("--images", type=Path, metavar="DIR", help="JPEGs to read, not drawn ones")
    parser.add_argument(
        "--number", type=_positive, default=6, help="of images of a size (default %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=_positive, default=15, help="blocks of each mapper (default %(default)s)"
    )
    parser.add_argument("--output", type=Path, metavar="JSON", help="also write the figures here")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print a table, and write the figures if asked to."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sets = _image_sets(arguments, Path(folder))
        number = len(sets) * len(arguments.scales)
        with tqdm(total=number, desc="measure", unit="row", leave=False) as progress:
            for dicts in sets:
                with _MapperProcesses(dicts) as mappers:
                    for scale in arguments.scales:
                        rows.append(_row(mappers, scale, arguments.repeats))
                        progress.update()
    print(f"{'image':>11}{'bits':>6}{'scale':>7}", end="")
    print(f"{'images/s':^27}{'times faster':^18}{'difference':^18}")
    heads = (*_MAPPERS, "stock", "authors", "ours", "authors")
    print(" " * 24 + "".join(f"{head:>9}" for head in heads) + "  target")
    for row in rows:
        print(_line(row))
    if arguments.output is not None:
        write_json(arguments.output, {"rows": rows}, indent=1)


def _image_sets(arguments: argparse.Namespace, folder: Path) -> list[list[dict[str, Any]]]:
    """One list for each size to draw, or one of the given files."""
    if arguments.images is None:
        progress = partial(tqdm, desc="draw", unit="image", leave=False)
        return [
            photograph_dicts(
                write_drawn_photographs(
                    folder, number=arguments.number, width=width, height=height, progress=progress
                )
            )
            for width, height in arguments.sizes
        ]
    files = sorted(
        path for path in arguments.images.glob("*") if path.suffix.lower() in (".jpg", ".jpeg")
    )
    if not files:
        raise InputError(f"--images {arguments.images} has no .jpg or .jpeg file in it")
    return [photograph_dicts(files[: arguments.number])]


class _MapperProcesses:
    """The mappers, each in a process of its own, on the same images; to be used in a `with`."""

    def __init__(self, dicts: Sequence[dict[str, Any]]) -> None:
        self.dicts = dicts
        context = multiprocessing.get_context("spawn")  # a process without memory of this one
        self._processes = {
            name: ProcessPoolExecutor(1, mp_context=context, initializer=_use_one_thread)
            for name in _MAPPERS
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.shutdown()

    def seconds(self, name: str, scale: float) -> float:
        """CPU time of a mapper for each image, of a block."""
        return self._processes[name].submit(_seconds, name, scale, self.dicts).result()

    def differences(self, scale: float) -> dict[str, float]:
        """Mean absolute difference to the stock mapper's pixels, in grey levels."""
        sums = {name: 0.0 for name in _MAPPERS if name != "stock"}
        for entry in self.dicts:
            images = {
                name: process.submit(_pixels, name, scale, entry).result().astype(np.float64)
                for name, process in self._processes.items()
            }
            for name in sums:
                sums[name] += float(np.abs(images[name] - images["stock"]).mean())
        return {name: value / len(self.dicts) for name, value in sums.items()}


def _seconds(name: str, scale: float, dicts: Sequence[dict[str, Any]]) -> float:
    mapper = _mapper(name, scale)
    # Not timed: after another process the processor's caches are filled with its needs.
    mapper(dicts[0])
    passes, seconds, started = 0, 0.0, time.process_time()
    while seconds < _BLOCK_SECONDS:
        for entry in dicts:
            mapper(entry)
        passes, seconds = passes + 1, time.process_time() - started
    return seconds / (passes * len(dicts))


def _pixels(name: str, scale: float, entry: dict[str, Any]) -> npt.NDArray[np.uint8]:
    pixels: npt.NDArray[np.uint8] = _mapper(name, scale)(entry)["image"].numpy()
    return pixels


def _row(mappers: _MapperProcesses, scale: float, repeats: int) -> dict[str, Any]:
    """All figures of one set of images at one scale."""
    dicts = mappers.dicts
    seconds: dict[str, list[float]] = {name: [] for name in _MAPPERS}
    for _ in range(repeats + 1):
        for name, values in seconds.items():
            values.append(mappers.seconds(name, scale))
    rates = {name: 1 / float(np.median(values[1:])) for name, values in seconds.items()}
    sizes = {(entry["width"], entry["height"]) for entry in dicts}
    (size,) = sizes if len(sizes) == 1 else (None,)
    target = _TARGETS.get(size, {}).get(scale, _LEAST) if size is not None else _LEAST
    differences = mappers.differences(scale)
    ratio = rates["ours"] / rates["stock"]
    return {
        "size": size,
        "scale": scale,
        "bits_per_pixel": _bits_per_pixel(dicts),
        "images_per_second": rates,
        "times_faster": {"stock": ratio, "authors": rates["ours"] / rates["authors"]},
        "difference": differences,
        "target_times_faster": target,
        "kept": ratio >= target and differences["ours"] < _DIFFERENCE,
    }


def _line(row: dict[str, Any]) -> str:
    size = "mixed" if row["size"] is None else "{} x {}".format(*row["size"])
    rates, ratios, differences = (
        row[key] for key in ("images_per_second", "times_faster", "difference")
    )
    numbers = [f"{rates[name]:9.0f}" for name in _MAPPERS]
    numbers += [f"{ratios[name]:9.2f}" for name in ("stock", "authors")]
    numbers += [f"{differences[name]:9.2f}" for name in ("ours", "authors")]
    target = f"  {row['target_times_faster']:g}: {'kept' if row['kept'] else 'NOT kept'}"
    return f"{size:>11}{row['bits_per_pixel']:6.1f}{row['scale']:7g}" + "".join(numbers) + target


def _bits_per_pixel(dicts: Sequence[dict[str, Any]]) -> float:
    pixels: int = sum(entry["width"] * entry["height"] for entry in dicts)
    return 8 * sum(Path(entry["file_name"]).stat().st_size for entry in dicts) / pixels


@cache
def _mapper(name: str, scale: float) -> _Mapper:
    """One of the three; each gives an image of the size that Scale Match's rounding gives."""
    import cv2
    from detectron2.data import DatasetMapper
    from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

    from scale_match.core.scale_policy import MonotoneScaleMatch, ScaleLimits
    from scale_match.core.source_size import scaled_size
    from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper

    class AliasedResize(T.ResizeTransform):  # type: ignore[misc] # the base is untyped
        def apply_image(self, img: Any, interp: object = None) -> Any:  # noqa: ANN401
            return cv2.resize(img, (self.new_w, self.new_h), interpolation=cv2.INTER_LINEAR)

    class Scale(T.Augmentation):  # type: ignore[misc] # the base is untyped
        def __init__(self, resize: type) -> None:
            self.resize = resize

        def get_transform(self, image: Any) -> Any:  # noqa: ANN401
            height, width = image.shape[:2]
            return self.resize(height, width, *scaled_size(scale, width, height))

    if name == "ours":
        # Sizes stay, which is a scale of 1 and out of the range: so it is the default scale.
        edges = np.array([1.0, 1e4])
        limits = ScaleLimits((2.0, 3.0), scale, out_of_range="default")
        policy = MonotoneScaleMatch(edges, edges, limits)
        ours: _Mapper = ScaleMatchDatasetMapper(
            True, augmentations=[], image_format="BGR", scale_policy=policy
        )
        return ours
    resize = AliasedResize if name == "authors" else T.ResizeTransform
    stock: _Mapper = DatasetMapper(True, augmentations=[Scale(resize)], image_format="BGR")
    return stock


def _use_one_thread() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _size(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text} is not of the form WIDTHxHEIGHT")
    width, height = text.split("x")
    return int(width), int(height)


def _scale(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not over 0 and up to 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value
