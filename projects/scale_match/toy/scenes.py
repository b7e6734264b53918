"""Whole images with their ground truth: near scenes (source) and far ones (target)."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from scale_match.core.records import BoolArray, FloatArray
from scale_match.toy.backgrounds import ROOMS, TERRAINS, Ground, draw_ground, draw_two_grounds
from scale_match.toy.canvas import Canvas, Pixels
from scale_match.toy.distractors import draw_distractor
from scale_match.toy.figures import draw_person
from scale_match.toy.shapes import Drawing, capsule

__all__ = ["Scene", "draw_source_scene", "draw_target_scene"]

TARGET_SIZE = (1280, 720)
"""Width and height of a target image, pixels."""
TARGET_SIZES = (2.0, 32.0)
"""Smallest and largest sqrt(area) of a person in the target, pixels."""
SOURCE_SIZES = (40.0, 200.0)
"""The same in the source."""

_MAX_OVERLAP = 0.3
"""Share of the smaller of two persons' boxes that the other may cover, outside of crowds."""
_UNCERTAIN_BELOW = 0.5
"""A person of whom less than this share can be seen is marked ``uncertain``."""
_NOISE = 2.5
"""Standard deviation of the sensor's noise, grey levels."""
_TRIES = 20
"""Attempts at a place of its own for a person, before it is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image and its persons.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: XYWH_ABS pixels, inside the image, (N, 4).
        ignore: Regions not to be judged, (N,).
        uncertain: Persons hardly to be seen, (N,).
        iscrowd: Regions of many persons in the sense of COCO, (N,).
    """

    image: npt.NDArray[np.uint8]
    boxes: FloatArray
    ignore: BoolArray
    uncertain: BoolArray
    iscrowd: BoolArray


@dataclass(frozen=True, slots=True)
class _Light:
    """The shadows of a scene.

    Attributes:
        reach: Where the shadow of a thing of height 1 ends, from its foot: right and down.
        strength: 0 without sun, 1 for black shadows.
    """

    reach: tuple[float, float]
    strength: float


@dataclass(slots=True)
class _Draft:
    """A scene while it is drawn: what was painted, and what of it is ground truth."""

    canvas: Canvas
    light: _Light
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)  # xyxy
    numbers: list[int] = field(default_factory=list)
    regions: list[tuple[float, float, float, float]] = field(default_factory=list)  # xyxy

    def paint(self, drawing: Drawing, *, opacity: float) -> int:
        """Paint a thing and its shadow; returns the thing's number on the canvas."""
        if self.light.strength > 0.0:
            shadow = _shadow(drawing.extent(), self.light.reach)
            self.canvas.shade(shadow, strength=self.light.strength * opacity)
        return self.canvas.paint(drawing, opacity=opacity)

    def add_person(self, drawing: Drawing, *, opacity: float) -> None:
        """Paint a person that belongs to the ground truth."""
        self.numbers.append(self.paint(drawing, opacity=opacity))
        self.boxes.append(drawing.extent())


def draw_source_scene(rng: np.random.Generator) -> Scene:
    """A near scene: 3 to 8 persons of 40 to 200 px, other large things, sometimes a crowd."""
    width, height = ((320, 240), (480, 360), (640, 480), (480, 640))[rng.integers(4)]
    draft = _Draft(Canvas(_ground(rng, ROOMS, width, height)), _draw_light(rng))
    largest = min(SOURCE_SIZES[1], 0.4 * min(width, height))
    for _ in range(rng.integers(2, 6)):
        size = _log_uniform(rng, SOURCE_SIZES[0], largest)
        _paint_distractor(rng, draft, size, opacity=1.0)
    if rng.random() < 0.15:
        draft.regions.append(_paint_far_crowd(rng, draft.canvas, person=(14.0, 20.0), count=25))
    for _ in range(rng.integers(3, 9)):
        _place_person(rng, draft, _log_uniform(rng, SOURCE_SIZES[0], largest), opacity=1.0)
    return _finished(rng, draft, crowd_flag="iscrowd", blur=(0.0, 0.8))


