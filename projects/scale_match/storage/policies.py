"""From files and settings to a Scale Match policy: for both config systems and the preview."""

import inspect
import logging
import math
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from scale_match.core.errors import InputError
from scale_match.core.gaussian_scale_match import GaussianScaleMatch
from scale_match.core.gaussian_target import GaussianTarget, log_moments
from scale_match.core.records import FloatArray
from scale_match.core.scale_policy import (
    MonotoneScaleMatch,
    SampledScaleMatch,
    ScaleLimits,
    ScalePolicy,
)
from scale_match.storage.histograms import (
    load_histogram,
    read_counted_sizes,
    read_target_histogram,
    saved_settings,
)
from scale_match.storage.locations import resolve_data_path
from scale_match.storage.normal_samples import read_normal_sample
from scale_match.storage.object_sizes import read_object_sizes

__all__ = ["POLICIES", "SIZES_PER", "build_gaussian_target", "build_scale_policy", "given_mu_sigma"]

POLICIES = ("none", "sm", "msm", "gsm")
SIZES_PER = ("image", "box")
# Settings that the other policies do not look at.
_ONLY_FOR = {
    "log": ("sm", "msm"),
    "normal_sample": ("gsm",),
    "min_size": ("gsm",),
    "size_per": ("gsm",),
    "max_tries": ("sm",),
}
# The authors leave out samples whose logarithm is not above 0.
_MIN_SIZE_OF_SAMPLE = 1.0
# Enough evenly spread sizes of a saved histogram for mean and deviation of their logarithms.
_NUM_QUANTILES = 20_000

_logger = logging.getLogger(__name__)


def build_scale_policy(
    policy: str,
    *,
    target: str,
    source: str | Sequence[str] = (),
    bins: int = 100,
    log: bool = False,
    except_rate: float | None = None,
    mu_sigma: Sequence[float] = (),
    normal_sample: str = "",
    min_size: float = -1.0,
    size_per: str = "image",
    scale_range: Sequence[float] = (0.1, 1.0),
    default_scale: float = 0.25,
    max_tries: int = 5,
    out_of_range: str = "clip",
) -> ScalePolicy | None:
    """Build a policy from files and plain values, for both config systems.

    Done once, in the main process; workers get the policy (a few KB) with the mapper.

    Args:
        policy: "none", "sm" (sampled), "msm" (monotone) or "gsm" (Gaussian).
        target: Whose sizes to imitate: an annotation file or a saved histogram. For gsm needed
            only if ``mu_sigma`` is empty.
        source: msm and gsm: one or more annotation files whose sizes are ranked; they must cover
            the training images.
        bins: Bins of the target.
        log: Whether the inner bins of its histogram have equal widths in ln(size); gsm always
            works with ln(size).
        except_rate: Share of the boxes in its head and tail; None or negative means 2 / bins. Not
            for gsm, whose bins have equal shares.
        mu_sigma: sm and msm: mean and deviation in pixels that the target's sizes are moved to
            before they are counted. gsm: mean and deviation of ln(size), by default those of the
            target. Empty, or both numbers 0 or less (deviation alone for gsm), means not given.
        normal_sample: gsm: a file of standard normal numbers to take the quantiles from; by
            default they are exact.
        min_size: gsm: smaller sizes, in pixels, are not aimed at. Negative means what the authors
            do with a sample file, 1, and 0 (all sizes) without one.
        size_per: gsm: rank the sizes of "box" or the mean size of each "image" of the source.
        scale_range: Least and greatest scale.
        default_scale: Scale of an image without boxes.
        max_tries: Draws of "sm" until a scale is in the range.
        out_of_range: "clip" or "default".

    Returns:
        The policy; None for "none".

    Raises:
        InputError: A setting or a file breaks its rule.
    """
    if policy not in POLICIES:
        names = ", ".join(map(repr, POLICIES))
        raise InputError(f"SCALE_MATCH.POLICY must be one of {names}, not {policy!r}")
    if policy == "none":
        return None
    sources = [name for name in ([source] if isinstance(source, str) else source) if name]
    if policy != "sm" and not sources:
        raise InputError(
            f"SCALE_MATCH.POLICY {policy!r} needs SCALE_MATCH.SOURCE: the annotation file of the "
            "images to train on"
        )
    _warn_of_unused(
        policy,
        log=log,
        normal_sample=normal_sample,
        min_size=max(min_size, -1.0),  # all negative numbers mean the same
        size_per=size_per,
        max_tries=max_tries,
    )
    limits = ScaleLimits(  # checks what the casts claim
        cast("tuple[float, float]", tuple(scale_range)),
        default_scale,
        cast("Literal['clip', 'default']", out_of_range),
        max_tries,
    )
    if policy == "gsm":
        _check_gaussian(size_per, except_rate)
        aimed_at = build_gaussian_target(target, mu_sigma, normal_sample, bins, min_size)
        return GaussianScaleMatch.from_sizes(_source_sizes(sources, size_per), aimed_at, limits)
    if not target:
        raise InputError(
            f"SCALE_MATCH.POLICY {policy!r} needs SCALE_MATCH.TARGET: an annotation file or a "
            "saved histogram whose object sizes to imitate"
        )
    path = resolve_data_path(target)
    histogram = read_target_histogram(
        path,
        bins=bins,
        log=log,
        except_rate=None if except_rate is None or except_rate < 0 else except_rate,
        mu_sigma=given_mu_sigma(mu_sigma),
    )
    _logger.info("Scale Match (%s) towards %d boxes of %s", policy, histogram.num_boxes, path)
    if policy == "sm":
        return SampledScaleMatch(histogram, limits)
    return MonotoneScaleMatch.from_sizes(_source_sizes(sources, "box"), histogram, limits)


