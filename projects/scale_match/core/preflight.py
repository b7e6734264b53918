"""What a training should be asked before its first step: rules on numbers, each with its sentence.

Boxes and images are those that the model gets, after resizing, Scale Match and tiles. A rule stays
silent where the settings of the published rows do; its limits say from where on something is likely
to be a mistake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scale_match.core.data_summary import Objects
from scale_match.core.tile_advice import whole_in_a_tile
from scale_match.core.tiles import tile_grid

__all__ = [
    "Finding",
    "Limit",
    "check_limits",
    "check_memory",
    "check_rate",
    "check_sizes",
    "check_test_tiles",
    "check_training_tiles",
    "percent",
]

# Share of the boxes that no tile may hold whole.
_MAY_BE_CUT = 0.05
_MOST_TILES = 200
# Images are resized otherwise in training than in testing, where nothing else explains it.
_ZOOMS_DIFFER = 1.25
# Median sizes differ. COCO with Scale Match, tested at 333x200 as published, differs by about 2.
_SIZES_DIFFER = 3.0
# Learning rate of SGD for one image by the linear rule; published rows have 0.5 to 4 times it.
_RATE_PER_IMAGE = 0.02 / 16
_RATES_DIFFER = 4.0
_LARGE_RATE_OF_ADAM = 3e-3
# Of the memory that is there; the rest is for what is not counted.
_MEMORY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        problem: A sentence with numbers and the key to change; "" where all is well.
        skipped: Why it was not checked; "" where it was.
    """

    check: str
    problem: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of detections at which something stops.

    Attributes:
        key: Name of the setting.
        value: Detections.
        place: "image", "tile", or "category" of an image, that it holds for.
    """

    key: str
    value: int
    place: str


def check_test_tiles(
    objects: Objects, tile: tuple[int, int], overlap: tuple[int, int], *, keys: tuple[str, str]
) -> Finding:
    """Whether the tiles of a test image hold its objects whole, and are not too many.

    Args:
        objects: Of the test images.
        tile: (width, height) in pixels.
        overlap: (horizontal, vertical) in pixels.
        keys: Names of both.
    """
    name = "tiles of test images"
    if not len(objects.image_sides):
        return Finding(name, skipped="there is no test image")
    largest = objects.image_sides[int(objects.image_sides.prod(axis=1).argmax())].astype(int)
    count = len(tile_grid(*largest.tolist(), tile=tile, overlap=overlap))
    if count > _MOST_TILES:
        return Finding(
            name,
            f"an image of {largest[0]}x{largest[1]} px is cut into {count} tiles of "
            f"{tile[0]}x{tile[1]} ({keys[0]}), each of which goes through the model: take "
            "larger tiles",
        )
    if not len(objects):
        return Finding(name)
    cut = float((~whole_in_a_tile(objects, tile, overlap)).mean())
    if cut <= _MAY_BE_CUT:
        return Finding(name)
    needed = np.ceil(np.quantile(objects.boxes[:, 2:], 0.99, axis=0)).astype(int)
    return Finding(
        name,
        f"{percent(cut)} of {len(objects)} test boxes lie whole in no tile of "
        f"{tile[0]}x{tile[1]} px ({keys[0]}) with overlap {overlap[0]}x{overlap[1]} ({keys[1]}); "
        f"99 % of them are no larger than {needed[0]}x{needed[1]} px, which the overlap must hold",
    )


def check_training_tiles(total: int, kept: int, tile: tuple[int, int], *, key: str) -> Finding:
    """Whether boxes get lost because no tile holds enough of them.

    Args:
        total: Boxes to train on before the images are cut.
        kept: Those of them that a tile has.
        tile: (width, height) in pixels.
        key: Its name.
    """
    lost = (total - kept) / max(total, 1)
    if lost <= _MAY_BE_CUT:
        return Finding("tiles of training images")
    return Finding(
        "tiles of training images",
        f"{total - kept} of {total} boxes ({percent(lost)}) belong to no tile of "
        f"{tile[0]}x{tile[1]} px ({key}) and are not trained on: take larger tiles or more overlap",
    )


def check_limits(limits: Sequence[Limit], most: Mapping[str, tuple[int, str]]) -> Finding:
    """Whether all objects of the fullest image can be found.

    Args:
        limits: All that count.
        most: "image", "tile" and "category" -> greatest number of boxes in one, and in which image.
    """
    low: dict[tuple[int, str], list[Limit]] = {}
    for limit in limits:
        if 0 <= limit.value < most[limit.place][0]:
            low.setdefault(most[limit.place], []).append(limit)
    return Finding("detection limits", "; ".join(_too_low(*each) for each in low.items()))


def _too_low(fullest: tuple[int, str], limits: Sequence[Limit]) -> str:
    """Names limits under one number of boxes, and a number that is enough."""
    crowd, where = fullest
    named = " and ".join(f"{limit.key} ({limit.value} per {limit.place})" for limit in limits)
    places = {limit.place for limit in limits}
    place = f"in the fullest image, {where}"
    if places == {"tile"}:
        place = f"in a tile of {where}"
    elif places == {"category"}:
        place = f"of one category in {where}"
    are, them = ("are", "them") if len(limits) > 1 else ("is", "it")
    return (
        f"{named} {are} under the {crowd} boxes {place}: set {them} to {_rounded_up(crowd)} or more"
    )


def check_sizes(
    training: Objects,
    testing: Objects,
    *,
    zooms: tuple[float, float] | None,
    key: str,
) -> Finding:
    """Whether the model is tested on objects of the size that it was trained on.

    Args:
        training: As the model gets them.
        testing: Likewise.
        zooms: Median factors by which training and test images are resized; None where training
            chooses sizes itself, as Scale Match does.
        key: What decides about the resize.
    """
    name = "training against test sizes"
    if not len(training) or not len(testing):
        return Finding(name, skipped="there is no box in the training or the test images")
    sizes = float(np.median(training.sizes)), float(np.median(testing.sizes))
    medians = f"median sizes of boxes are {sizes[0]:.3g} and {sizes[1]:.3g} px"
    if zooms is not None and not _near(zooms[0], zooms[1], _ZOOMS_DIFFER):
        return Finding(
            name,
            f"images are resized by {zooms[0]:.3g} in training and by {zooms[1]:.3g} in testing "
            f"({medians}): {key} should be the same in both",
        )
    if _near(*sizes, _SIZES_DIFFER):
        return Finding(name)
    factor = max(sizes) / min(sizes)
    return Finding(
        name,
        f"{medians} in training and in testing, {factor:.2g} times apart: see {key}, or choose "
        "data, tiles or Scale Match so that they agree",
    )


def check_rate(rate: float, batch: int, optimizer: str, *, keys: tuple[str, str]) -> Finding:
    """Whether a learning rate suits the batch.

    Args:
        rate: Learning rate.
        batch: Images of a step over all processes.
        optimizer: "sgd", "adamw", or another that no rule is known for.
        keys: Names of rate and reference batch.
    """
    name = "learning rate"
    if optimizer == "adamw" and rate > _LARGE_RATE_OF_ADAM:
        return Finding(
            name, f"{keys[0]} {rate:g} is large for AdamW, whose rates are around 0.0001 to 0.001"
        )
    if optimizer != "sgd":
        return Finding(name, skipped="" if optimizer == "adamw" else f"{optimizer} has no rule")
    usual = batch * _RATE_PER_IMAGE
    if _near(rate, usual, _RATES_DIFFER * 1.01):
        return Finding(name)
    return Finding(
        name,
        f"{keys[0]} {rate:g} with batches of {batch} is {rate / usual:.3g} times the linear rule's "
        f"0.02 x {batch} / 16 = {usual:g} (published rows have 0.5 to 4 times it): change "
        f"{keys[0]}, or say in {keys[1]} which batch it is for",
    )


def check_memory(needed: float, available: float, *, what: str, keys: Sequence[str]) -> Finding:
    """Whether a step is likely to fit.

    Args:
        needed: Bytes, as estimated.
        available: Bytes.
        what: Whose memory, as "the GPU".
        keys: What makes a step smaller.
    """
    if needed <= _MEMORY_SHARE * available:
        return Finding("memory")
    return Finding(
        "memory",
        f"a training step needs about {needed / 1e9:.2g} GB (a coarse estimate), and {what} has "
        f"{available / 1e9:.2g} GB: lower {' or '.join(keys)}",
    )


def _near(one: float, other: float, factor: float) -> bool:
    return one <= factor * other and other <= factor * one


def _rounded_up(number: int) -> int:
    """To one digit, so that it is a number to remember."""
    step = int(10 ** (len(str(number)) - 1))
    return -(-number // step) * step


def percent(share: float) -> str:
    """A share with two digits or so."""
    return f"{100 * share:.{0 if share >= 0.1 or share == 0 else 1}f} %"
