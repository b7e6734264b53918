"""All that the data doctor has to say about a data set, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scale_match.core.anchor_advice import AnchorAdvice, FcosAdvice
from scale_match.core.average_precision import SIZE_RANGES
from scale_match.core.data_advice import (
    CrowdingAdvice,
    LimitAdvice,
    MemoryAdvice,
    ScaleMatchAdvice,
)
from scale_match.core.data_problems import PROBLEM_KINDS, Problem
from scale_match.core.data_summary import DataSummary
from scale_match.core.tile_advice import TileAdvice

__all__ = ["Advice", "Diagnosis", "problems_in_order", "verdict"]

# Recall that enlarging the images must gain to be worth a sentence.
_WORTH_DOUBLING = 0.05


@dataclass(frozen=True, slots=True)
class Advice:
    """How to train on a data set.

    Attributes:
        anchors: The advised pyramid.
        default_anchors: The pyramid that a config has by default, for comparison.
        doubled: The advised pyramid on images of twice the size; ranges by the sizes as they are.
        fcos: Ranges of an anchor-free detector on the advised levels.
        tiles: Tile and overlap.
        limit: What can be found at all.
        crowding: What stands in the way in crowds.
        scale_match: How to imitate the sizes; None where no box counts.
        memory: Per image and tile.
    """

    anchors: AnchorAdvice
    default_anchors: AnchorAdvice
    doubled: AnchorAdvice
    fcos: FcosAdvice
    tiles: TileAdvice
    limit: LimitAdvice
    crowding: CrowdingAdvice
    scale_match: ScaleMatchAdvice | None
    memory: MemoryAdvice


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found in a data set.

    Attributes:
        annotations: The annotation file.
        images: The image folder; None where none was looked at.
        num_files: Image files that were looked for; 0 likewise.
        verified: Their pixels were decoded.
        summary: The data in numbers.
        problems: In the order of ``PROBLEM_KINDS``.
        advice: None where there is no object to train on.
    """

    annotations: str
    images: str | None
    num_files: int
    verified: bool
    summary: DataSummary
    problems: tuple[Problem, ...]
    advice: Advice | None

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, problems with what their kind means."""
        plain = {**asdict(self), "verdict": verdict(self)}
        plain["problems"] = [
            {
                "kind": one.kind,
                "title": PROBLEM_KINDS[one.kind].title,
                "count": one.count,
                "examples": list(one.examples),
                "blocks": one.blocks,
                "cure": PROBLEM_KINDS[one.kind].cure,
            }
            for one in self.problems
        ]
        return plain


def problems_in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Those that stop a training first, and each sort in the order of ``PROBLEM_KINDS``."""
    order = list(PROBLEM_KINDS)
    return tuple(sorted(problems, key=lambda one: (not one.blocks, order.index(one.kind))))


def verdict(diagnosis: Diagnosis) -> list[str]:
    """Two to four short sentences: can it be trained on, what is it, what decides."""
    sentences = [_state(diagnosis), _content(diagnosis.summary)]
    advice = diagnosis.advice
    if advice is not None:
        sentences.append(_way(diagnosis.summary, advice))
        doubled = _recall(advice.doubled)
        if doubled - _recall(advice.anchors) >= _WORTH_DOUBLING:
            sentences.append(
                f"On images of twice the size anchors would reach {_percent(doubled)}: "
                f"{_percent(advice.limit.below_limit)} of the objects are under "
                f"{advice.limit.limit:.1f} px, where one pixel of error is a miss."
            )
    return sentences


def _state(diagnosis: Diagnosis) -> str:
    blocking = [one for one in diagnosis.problems if one.blocks]
    others = len(diagnosis.problems) - len(blocking)
    if diagnosis.advice is None:
        return "NOT USABLE: there is no object to train on."
    if blocking:
        kinds = "one kind of problem" if len(blocking) == 1 else f"{len(blocking)} kinds of problem"
        return f"NOT USABLE AS IT IS: {kinds} would stop a training."
    looked = "" if diagnosis.images else " Image files were not looked at (--images)."
    if others:
        return f"USABLE, with {others} kind{'s' * (others > 1)} of flaw to look at.{looked}"
    return f"USABLE: nothing wrong was found.{looked}"


def _content(summary: DataSummary) -> str:
    what = "tiles" if 0 < summary.num_tiles == summary.num_images else "images"
    text = f"{summary.num_images} {what} with {summary.num_objects} objects"
    if summary.sizes.percentiles is None or summary.per_image.mean is None:
        return text + "."
    used = sum(category.objects > 0 for category in summary.categories)
    per_image = f"{summary.per_image.mean:.{0 if summary.per_image.mean >= 9.5 else 1}f}"
    return (
        f"{text} of {used} categor{'y' if used == 1 else 'ies'}, {per_image} per "
        f"image; median size {summary.sizes.percentiles[3]:.0f} px, "
        f"{_percent(_tiny_share(summary))} tiny (below {SIZE_RANGES['tiny'][1]:g} px)."
    )


def _tiny_share(summary: DataSummary) -> float:
    """Share of the objects in all ranges up to the end of "tiny", those below the first too."""
    small = {label for label, (_, high) in SIZE_RANGES.items() if high <= SIZE_RANGES["tiny"][1]}
    shares: Mapping[str, float] = summary.size_shares
    return sum(
        share for label, share in shares.items() if label in small or label not in SIZE_RANGES
    )


def _way(summary: DataSummary, advice: Advice) -> str:
    strides, tiles = advice.anchors.strides, advice.tiles
    if summary.num_tiles:
        where = "on these tiles"
    elif tiles.enabled:
        where = f"on tiles of {tiles.tile[0]}x{tiles.tile[1]} px"
    else:
        where = "on whole images"
    return (
        f"Train {where} with strides {strides[0]} to {strides[-1]}: anchors reach "
        f"{_percent(_recall(advice.anchors))} of the objects."
    )


def _recall(anchors: AnchorAdvice) -> float:
    return anchors.recall["all"] or 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
