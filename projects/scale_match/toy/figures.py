"""Persons: what the toy data asks a detector to find.

A person is a head with hair, a torso, two arms and two legs in one of a few poses. The colours of
clothes vary over the whole range, so that brightness or colour alone tells nothing.
"""

from collections.abc import Callable

import numpy as np

from scale_match.toy.shapes import Colour, Drawing, Part, capsule, disc, ellipse, polygon

__all__ = ["cloth_colour", "draw_person"]

_SKIN: tuple[Colour, ...] = ((244, 208, 180), (224, 172, 132), (178, 120, 82), (112, 72, 50))
_HAIR: tuple[Colour, ...] = ((32, 24, 20), (84, 52, 30), (168, 128, 74), (120, 116, 112))
_POSES = ("stand", "walk", "wave", "sit")
_POSE_WEIGHTS = (0.35, 0.35, 0.15, 0.15)


def cloth_colour(rng: np.random.Generator) -> Colour:
    """A colour of clothes, and of distractors: a grey, or a strong one of any hue."""
    if rng.random() < 0.3:
        grey = int(rng.choice([20, 50, 90, 150, 205, 245]))
        return (grey, grey, grey)
    channels = rng.integers(0, 256, size=3)
    channels[rng.integers(3)] = rng.integers(0, 60)
    channels[rng.integers(3)] = rng.integers(170, 256)
    return (int(channels[0]), int(channels[1]), int(channels[2]))


def draw_person(rng: np.random.Generator) -> Drawing:
    """One person of about unit height, feet at y = 1, head at y = 0."""
    skin = _SKIN[rng.integers(len(_SKIN))]
    shirt = skin if rng.random() < 0.15 else cloth_colour(rng)  # bathers
    trousers = cloth_colour(rng)
    pose = str(rng.choice(_POSES, p=_POSE_WEIGHTS))
    width = float(rng.uniform(0.85, 1.2))
    legs = _LEGS[pose](rng, width, trousers, skin)
    return Drawing((*legs, *_upper_body(rng, pose, width, (shirt, skin))))


def _upper_body(
    rng: np.random.Generator, pose: str, width: float, colours: tuple[Colour, Colour]
) -> tuple[Part, ...]:
    shirt, skin = colours
    drop = 0.22 if pose == "sit" else 0.0  # a sitting person's head is lower
    hip = 0.54 + drop
    shoulder = 0.225 + drop
    half = 0.125 * width
    torso = polygon(
        [(-half, shoulder), (half, shoulder), (0.8 * half, hip), (-0.8 * half, hip)], shirt
    )
    hair = _HAIR[rng.integers(len(_HAIR))]
    return (
        torso,
        *(_arm(rng, pose, side, (side * half, shoulder), (shirt, skin)) for side in (-1, 1)),
        capsule((0.0, 0.16 + drop), (0.0, 0.24 + drop), 0.07, skin),
        disc(0.0, 0.105 + drop, 0.085, skin),
        ellipse(0.0, 0.055 + drop, 0.085, 0.055, hair),
    )


def _arm(
    rng: np.random.Generator,
    pose: str,
    side: int,
    shoulder: tuple[float, float],
    colours: tuple[Colour, Colour],
) -> Part:
    shirt, skin = colours
    sleeve = shirt if rng.random() < 0.5 else skin
    raised = pose == "wave" and (side > 0 or rng.random() < 0.5)
    angle = rng.uniform(2.3, 2.9) if raised else rng.uniform(0.05, 0.6)  # 0 hangs straight down
    x, y = shoulder
    hand = (x + side * 0.3 * float(np.sin(angle)), y + 0.03 + 0.3 * float(np.cos(angle)))
    return capsule((x - side * 0.02, y + 0.03), hand, 0.065, sleeve)


def _standing_legs(
    rng: np.random.Generator, width: float, trousers: Colour, skin: Colour
) -> tuple[Part, ...]:
    return _legs(float(rng.uniform(0.05, 0.1)) * width, trousers, skin)


def _walking_legs(
    rng: np.random.Generator, width: float, trousers: Colour, skin: Colour
) -> tuple[Part, ...]:
    return _legs(float(rng.uniform(0.12, 0.22)) * width, trousers, skin)


def _legs(spread: float, trousers: Colour, skin: Colour) -> tuple[Part, ...]:
    feet = tuple(
        capsule((side * spread, 0.93), (side * (spread + 0.04), 0.965), 0.07, skin)
        for side in (-1, 1)
    )
    legs = tuple(
        capsule((side * 0.055, 0.54), (side * spread, 0.93), 0.095, trousers) for side in (-1, 1)
    )
    return (*feet, *legs)


def _sitting_legs(
    rng: np.random.Generator, width: float, trousers: Colour, skin: Colour
) -> tuple[Part, ...]:
    knee = (0.32 * width, 0.68 + float(rng.uniform(-0.04, 0.04)))
    return (
        capsule((0.0, 0.75), knee, 0.12, trousers),
        capsule(knee, (knee[0] + 0.02, 0.955), 0.09, trousers),
        capsule((knee[0], 0.96), (knee[0] + 0.09, 0.96), 0.07, skin),
    )


_Legs = Callable[[np.random.Generator, float, Colour, Colour], tuple[Part, ...]]
_LEGS: dict[str, _Legs] = {
    "stand": _standing_legs,
    "walk": _walking_legs,
    "wave": _standing_legs,
    "sit": _sitting_legs,
}
