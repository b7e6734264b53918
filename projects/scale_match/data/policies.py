"""From the settings of a config to a Scale Match policy; reads the histograms."""

import logging
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.scale_policy import (
    MonotoneScaleMatch,
    SampledScaleMatch,
    ScaleLimits,
    ScalePolicy,
)
from scale_match.storage.histograms import read_counted_sizes, read_target_histogram
from scale_match.storage.locations import resolve_data_path

__all__ = ["build_scale_policy"]

_logger = logging.getLogger(__name__)


def build_scale_policy(
    policy: str,
    *,
    target: str,
    source: str | Sequence[str] = (),
    bins: int = 100,
    log: bool = False,
    except_rate: float | None = None,
    scale_range: Sequence[float] = (0.1, 1.0),
    default_scale: float = 0.25,
    max_tries: int = 5,
    out_of_range: str = "clip",
) -> ScalePolicy | None:
    """Build a policy from files and plain values, for both config systems.

    Done once, in the main process; workers get the policy (a few KB) with the mapper.

    Args:
        policy: "none", "sm" (sampled) or "msm" (monotone).
        target: Whose sizes to imitate: an annotation file or a saved histogram.
        source: msm only: one or more annotation files whose sizes are ranked; they must cover the
            training images.
        bins: Bins of the target's histogram.
        log: Whether its inner bins have equal widths in ln(size).
        except_rate: Share of the boxes in its head and tail; None or negative means 2 / bins.
        scale_range: Least and greatest scale.
        default_scale: Scale of an image without boxes.
        max_tries: Draws of "sm" until a scale is in the range.
        out_of_range: "clip" or "default".

    Returns:
        The policy; None for "none".

    Raises:
        InputError: A setting or a file breaks its rule.
    """
    if policy not in ("none", "sm", "msm"):
        raise InputError(f"SCALE_MATCH.POLICY must be 'none', 'sm' or 'msm', not {policy!r}")
    if policy == "none":
        return None
    sources = [source] if isinstance(source, str) else list(source)
    if not target:
        raise InputError(
            f"SCALE_MATCH.POLICY {policy!r} needs SCALE_MATCH.TARGET: an annotation file or a "
            "saved histogram whose object sizes to imitate"
        )
    if policy == "msm" and not any(sources):
        raise InputError(
            "SCALE_MATCH.POLICY 'msm' needs SCALE_MATCH.SOURCE: the annotation file of the images "
            "to train on"
        )
    limits = ScaleLimits(  # checks what the casts claim
        cast("tuple[float, float]", tuple(scale_range)),
        default_scale,
        cast("Literal['clip', 'default']", out_of_range),
        max_tries,
    )
    rate = None if except_rate is None or except_rate < 0 else except_rate
    path = resolve_data_path(target)
    histogram = read_target_histogram(path, bins=bins, log=log, except_rate=rate)
    _logger.info("Scale Match (%s) towards %d boxes of %s", policy, histogram.num_boxes, path)
    if policy == "sm":
        return SampledScaleMatch(histogram, limits)
    sizes = [read_counted_sizes(resolve_data_path(name)) for name in sources]
    return MonotoneScaleMatch.from_sizes(np.concatenate(sizes), histogram, limits)
