"""All numbers of one run that the report shows, gathered from its scores file and its inputs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scale_match.core.ap_result import ApResult, block_name
from scale_match.core.bootstrap import bootstrap_average_precision
from scale_match.core.errors import InputError
from scale_match.core.metric_names import MetricName
from scale_match.core.protocol import Protocol
from scale_match.core.records import FloatArray
from scale_match.core.resampling import LEVEL, interval
from scale_match.scoring.agreement import find_conflicts
from scale_match.scoring.errors import error_block, ladder_block
from scale_match.scoring.files import SavedScores
from scale_match.scoring.image_outcomes import ImageOutcomes, find_image_outcomes
from scale_match.scoring.operating_point import OperatingPoint, find_operating_point
from scale_match.scoring.saved_bootstrap import Interval, bootstrap_intervals, read_bootstrap
from scale_match.scoring.scores import Scores
from scale_match.scoring.size_outcomes import SizeOutcomes, find_size_outcomes
from scale_match.scoring.uncertainty import bootstrap_block

__all__ = ["Metric", "RunFigures", "difference_to", "gather_run", "limits_text", "parse_metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """The value that a report is about.

    Attributes:
        key: Size range and IoU, for example ``tiny_50``.
        name: For example ``AP50_tiny``, or ``AP50_tiny_maxDets200`` where a limit was asked for.
        size_range: Label.
        iou: 100 times the IoU threshold.
        max_dets: Limit of detections per image and category; None for the largest of each run.
    """

    key: str
    name: str
    size_range: str
    iou: int
    max_dets: int | None


@dataclass(frozen=True, slots=True, eq=False)
class RunFigures:
    """One run.

    Attributes:
        place: Its place in the report, from 0.
        label: A short name, unique in the report.
        saved: Its scores file.
        scores: The same evaluated again.
        content: Its values, evaluated again, in the form of a scores file.
        metric: The value in question.
        max_dets: The limit of detections that it has here.
        operating_point: Score from which on boxes are shown and counted.
        images: Outcomes of the metric's size range and IoU from that score on.
        errors: The block ``errors`` of ``scoring.errors.error_block``.
        ladder: The block ``ladder`` of ``scoring.errors.ladder_block``.
        intervals: Bootstrap intervals, fractions by block and key; empty without a bootstrap.
        level: The fraction of resampled values that they hold.
        resamples: Number of resamples behind them; 0 without a bootstrap.
        seed: Of the resamples.
    """

    place: int
    label: str
    saved: SavedScores
    scores: Scores
    content: Mapping[str, Any]
    metric: Metric
    max_dets: int
    operating_point: OperatingPoint
    images: ImageOutcomes
    errors: Mapping[str, Any]
    ladder: Mapping[str, Any]
    intervals: Mapping[str, Mapping[str, Interval]]
    level: float
    resamples: int
    seed: int

    @property
    def protocol(self) -> Protocol:
        """What the values depend on, as the scores file says."""
        return Protocol(self.saved.content["protocol"]["entries"])

    @property
    def result(self) -> ApResult:
        """The evaluation of AP."""
        return self.scores.ap

    def values(self, block: str) -> Mapping[str, float]:
        """A block of the scores file: key -> fraction; empty if it has none.

        Args:
            block: ``AP``, ``AR``, ``MR``, or the first two with ``_maxDets<N>``.
        """
        values: Mapping[str, float] = self.content.get(block, {})
        return values

    def intervals_of(self, block: str) -> Mapping[str, Interval]:
        """The intervals of a block: key -> lower and upper bound; empty if it has none."""
        return self.intervals.get(block, {})

    def block(self, kind: str, limit: int | None = None) -> str:
        """The key of the scores file under which AP or AR of a limit stand.

        Args:
            kind: "AP" or "AR".
            limit: Detections per image and category; the metric's by default.
        """
        return block_name(kind, limit or self.max_dets, self.scores.options.max_dets)

    def value(self) -> float:
        """The metric, a fraction; -1.0 if there is nothing to measure."""
        return self.values(self.block("AP"))[self.metric.key]

    def values_at_other_limits(self) -> dict[int, float]:
        """The metric with other limits, the largest first: limit -> fraction, or -1.0."""
        return {
            limit: self.values(self.block("AP", limit))[self.metric.key]
            for limit in sorted(self.result.max_dets, reverse=True)
            if limit != self.max_dets
        }

    def interval(self) -> Interval | None:
        """The metric's interval, if there is one."""
        return self.intervals_of(self.block("AP")).get(self.metric.key)

    def curve(self, size_range: str, iou: float) -> FloatArray:
        """Interpolated precision at the 101 recall levels, (101,); -1 without ground truth."""
        return self.result.curve(f"{size_range}_{round(100 * iou)}", self.max_dets)

    def sizes(self, edges: FloatArray) -> SizeOutcomes:
        """Objects by size in the widest size range, at the metric's IoU.

        Args:
            edges: Bounds of the bins in pixels, (B + 1,).
        """
        return find_size_outcomes(
            self.result,
            self.scores.inputs.annotations.table,
            f"{self.widest_range}_{self.metric.iou}",
            max_dets=self.max_dets,
            min_score=self.operating_point.score,
            edges=edges,
        )

    @property
    def widest_range(self) -> str:
        """Label of the size range with most objects; the first of equal ones."""
        return self.result.size_ranges[int(np.argmax(self.result.num_targets.sum(axis=1)))]

    @property
    def object_sizes(self) -> FloatArray:
        """sqrt(area) in pixels of the objects that count in the widest range."""
        record = self.result.record
        r, _ = self.result.place(f"{self.widest_range}_{self.metric.iou}")
        rows = record.target_rows[record.counted[r]]
        sizes: FloatArray = np.sqrt(self.scores.inputs.annotations.table.areas[rows])
        return sizes


