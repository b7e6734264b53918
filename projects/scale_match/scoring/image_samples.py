"""Values of a scores file on resamples of its images, from the files that were scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scale_match.core.bootstrap import bootstrap_average_precision, bootstrap_average_recall
from scale_match.core.errors import InputError
from scale_match.core.records import FloatArray, IntArray
from scale_match.scoring.files import SavedScores
from scale_match.scoring.saved_metrics import SavedMetric

__all__ = ["ImageSamples", "draw_samples"]

_TOLERANCE = 1e-9  # to which a value must be the same when it is computed again


@dataclass(frozen=True, slots=True, eq=False)
class ImageSamples:
    """What a scores file gives on resamples of its images.

    Attributes:
        gt_sha256: Hash of the ground truth.
        image_ids: Ascending, (I,).
        samples: Name of a metric -> its value in each resample, NaN without ground truth, (B,).
    """

    gt_sha256: str | None
    image_ids: IntArray
    samples: Mapping[str, FloatArray]


def draw_samples(
    saved: SavedScores, metrics: Sequence[SavedMetric], *, resamples: int, seed: int
) -> ImageSamples:
    """Score the inputs of a scores file again, and resample their images.

    Args:
        saved: A scores file.
        metrics: Its values; only AP and AR get samples.
        resamples: How many, B.
        seed: Files over equally many images get the same resamples for the same seed.

    Returns:
        The samples.

    Raises:
        InputError: A file that was scored is gone or has changed, scoring it again gives another
            value, there is no resample, or the seed is negative.
    """
    result = saved.reload(ap_only=True).ap
    samples = {}
    for metric in metrics:
        if not metric.is_resampled or metric.max_dets is None:
            continue
        is_precision = metric.kind == "AP"
        values = result.average_precision if is_precision else result.average_recall
        again = values(metric.max_dets)[metric.key]
        if not abs(again - metric.value) <= _TOLERANCE:
            raise InputError(
                f"{saved.path} has {metric.name} = {metric.value}, but its inputs give {again} now"
            )
        draw = bootstrap_average_precision if is_precision else bootstrap_average_recall
        samples[metric.name] = draw(
            result, resamples=resamples, seed=seed, keys=[metric.key], max_dets=metric.max_dets
        )[metric.key]
    entry = saved.content["inputs"].get("gt") or {}
    return ImageSamples(entry.get("sha256"), result.record.image_ids, samples)
