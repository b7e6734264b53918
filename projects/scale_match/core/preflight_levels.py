"""Whether a model's anchors or ranges suit the objects that it is trained on.

Sizes are those that the model gets, after resizing, Scale Match and tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scale_match.core.anchor_recall import POSITIVE_IOU, best_shape_ious
from scale_match.core.data_summary import Objects
from scale_match.core.preflight import Finding, percent
from scale_match.core.records import FloatArray

__all__ = ["AnchorShapes", "Thresholds", "check_anchors", "check_ranges"]

# Share of the boxes that may lack a good anchor, and that may lack any: 0.37 and 0.08 with sizes
# as TinyPerson's (mean 18 px, deviation 17 px) and the anchors of Faster-FPN, from 8 px on.
_MAY_LACK_GOOD, _MAY_LACK_ANY = 0.5, 0.25
_OTHER_ANCHORS = (0.25, 0.5, 2.0, 4.0)
# Share of the boxes that may have no level, and that may be smaller than a cell of theirs.
_MAY_LACK_LEVEL, _MAY_BE_BELOW_CELL = 0.01, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class AnchorShapes:
    """The anchors of a model.

    Attributes:
        strides: Of the levels in pixels.
        shapes: Per level widths and heights in pixels, (A, 2).
        offset: Centre of the first anchor in units of the stride.
    """

    strides: Sequence[float]
    shapes: Sequence[FloatArray]
    offset: float = 0.0

    def times(self, factor: float) -> "AnchorShapes":
        """Anchors of another size at the same places."""
        return AnchorShapes(self.strides, [factor * one for one in self.shapes], self.offset)

    def best_ious(self, objects: Objects) -> FloatArray:
        """IoU of each object with its best anchor, (N,)."""
        sides = objects.image_sides[objects.rows]
        return best_shape_ious(self.strides, self.shapes, objects.boxes, sides, offset=self.offset)

    @property
    def sizes(self) -> FloatArray:
        """sqrt(w * h) of all anchors, ascending."""
        return np.sort(np.sqrt(np.concatenate(self.shapes).prod(axis=1)))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which IoU on an anchor is positive.

    Attributes:
        positive: Any anchor.
        best: The best anchors of a box (low-quality matches).
    """

    positive: float
    best: float


def check_anchors(
    objects: Objects, anchors: AnchorShapes, thresholds: Thresholds, *, key: str
) -> Finding:
    """Whether objects meet anchors well enough to be learned.

    Args:
        objects: Of the training.
        anchors: Of the model.
        thresholds: When an anchor is positive.
        key: Name of the anchors' sizes.
    """
    name = "anchors"
    if not len(objects):
        return Finding(name, skipped="there is no box")
    # An RPN asks for 0.7, which few boxes reach: its rule is the low-quality match.
    good = min(thresholds.positive, POSITIVE_IOU)
    ious = anchors.best_ious(objects)
    lacking = float((ious < good).mean())
    without_any = float((ious < thresholds.best).mean()) if thresholds.best > 0 else 0.0
    if lacking <= _MAY_LACK_GOOD and without_any <= _MAY_LACK_ANY:
        return Finding(name)
    left = {f: float((anchors.times(f).best_ious(objects) < good).mean()) for f in _OTHER_ANCHORS}
    better = min(left, key=lambda f: left[f])
    advice = ""
    if left[better] < lacking:
        advice = f"; anchors {better:g} times as large would leave {percent(left[better])}"
    sizes, anchor_sizes = objects.sizes[ious < good], anchors.sizes
    nothing = f" and {percent(without_any)} no positive anchor at all" if without_any > 0 else ""
    return Finding(
        name,
        f"{percent(lacking)} of {len(objects)} training boxes (those of median "
        f"{float(np.median(sizes)):.3g} px) have no anchor with an IoU of {good:g}{nothing}: "
        f"{key} makes anchors of {anchor_sizes[0]:.3g} to {anchor_sizes[-1]:.3g} px{advice}",
    )


def check_ranges(
    objects: Objects,
    ranges: Sequence[tuple[float, float]],
    strides: Sequence[float],
    *,
    keys: tuple[str, str],
) -> Finding:
    """Whether every object has a level that looks for its size, with cells no larger than it.

    Args:
        objects: Of the training.
        ranges: Per level the least and greatest distance from a location to the farthest side of
            its box, in pixels. At the centre of a box that is half its longer side.
        strides: Of the levels in pixels.
        keys: Names of ranges and strides.
    """
    name = "ranges"
    if not len(objects):
        return Finding(name, skipped="there is no box")
    sides = objects.boxes[:, 2:].max(axis=1)
    limits = np.array(ranges, np.float64)  # (L, 2)
    fits = (sides[:, None] / 2 >= limits[:, 0]) & (sides[:, None] / 2 <= limits[:, 1])  # (N, L)
    has_level = fits.any(axis=1)
    lacking = float((~has_level).mean())
    if lacking > _MAY_LACK_LEVEL:
        listed = ", ".join(f"({low:g}, {high:g})" for low, high in ranges)
        outside = sides[~has_level]
        return Finding(
            name,
            f"{percent(lacking)} of {len(objects)} training boxes, with longer sides of "
            f"{outside.min():.3g} to {outside.max():.3g} px, lie in no range of {keys[0]} "
            f"({listed}), which half of the longer side must",
        )
    cells = np.array(strides, np.float64)[fits.argmax(axis=1)]
    below = float((has_level & (sides < cells)).mean())
    if below <= _MAY_BE_BELOW_CELL:
        return Finding(name)
    return Finding(
        name,
        f"{percent(below)} of {len(objects)} training boxes (median {float(np.median(sides)):.3g} "
        f"px) are smaller than a cell of the level that looks for them: the finest stride of "
        f"{keys[1]} is {strides[0]:g} px",
    )
