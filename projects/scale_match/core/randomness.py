"""Random numbers of the input side as a function of (seed, image id, epoch).

The mapper and the preview draw through :func:`sample_randomness`, so that what the preview shows is
what training does; the number of workers and processes and a resume change nothing.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = ["SampleRandomness", "sample_randomness", "seed_words"]


@dataclass(frozen=True, eq=False)
class SampleRandomness:
    """What is random about one image in one epoch.

    Attributes:
        stock_seed: In [0, 2**32), for augmentations that draw from NumPy's global generator.
        rng: For everything else, the scale policy's numbers first; made for one call, not kept.
    """

    stock_seed: int
    rng: np.random.Generator


def sample_randomness(seed: int, image_id: int | str, epoch: int) -> SampleRandomness:
    """The randomness of an image in an epoch; equal arguments give equal numbers.

    Args:
        seed: Of the run.
        image_id: Any whole number, or a text, as some of detectron2's data sets have.
        epoch: From 0 on.

    >>> first, second = (sample_randomness(7, 42, 3).rng.random() for _ in range(2))
    >>> first == second
    True
    """
    if isinstance(image_id, str):
        digest = hashlib.sha256(image_id.encode()).digest()
        image_id = int.from_bytes(digest[:8], "little")
    numbers = seed, int(image_id), int(epoch)
    # An array: of a list, numpy makes an array for each word.
    words = np.array([word for number in numbers for word in seed_words(number)], np.uint32)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
    return SampleRandomness(int(rng.integers(2**32)), rng)


def seed_words(value: int) -> tuple[int, int]:
    """The low and the high 32 bits of a whole number modulo 2**64.

    ``numpy.random.SeedSequence`` joins the 32-bit words of its numbers, however many each has; a
    fixed two words keep different pairs of numbers different.
    """
    return value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
