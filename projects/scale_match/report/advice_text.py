"""The advice of the data doctor as text: each piece of it with its reason."""

import math
import textwrap

from scale_match.core.data_diagnosis import Advice
from scale_match.core.data_summary import DataSummary

__all__ = ["advice_text", "percent"]

_WIDTH, _INDENT = 100, 17
# Objects nearly as large as the source's leave Scale Match nothing to do.
_NOT_SMALLER = 0.7


def advice_text(summary: DataSummary, advice: Advice) -> str:
    """All advice, wrapped for a terminal, without a line break at the end."""
    items = {
        "strides": _strides(advice),
        "anchor sizes": _anchor_sizes(advice),
        "aspect ratios": _aspect_ratios(advice),
        "FCOS ranges": _fcos_ranges(advice),
        "tiles": _tiles(summary, advice),
        "limit": _limit(advice),
        "crowding": _crowding(advice),
        "Scale Match": _scale_match(advice),
        "memory": _memory(advice),
    }
    lines = [
        textwrap.fill(
            text,
            _WIDTH,
            initial_indent=f"  {name:<{_INDENT - 2}}",
            subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )
        for name, text in items.items()
        if text
    ]
    return "\n".join(["ADVICE", *lines])


def _strides(advice: Advice) -> str:
    reason = "the fewest anchors within one point of the best recall, five in each size range"
    return f"{_list(advice.anchors.strides)}: {reason}"


def _anchor_sizes(advice: Advice) -> str:
    anchors = advice.anchors
    spans = ", ".join(f"{sizes[0]:g}-{sizes[-1]:.0f}" for sizes in anchors.anchor_sizes)
    return (
        f"{spans} px, {anchors.scales_per_octave} for each level (ANCHOR_SCALE "
        f"{anchors.anchor_scale:g}): recall {_percent_of(anchors.recall['all'])}, with the default "
        f"pyramid {_percent_of(advice.default_anchors.recall['all'])}"
    )


def _aspect_ratios(advice: Advice) -> str:
    ratios = advice.anchors.aspect_ratios
    if ratios == advice.default_anchors.aspect_ratios:
        return f"{_list(ratios)} (height / width): those of the data would not gain one point"
    return f"{_list(ratios)} (height / width): the middles of the thirds of the data"


def _fcos_ranges(advice: Advice) -> str:
    fcos = advice.fcos
    ranges = ", ".join(
        f"({low:g}, {'inf' if high is None else f'{high:g}'}) {percent(share)}"
        for (low, high), share in zip(fcos.ranges, fcos.shares, strict=True)
    )
    return f"{ranges}: up to four strides, as Adap FCOS has them, with the share of the objects"


def _tiles(summary: DataSummary, advice: Advice) -> str:
    tiles = advice.tiles
    if summary.num_tiles:
        return "the images are tiles already: test on whole images, cut into tiles of this size"
    if not tiles.enabled:
        return f"none: {tiles.reason}"
    default = ""
    if tiles.whole_share != tiles.default_whole_share:
        default = f", with the default {_percent_of(tiles.default_whole_share)}"
    return (
        f"{_by(tiles.tile)} px, overlap {_by(tiles.overlap)}: {tiles.reason}; "
        f"{tiles.tiles_per_image:.1f} tiles per image, {_percent_of(tiles.whole_share)} of the "
        f"objects whole in one{default}"
    )


def _limit(advice: Advice) -> str:
    limit = advice.limit
    zoom = f"; images {limit.zoom:g} times as large lift nine of ten above it"
    return (
        f"{limit.limit:.1f} px, below which one pixel of error in x and y is a miss at IoU 0.5: "
        f"{percent(limit.below_limit)} of the objects; {percent(limit.below_cell)} are smaller "
        f"than a cell of the finest level ({advice.anchors.strides[0]} px)"
        + (zoom if limit.zoom > 1 else "")
    )


def _crowding(advice: Advice) -> str:
    crowding = advice.crowding
    return (
        f"{crowding.most_per_image} objects in the fullest image; {crowding.overlapping} "
        f"({percent(crowding.overlapping_share)}) overlap another of their category by more than "
        f"IoU {crowding.threshold:g}, and suppression takes one of them"
    )


def _scale_match(advice: Advice) -> str:
    scale = advice.scale_match
    if scale is None:
        return ""
    (low, high), (mean, deviation) = scale.scale_range, scale.mu_sigma
    size = math.exp(mean)
    if size > _NOT_SMALLER * scale.source_size:
        return (
            f"not worth it: the objects ({size:.3g} px) are hardly smaller than those of "
            f"{scale.source} ({scale.source_size:.3g} px)"
        )
    return (
        f"SCALE_RANGE [{low:g}, {high:g}]: holds nine of ten factors from {scale.source} "
        f"({scale.source_size:.3g} px) to these sizes ({size:.3g} px); the default clips "
        f"{percent(scale.clipped_by_default)} of them; for gsm MU_SIGMA "
        f"[{mean:.3f}, {deviation:.3f}]"
    )


def _memory(advice: Advice) -> str:
    memory = advice.memory
    of_tile = f"{_gigabytes(memory.per_tile)} per tile, " if memory.per_tile else ""
    return (
        f"{of_tile}{_gigabytes(memory.per_image)} per image of {memory.image_pixels / 1e6:.1f} Mpx "
        f"kept for the backward pass ({memory.backbone}, float32), plus "
        f"{_gigabytes(memory.fixed)} for weights and what the GPU's libraries take"
    )


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB"


def percent(share: float) -> str:
    """A share with two digits or so.

    >>> percent(0.123), percent(0.0123)
    ('12 %', '1.2 %')
    """
    return f"{100 * share:.{0 if share >= 0.1 or share == 0 else 1}f} %"


def _percent_of(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _list(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"
