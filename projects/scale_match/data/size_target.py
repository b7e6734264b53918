"""Whose sizes the samplers of parts of images imitate, and within which limits.

Exact-scale tiles and mosaics take the settings of Scale Match: target, histogram, allowed scales.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from detectron2.config import CfgNode

from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_limits import ScaleLimits
from scale_match.data.policies import training_annotations
from scale_match.storage.histograms import read_target_histogram
from scale_match.storage.locations import resolve_data_path
from scale_match.storage.policies import given_mu_sigma

__all__ = ["SizeTarget"]


class SizeTarget(NamedTuple):  # no dataclass: OmegaConf takes these for schemas
    """The keys of Scale Match that a sampler in place of a policy obeys.

    Attributes:
        policy: Must be "none": the sampler chooses the scale.
        target: An annotation file or a saved histogram.
        source: Exact-scale tiles: the annotation file or files to train on.
        bins: See ``SCALE_MATCH.BINS``.
        log: See ``SCALE_MATCH.LOG``.
        except_rate: See ``SCALE_MATCH.EXCEPT_RATE``; None or negative means 2 / bins.
        mu_sigma: See ``SCALE_MATCH.MU_SIGMA``, in pixels.
        scale_range: Least and greatest zoom.
        default_scale: Zoom of an image without a box.
        out_of_range: What becomes of another zoom, "clip" or "default".
    """

    policy: str = "none"
    target: str = ""
    source: str | Sequence[str] = ()
    bins: int = 100
    log: bool = False
    except_rate: float | None = None
    mu_sigma: Sequence[float] = ()
    scale_range: Sequence[float] = (0.1, 1.0)
    default_scale: float = 0.25
    out_of_range: str = "clip"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "SizeTarget":
        """The settings of ``SCALE_MATCH``.

        Raises:
            InputError: The training set names no annotation file, which exact tiles need.
        """
        node = cfg.SCALE_MATCH
        needs_source = bool(node.AUGMENT.EXACT_TILE)
        return cls(
            policy=node.POLICY,
            target=node.TARGET,
            source=(node.SOURCE or training_annotations(cfg)) if needs_source else (),
            bins=node.BINS,
            log=node.LOG,
            except_rate=node.EXCEPT_RATE,
            mu_sigma=node.MU_SIGMA,
            scale_range=node.SCALE_RANGE,
            default_scale=node.DEFAULT_SCALE,
            out_of_range=node.OUT_OF_RANGE,
        )

    def histogram(self, asked_by: str) -> SizeHistogram:
        """The distribution to reach.

        Args:
            asked_by: The sampler's key, for messages.

        Raises:
            InputError: There is a policy beside the sampler, no target, or a file or a setting
                breaks its rule.
        """
        if self.policy != "none":
            raise InputError(
                "SCALE_MATCH.POLICY (dataloader.train.mapper.scale_policy.policy) must be none "
                f"with {asked_by}, which chooses the scale itself, but is {self.policy!r}"
            )
        if not self.target:
            raise InputError(
                f"{asked_by} needs SCALE_MATCH.TARGET "
                "(dataloader.train.mapper.scale_policy.target): an annotation file or a saved "
                "histogram whose object sizes to imitate"
            )
        rate = self.except_rate
        return read_target_histogram(
            resolve_data_path(self.target),
            bins=self.bins,
            log=self.log,
            except_rate=None if rate is None or rate < 0 else rate,
            mu_sigma=given_mu_sigma(self.mu_sigma),
        )

    def limits(self) -> ScaleLimits:
        """The allowed zooms.

        Raises:
            InputError: A value breaks its rule.
        """
        return ScaleLimits(  # checks what the casts claim
            cast("tuple[float, float]", tuple(self.scale_range)),
            self.default_scale,
            cast("Literal['clip', 'default']", self.out_of_range),
        )