def draw_target_scene(rng: np.random.Generator) -> Scene:
    """A far scene like TinyPerson's: many persons of 2 to 32 px among look-alikes."""
    width, height = TARGET_SIZE
    draft = _Draft(Canvas(_ground(rng, TERRAINS, width, height)), _draw_light(rng))
    typical = rng.uniform(10.0, 18.0)
    for _ in range(rng.integers(80, 120)):
        _paint_distractor(rng, draft, _tiny_size(rng, typical), opacity=_opacity(rng))
    if rng.random() < 0.6:
        draft.regions.append(_paint_far_crowd(rng, draft.canvas, person=(2.0, 4.0), count=60))
    for _ in range(rng.integers(0, 3)):
        _paint_near_crowd(rng, draft, typical)
    for _ in range(rng.integers(30, 50)):
        _place_person(rng, draft, _tiny_size(rng, typical), opacity=_opacity(rng))
    return _finished(rng, draft, crowd_flag="ignore", blur=(0.2, 0.6))


def _ground(
    rng: np.random.Generator, grounds: tuple[Ground, ...], width: int, height: int
) -> Pixels:
    first, second = rng.choice(len(grounds), size=2, replace=False)
    if rng.random() < 0.4:
        return draw_ground(rng, grounds[first], width, height)
    return draw_two_grounds(rng, (grounds[first], grounds[second]), width, height)


def _draw_light(rng: np.random.Generator) -> _Light:
    aside = float(rng.uniform(0.5, 1.3)) * (1.0 if rng.random() < 0.5 else -1.0)
    sun = float(rng.uniform(0.35, 0.7)) if rng.random() < 0.85 else 0.0
    return _Light((aside, float(rng.uniform(-0.4, 0.3))), sun)


def _shadow(box: tuple[float, float, float, float], reach: tuple[float, float]) -> Drawing:
    """A stroke from the foot of a thing that stands in the box XYXY_ABS."""
    left, top, right, bottom = box
    height, breadth = bottom - top, 0.5 * min(right - left, bottom - top)
    foot = (0.5 * (left + right), bottom - 0.5 * breadth)
    end = (foot[0] + reach[0] * height, foot[1] + reach[1] * height)
    return Drawing((capsule(foot, end, breadth, (0, 0, 0)),))


def _paint_distractor(
    rng: np.random.Generator, draft: _Draft, size: float, *, opacity: float
) -> None:
    width, height = draft.canvas.size
    x, y = rng.uniform(-0.3 * size, width - 0.5 * size), rng.uniform(0.0, height - size)
    placed = draw_distractor(rng).placed(x=x, y=y, size=size, mirrored=rng.random() < 0.5)
    draft.paint(placed, opacity=opacity)


def _place_person(rng: np.random.Generator, draft: _Draft, size: float, *, opacity: float) -> None:
    """Paint a person where it overlaps no other one much; leave it out if there is no room."""
    drawing = draw_person(rng)
    mirrored = bool(rng.random() < 0.5)
    for _ in range(_TRIES):
        placed = _somewhere(rng, drawing, draft, size, mirrored=mirrored)
        if placed is not None and not _crowded(placed, draft):
            draft.add_person(placed, opacity=opacity)
            return


def _somewhere(
    rng: np.random.Generator, drawing: Drawing, draft: _Draft, size: float, *, mirrored: bool
) -> Drawing | None:
    """The drawing at a random place wholly inside of the image, None if it does not fit."""
    width, height = draft.canvas.size
    left, top, right, bottom = drawing.placed(x=0.0, y=0.0, size=size).extent()
    room_x, room_y = width - (right - left), height - (bottom - top)
    if room_x <= 0.0 or room_y <= 0.0:
        return None
    x, y = rng.uniform(0.0, room_x), rng.uniform(0.0, room_y)
    return drawing.placed(x=x, y=y, size=size, mirrored=mirrored)


def _crowded(placed: Drawing, draft: _Draft) -> bool:
    others = np.asarray(draft.boxes + draft.regions, dtype=np.float64).reshape(-1, 4)
    box = np.asarray(placed.extent())
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    smaller = np.minimum(np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1))
    return bool((shared > _MAX_OVERLAP * smaller).any())


