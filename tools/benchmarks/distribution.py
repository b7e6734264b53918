"""`benchmark.py distribution`: how closely training boxes follow the target, rule by rule."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scale_match.core.boxes import box_sizes, xyxy_to_xywh
from scale_match.core.counted_sizes import counted_sizes
from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import ExactTiling, SourceImage, result_sizes
from scale_match.core.histogram import SizeHistogram
from scale_match.core.mosaic import Mosaics
from scale_match.core.randomness import sample_randomness
from scale_match.core.records import BoolArray, FloatArray
from scale_match.core.scale_policy import MonotoneScaleMatch, SampledScaleMatch, ScalePolicy
from scale_match.core.size_summary import empirical_cdf, ks_distance
from scale_match.storage.annotations import read_annotations
from scale_match.storage.files import write_json
from scale_match.storage.source_images import source_images

__all__ = ["add_parser"]

_KS_TARGET, _SEEN_TARGET = 0.03, 0.9

EPILOG = """
"KS" is the Kolmogorov-Smirnov distance between the target's boxes and all boxes left in the samples
of all epochs, "seen" the share of the source's boxes that were left in at least one of them. Boxes
only: no image is read.

example:
  python tools/benchmark.py distribution --source coco.json --target tiny.json
"""

# Of an image in an epoch: image index, which boxes are left, and their sizes in the sample.
_Sample = Iterator[tuple[int, BoolArray, FloatArray]]


@dataclass(frozen=True, eq=False)
class _Rule:
    """Samples by index and epoch, and how many there are in an epoch."""

    sample: Callable[[int, int], _Sample]
    per_epoch: int


@dataclass(frozen=True)
class _Figures:
    """Of one rule over all epochs."""

    ks: float
    seen: float
    boxes_per_sample: float


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "distribution",
        help="distance between the sizes of training boxes and the target's",
        description="How closely SM, MSM, exact-scale tiling and mosaics (SM+) reach a target.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", type=Path, required=True, help="COCO-format file to train on")
    parser.add_argument("--target", type=Path, required=True, help="COCO-format file to imitate")
    parser.add_argument("--epochs", type=_positive, default=20, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, metavar="JSON", help="also write the figures here")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    source = read_annotations(arguments.source)
    images, sizes = source_images(source), counted_sizes(source.table)
    reached = counted_sizes(read_annotations(arguments.target).table)
    try:
        rules = _rules(images, sizes, SizeHistogram.from_sizes(reached), arguments.seed)
    except InputError as error:
        raise InputError(f"{arguments.source} or {arguments.target}: {error}") from error
    results = {
        name: _figures(name, rule, arguments.epochs, len(sizes), reached)
        for name, rule in rules.items()
    }
    print(f"{len(sizes)} boxes in {len(images)} images, {arguments.epochs} epochs")
    print(f"{'':24}{'KS':>8}{'seen':>8}{'boxes per sample':>18}{'samples per epoch':>19}")
    for name, figures in results.items():
        print(
            f"{name:24}{figures.ks:8.4f}{figures.seen:8.1%}{figures.boxes_per_sample:18.1f}"
            f"{rules[name].per_epoch:19}"
        )
    print(f"targets of the last two: KS {_KS_TARGET:g}, seen {_SEEN_TARGET:.0%}")
    if arguments.output is not None:
        write_json(
            arguments.output, {name: asdict(figures) for name, figures in results.items()}, indent=1
        )


def _rules(
    images: list[SourceImage], sizes: FloatArray, target: SizeHistogram, seed: int
) -> dict[str, _Rule]:
    """Samplers by name."""
    tiling = ExactTiling.from_images(images, target)
    mosaics = Mosaics.from_images(images, target)

    def scaled(policy: ScalePolicy) -> _Rule:
        return _Rule(
            lambda index, epoch: _scaled(policy, images[index], index, seed, epoch), len(images)
        )

    def tile(index: int, epoch: int) -> _Sample:
        rng = sample_randomness(seed, images[index].image_id, epoch).rng
        window = tiling.sample(images[index], rng.random(tiling.num_uniforms))
        yield index, window.keep, result_sizes([window])

    def mosaic(index: int, epoch: int) -> _Sample:
        for crop in mosaics.sample(index, seed=seed, epoch=epoch):
            yield crop.image, crop.window.keep, result_sizes([crop.window])

    return {
        "sm": scaled(SampledScaleMatch(target)),
        "msm": scaled(MonotoneScaleMatch.from_sizes(sizes, target)),
        "mosaics (SM+)": _Rule(mosaic, mosaics.num_canvases),
        "exact-scale tiling": _Rule(tile, len(images)),
    }


def _scaled(policy: ScalePolicy, image: SourceImage, index: int, seed: int, epoch: int) -> _Sample:
    rng = sample_randomness(seed, image.image_id, epoch).rng
    boxes = xyxy_to_xywh(image.boxes)
    decision = policy.decide(boxes, image.width, image.height, rng.random(policy.num_uniforms))
    ratios = decision.size[1] / image.width, decision.size[0] / image.height
    yield index, decision.keep, box_sizes(boxes[decision.keep] * [*ratios, *ratios])


def _figures(name: str, rule: _Rule, epochs: int, num_boxes: int, reached: FloatArray) -> _Figures:
    seen: dict[int, BoolArray] = {}
    sizes: list[FloatArray] = []
    for epoch in tqdm(range(epochs), desc=name, unit="epoch", leave=False):
        for index in range(rule.per_epoch):
            for member, keep, left in rule.sample(index, epoch):
                seen[member] = seen[member] | keep if member in seen else keep
                sizes.append(left)
    together = np.concatenate(sizes)
    return _Figures(
        ks_distance(together, empirical_cdf(reached)) if len(together) else 1.0,
        sum(int(np.count_nonzero(keep)) for keep in seen.values()) / num_boxes,
        len(together) / (rule.per_epoch * epochs),
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value