def parse_metric(text: str) -> Metric:
    """The metric that a name stands for.

    Args:
        text: For example ``AP50_tiny`` or ``AP25_small_maxDets1000``; without a limit it is the
            largest of each run.

    Returns:
        The metric.

    Raises:
        InputError: It is no name of an AP.
    """
    name = MetricName.parse(text)
    if name is None or name.kind != "AP":
        raise InputError(
            "--metric needs the name of an AP such as AP50_tiny or AP25_small_maxDets1000; "
            f"received {text}"
        )
    return Metric(
        key=f"{name.size_range}_{name.iou}",
        name=str(name),
        size_range=name.size_range,
        iou=name.iou,
        max_dets=name.max_dets,
    )


def gather_run(
    saved: SavedScores,
    metric: Metric,
    *,
    place: int = 0,
    label: str | None = None,
    resamples: int | None = None,
    seed: int = 0,
    progress: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> RunFigures:
    """Evaluate a run again and look at it from the metric's point of view.

    Args:
        saved: A scores file.
        metric: What the report is about.
        place: Its place in the report, from 0.
        label: Its name in the report; that of the file by default.
        resamples: How many resamples of the images its intervals are made of; those of the scores
            file, if it has any, by default.
        seed: Of the resamples.
        progress: Wraps the keys that are resampled, for a progress bar.

    Returns:
        The figures.

    Raises:
        InputError: The scored files are gone or have changed, the metric was not evaluated, there
            is no resample, or the scores file's own bootstrap is broken.
    """
    scores = saved.reload()
    limits = scores.options.max_dets
    max_dets = metric.max_dets or max(limits)
    try:
        scores.ap.place(metric.key)
    except InputError as error:
        raise InputError(f"{saved.path}: {error}") from error
    if max_dets not in limits:
        raise InputError(f"{saved.path}: maxDets {max_dets} was not evaluated, only {list(limits)}")
    point = find_operating_point(scores.ap, metric.key, max_dets)
    bootstrap = (
        read_bootstrap(saved)
        if resamples is None
        else bootstrap_block(scores, resamples, seed, progress=progress)
    )
    return RunFigures(
        place=place,
        label=label or saved.label,
        saved=saved,
        scores=scores,
        content=scores.to_dict(),
        metric=metric,
        max_dets=max_dets,
        operating_point=point,
        images=find_image_outcomes(scores.ap, metric.key, max_dets=max_dets, min_score=point.score),
        errors=error_block(scores),
        ladder=ladder_block(scores),
        intervals=bootstrap_intervals(bootstrap),
        level=bootstrap.get("level", LEVEL),
        resamples=bootstrap.get("resamples", 0),
        seed=bootstrap.get("seed", 0),
    )


def difference_to(first: RunFigures, run: RunFigures) -> tuple[float, Interval | None] | None:
    """How much better a run is than the first, in the metric.

    Args:
        first: The run to compare with.
        run: Another run.

    Returns:
        Difference of the fractions, and its interval over resamples of the images that are the same
        in both (None without a bootstrap of the same resamples in both); None if the two cannot be
        compared: a protocol entry differs or is not known, or there is nothing to measure.
    """
    if find_conflicts([first.saved, run.saved]) or min(first.value(), run.value()) < 0:
        return None
    difference = run.value() - first.value()
    settings = {(each.resamples, each.seed, each.level) for each in (first, run)}
    if not first.resamples or len(settings) > 1:
        return difference, None
    found = interval(_samples(run) - _samples(first), first.level)
    return difference, None if found is None else (found.low, found.high)


def limits_text(runs: Sequence[RunFigures]) -> str:
    """The limits of detections that the metric has in runs, for a sentence: "1000 or 300"."""
    return " or ".join(dict.fromkeys(str(run.max_dets) for run in runs))


def _samples(run: RunFigures) -> FloatArray:
    """The metric on resamples of the images, (B,)."""
    return bootstrap_average_precision(
        run.result,
        resamples=run.resamples,
        seed=run.seed,
        keys=[run.metric.key],
        max_dets=run.max_dets,
    )[run.metric.key]
