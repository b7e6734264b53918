"""The scale augmentations of other authors by their settings, for both front ends."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import transforms as T  # noqa: N812 - as detectron2 names it

from scale_match.core.errors import InputError
from scale_match.data.exact_tiles import build_exact_tiles
from scale_match.data.multi_scale import MultiScalePadded
from scale_match.data.object_crop import ObjectCrop
from scale_match.data.reaspect import ReAspect
from scale_match.data.size_target import SizeTarget

__all__ = ["build_scale_augmentations", "scale_augmentations_from_config"]


def build_scale_augmentations(
    *,
    reaspect: Sequence[float] = (),
    sizes: Sequence[Sequence[int]] = (),
    pad_to: Sequence[int] = (1000, 1600),
    crop_size: Sequence[int] = (),
    crop_scales: Sequence[float] = (0.5, 2.0),
    exact_tile: Sequence[int] = (),
    exact_sizes: SizeTarget | None = None,
) -> T.AugmentationList:
    """What is switched on, in order: stretch, then multi-scale training, a crop or exact tiles.

    Args:
        reaspect: See :class:`ReAspect`; empty is off.
        sizes: See :class:`MultiScalePadded`; empty is off.
        pad_to: See there.
        crop_size: See :class:`ObjectCrop`; empty is off.
        crop_scales: See there.
        exact_tile: Greatest height and width of an exact-scale tile; empty is off.
        exact_sizes: Of exact tiles: whose sizes to imitate.

    Returns:
        A list of at most two augmentations.

    Raises:
        InputError: A value breaks its rule, or two exclude each other.
    """
    named = {"sizes": sizes, "crop_size": crop_size, "exact_tile": exact_tile}
    given = [name for name, value in named.items() if len(value)]
    if len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} exclude each other: each decides on the size of the input"
        )
    if len(reaspect) and len(exact_tile):
        raise InputError(
            "reaspect and exact_tile exclude each other: one changes the other's sizes"
        )
    steps: list[T.Augmentation] = []
    if len(reaspect):
        steps.append(ReAspect(reaspect))
    if len(sizes):
        steps.append(MultiScalePadded([list(size) for size in sizes], list(pad_to)))
    if len(crop_size):
        steps.append(ObjectCrop(list(crop_size), list(crop_scales)))
    if len(exact_tile):
        steps.append(build_exact_tiles(list(exact_tile), exact_sizes or SizeTarget()))
    return T.AugmentationList(steps)


def scale_augmentations_from_config(cfg: CfgNode) -> T.AugmentationList:
    """The same from ``SCALE_MATCH.AUGMENT``.

    Raises:
        InputError: As above, or the stock resize would undo what is asked for.
    """
    node = cfg.SCALE_MATCH.AUGMENT
    if cfg.SCALE_MATCH.DATA.RESIZE and (node.SIZES or node.CROP_SIZE or node.EXACT_TILE):
        raise InputError(
            "SCALE_MATCH.DATA.RESIZE must be False with SCALE_MATCH.AUGMENT.SIZES, CROP_SIZE or "
            "EXACT_TILE, which decide on the size themselves, but is True"
        )
    return build_scale_augmentations(
        reaspect=node.REASPECT,
        sizes=node.SIZES,
        pad_to=node.PAD_TO,
        crop_size=node.CROP_SIZE,
        crop_scales=node.CROP_SCALES,
        exact_tile=node.EXACT_TILE,
        exact_sizes=SizeTarget.from_config(cfg),
    )