def _warn_of_unused(policy: str, **settings: object) -> None:
    """Name the settings that are not the default and that the policy does not look at."""
    parameters = inspect.signature(build_scale_policy).parameters
    unused = [
        f"{name} {settings[name]!r} (for {' and '.join(policies)})"
        for name, policies in _ONLY_FOR.items()
        if policy not in policies and settings[name] != parameters[name].default
    ]
    if unused:
        _logger.warning("Scale Match policy %r does not use %s", policy, ", ".join(unused))


def _check_gaussian(size_per: str, except_rate: float | None) -> None:
    """Refuse what gsm cannot be asked for."""
    if size_per not in SIZES_PER:
        raise InputError(f"size_per must be 'image' or 'box', got {size_per!r}")
    if except_rate is not None and except_rate > 0:
        raise InputError(
            f"except_rate is not for gsm, whose bins have equal shares, got {except_rate}"
        )


def build_gaussian_target(
    target: str,
    mu_sigma: Sequence[float],
    normal_sample: str = "",
    bins: int = 100,
    min_size: float = -1.0,
) -> GaussianTarget:
    """The distribution that gsm aims at; arguments as of :func:`build_scale_policy`.

    Raises:
        InputError: A setting or a file breaks its rule.
    """
    mu, sigma = _mu_sigma_of_logs(target, mu_sigma)
    _logger.info("Scale Match (gsm) towards ln(size) of mean %.4g and deviation %.4g", mu, sigma)
    if not normal_sample:
        return GaussianTarget.analytic(mu, sigma, bins=bins, min_size=max(min_size, 0.0))
    path = resolve_data_path(normal_sample)
    sample = read_normal_sample(path)
    least = _MIN_SIZE_OF_SAMPLE if min_size < 0.0 else min_size
    try:
        return GaussianTarget.from_sample(sample, mu, sigma, bins=bins, min_size=least)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _mu_sigma_of_logs(target: str, mu_sigma: Sequence[float]) -> tuple[float, float]:
    """Mean and deviation of ln(size): as given, else those of the target's sizes."""
    given = given_mu_sigma(mu_sigma)
    if given is not None:
        return given
    if not target:
        raise InputError(
            "SCALE_MATCH.POLICY 'gsm' needs SCALE_MATCH.MU_SIGMA, mean and deviation of ln(size), "
            "or SCALE_MATCH.TARGET to take them from"
        )
    path = resolve_data_path(target)
    if saved_settings(path) is None:
        sizes = read_counted_sizes(path)
    else:
        middles = (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES
        sizes = load_histogram(path).quantile(middles)
    try:
        return log_moments(sizes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def given_mu_sigma(mu_sigma: Sequence[float]) -> tuple[float, float] | None:
    """Mean and deviation of a config; None where it gives none.

    Args:
        mu_sigma: Two numbers; or none, or two of which none is positive, as the authors' [-1, -1].

    Raises:
        InputError: It is something else.
    """
    try:
        values = [float(value) for value in mu_sigma]
    except (TypeError, ValueError):
        values = [math.nan]
    if len(values) not in (0, 2):
        raise InputError(f"mu_sigma must be two numbers or empty, got {mu_sigma!r}")
    return None if all(value <= 0.0 for value in values) else (values[0], values[1])


def _source_sizes(sources: Sequence[str], size_per: str) -> FloatArray:
    files = [read_object_sizes(resolve_data_path(name)) for name in sources]
    return np.concatenate([file.boxes if size_per == "box" else file.images for file in files])