def _paint_near_crowd(rng: np.random.Generator, draft: _Draft, typical: float) -> None:
    """A group in which persons hide each other, each one annotated; those in front are lower."""
    width, height = draft.canvas.size
    size = float(np.clip(typical * rng.uniform(0.8, 1.2), *TARGET_SIZES))
    spread = np.array([3.0, 0.8]) * size
    centre = rng.uniform((0.1 * width, 0.1 * height), (0.85 * width, 0.85 * height))
    places = centre + rng.normal(0.0, 1.0, (int(rng.integers(6, 14)), 2)) * spread
    for x, y in places[np.argsort(places[:, 1])]:
        own_size = float(np.clip(size * rng.uniform(0.85, 1.15), *TARGET_SIZES))
        placed = draw_person(rng).placed(
            x=float(x), y=float(y), size=own_size, mirrored=bool(rng.random() < 0.5)
        )
        left, top, right, bottom = placed.extent()
        if left >= 0.0 and top >= 0.0 and right <= width and bottom <= height:
            draft.add_person(placed, opacity=1.0)


def _paint_far_crowd(
    rng: np.random.Generator, canvas: Canvas, *, person: tuple[float, float], count: int
) -> tuple[float, float, float, float]:
    """A crowd too far away to tell its persons apart; returns the region, XYXY_ABS."""
    width, height = canvas.size
    region_w, region_h = rng.uniform(0.08, 0.2) * width, rng.uniform(0.03, 0.08) * height
    x, y = rng.uniform(0.0, width - region_w), rng.uniform(0.0, height - region_h)
    spans = []
    for _ in range(count):
        placed = draw_person(rng).placed(
            x=x + rng.uniform(0.0, 0.95) * region_w,
            y=y + rng.uniform(0.0, 0.7) * region_h,
            size=rng.uniform(*person),
        )
        canvas.paint(placed, opacity=0.7)
        spans.append(placed.extent())
    extents = np.asarray(spans)
    left, top = np.maximum(extents[:, :2].min(axis=0), 0.0)
    right, bottom = np.minimum(extents[:, 2:].max(axis=0), (width, height))
    return float(left), float(top), float(right), float(bottom)


def _finished(
    rng: np.random.Generator, draft: _Draft, *, crowd_flag: str, blur: tuple[float, float]
) -> Scene:
    """Lens and sensor, then the ground truth with its flags."""
    persons, regions = len(draft.boxes), len(draft.regions)
    corners = np.asarray(draft.boxes + draft.regions, dtype=np.float64).reshape(-1, 4)
    hidden = draft.canvas.visible_shares()[draft.numbers] < _UNCERTAIN_BELOW
    is_region = np.arange(persons + regions) >= persons
    nothing = np.zeros(persons + regions, dtype=np.bool_)
    return Scene(
        image=_photograph(rng, draft.canvas.pixels(), float(rng.uniform(*blur))),
        boxes=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        ignore=is_region if crowd_flag == "ignore" else nothing,
        uncertain=np.concatenate([hidden, np.zeros(regions, dtype=np.bool_)]),
        iscrowd=is_region if crowd_flag == "iscrowd" else nothing,
    )


def _photograph(rng: np.random.Generator, pixels: Pixels, blur: float) -> npt.NDArray[np.uint8]:
    """Blur of the lens (radius in pixels) and noise of the sensor."""
    noise = rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32) * np.float32(_NOISE)
    image = Image.fromarray(np.clip(pixels + noise, 0.0, 255.0).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur)))


def _tiny_size(rng: np.random.Generator, typical: float) -> float:
    """sqrt(area) in pixels; spread as in TinyPerson, where most are far and some are near."""
    return float(np.clip(typical * np.exp(rng.normal(0.0, 0.45)), *TARGET_SIZES))


def _opacity(rng: np.random.Generator) -> float:
    """Mostly solid, some as if through haze."""
    return float(rng.uniform(0.6, 1.0))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
