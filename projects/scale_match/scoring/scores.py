"""One evaluation of detections, for the evaluation tool, the trainer and the report alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scale_match.core.ap_result import ApResult, scores_dict
from scale_match.core.average_precision import (
    IOU_THRESHOLDS,
    MAX_DETS,
    check_options,
    evaluate_average_precision,
)
from scale_match.core.miss_rate import (
    MAX_DETECTIONS,
    MissRateResult,
    check_miss_rate_options,
    evaluate_miss_rate,
)
from scale_match.core.protocol import Protocol
from scale_match.scoring.fingerprint import scoring_protocol
from scale_match.scoring.inputs import ScoringInputs
from scale_match.scoring.standards import TINY, Standard, coco_metrics, coco_notes

__all__ = ["Scores", "ScoringOptions", "score"]

_IGNORE_RULE = (
    "ignore, uncertain, iscrowd, or size out of range; forgives at IoU or IoD >= the threshold"
)
_MISS_RATE_IGNORE_RULE = (
    "ignore, uncertain, visibility < 0.65, or size out of range; forgives at IoD v >= the "
    "threshold or v / (1 + v) * (1 + A_g / A_d) > 0.5"
)


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How detections are scored.

    Attributes:
        standard: Size ranges of AP and miss rate, and whether COCO's numbers are wanted, too.
        max_dets: Limits of detections per image and category; the first is that of ``AP`` and
            ``AR``. The miss rate has its own of 1000.
        iou_thresholds: IoU from which on a detection has found an object, of AP and miss rate.
        miss_rate: Whether to compute it.
        per_category: Whether to write AP of each category.
        reference_bugs: Repeat the plain errors of the authors' code.

    Raises:
        InputError: A value is out of range.
    """

    standard: Standard = field(default=TINY)
    max_dets: tuple[int, ...] = MAX_DETS
    iou_thresholds: tuple[float, ...] = IOU_THRESHOLDS
    miss_rate: bool = True
    per_category: bool = False
    reference_bugs: bool = False

    def __post_init__(self) -> None:
        check_options(self.max_dets, self.iou_thresholds, self.standard.size_ranges)
        check_miss_rate_options(self.iou_thresholds, self.standard.miss_rate_ranges)

    def ap_only(self) -> "ScoringOptions":
        """The same without miss rate and COCO's numbers; the protocol stays the same, too."""
        standard = self.standard
        if standard.coco:
            # Named as in the protocol, where COCO's numbers make no difference.
            standard = replace(standard, name=TINY.name, coco=False)
        return replace(self, standard=standard, miss_rate=False)

    def to_dict(self) -> dict[str, Any]:
        """The form in which a scores file holds them."""
        return {
            "standard": self.standard.name,
            "size_ranges": _listed(self.standard.size_ranges),
            "miss_rate_ranges": _listed(self.standard.miss_rate_ranges),
            "coco": self.standard.coco,
            "max_dets": list(self.max_dets),
            "iou": list(self.iou_thresholds),
            "miss_rate": self.miss_rate,
            "per_category": self.per_category,
            "reference_bugs": self.reference_bugs,
        }

    def protocol_entries(self) -> dict[str, Any]:
        """The entries of a protocol that they decide.

        What was left out (the miss rate, values per category) changes no other value and is no
        entry.
        """
        return {
            # COCO's numbers are added to those of the tiny standard and change none of them.
            "standard": TINY.name if self.standard.coco else self.standard.name,
            "size_ranges": _listed(self.standard.size_ranges),
            "iou_thresholds": list(self.iou_thresholds),
            "max_dets": list(self.max_dets),
            "ignore_rule": _IGNORE_RULE,
            "miss_rate_ranges": _listed(self.standard.miss_rate_ranges),
            "miss_rate_max_dets": MAX_DETECTIONS,
            "miss_rate_ignore_rule": _MISS_RATE_IGNORE_RULE,
            "reference_bugs": self.reference_bugs,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What an evaluation gave.

    Attributes:
        options: How it was scored.
        inputs: What was scored.
        ap: Average precision and recall, with what happened to every detection.
        mr: Miss rate; None if it was not wanted.
        coco: pycocotools' twelve numbers by name; None if the standard does not ask for them.
        protocol: All that the values depend on.
    """

    options: ScoringOptions
    inputs: ScoringInputs
    ap: ApResult
    mr: MissRateResult | None
    coco: Mapping[str, float] | None
    protocol: Protocol

    def to_dict(self) -> dict[str, Any]:
        """The content of a scores file: the keys of the oracle's ``expected.json``, and more.

        Returns:
            ``AP``, ``AR``, ``AP_counts`` and the same with ``_maxDets<N>`` for further limits;
            ``MR``, ``MR_points``, ``MR_counts``; ``AP_per_category``, ``MR_per_category`` and
            ``COCO`` if wanted; ``set`` (numbers of images, boxes and detections),
            ``protocol``, ``inputs``, ``options`` and ``warnings``.
        """
        content = scores_dict(self.ap, per_category=self.options.per_category)
        if self.mr is not None:
            content |= {
                "MR": self.mr.miss_rates(),
                "MR_points": self.mr.points(),
                "MR_counts": self.mr.counts(),
            }
            if self.options.per_category:
                content["MR_per_category"] = {
                    str(category): values
                    for category, values in self.mr.category_miss_rates().items()
                }
        if self.coco is not None:
            content["COCO"] = dict(self.coco)
        return content | {
            "set": _set_entry(self.inputs),
            "protocol": self.protocol.to_dict(),
            "inputs": _inputs_entry(self.inputs),
            "options": self.options.to_dict(),
            "warnings": list(self.warnings),
        }

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user, on the inputs and on what COCO's numbers make of them."""
        notes = () if self.coco is None else coco_notes(self.inputs.annotations)
        return (*self.inputs.warnings, *notes)


def score(
    inputs: ScoringInputs,
    options: ScoringOptions | None = None,
    model_protocol: Mapping[str, Any] | None = None,
) -> Scores:
    """Score detections: the one evaluation behind the tool, the trainer and the report.

    Args:
        inputs: Ground truth and detections.
        options: How; the tiny standard with its defaults if None.
        model_protocol: Entries of the protocol that only the model knows.

    Returns:
        All values.

    Raises:
        InputError: ``model_protocol`` contradicts what is known, or a box or score is not finite.
    """
    options = options or ScoringOptions()
    protocol = scoring_protocol(inputs, options.protocol_entries(), model_protocol)
    ap = evaluate_average_precision(
        inputs.annotations,
        inputs.detections,
        max_dets=options.max_dets,
        iou_thresholds=options.iou_thresholds,
        size_ranges=options.standard.size_ranges,
        reference_bugs=options.reference_bugs,
    )
    return Scores(
        options=options,
        inputs=inputs,
        ap=ap,
        mr=_miss_rate(inputs, options) if options.miss_rate else None,
        coco=_coco(inputs) if options.standard.coco else None,
        protocol=protocol,
    )


def _miss_rate(inputs: ScoringInputs, options: ScoringOptions) -> MissRateResult:
    return evaluate_miss_rate(
        inputs.annotations,
        inputs.detections,
        iou_thresholds=options.iou_thresholds,
        size_ranges=options.standard.miss_rate_ranges,
        reference_bugs=options.reference_bugs,
    )


def _coco(inputs: ScoringInputs) -> dict[str, float]:
    return coco_metrics(inputs.annotations, inputs.detections)


def _set_entry(inputs: ScoringInputs) -> dict[str, int]:
    """Numbers of images, boxes and detections (those of undeclared categories included)."""
    return {
        "images": len(inputs.annotations.images),
        "gts": len(inputs.annotations.table),
        "dets": len(inputs.detections) + inputs.num_dropped,
        "dets_dropped": inputs.num_dropped,
    }


def _inputs_entry(inputs: ScoringInputs) -> dict[str, Any]:
    files = {
        "gt": (inputs.gt_path, inputs.gt_sha256),
        "dt": (inputs.dt_path, inputs.dt_sha256),
        "tiles": (inputs.tiles_path, inputs.tiles_sha256),
    }
    entries: dict[str, Any] = {
        name: None if path is None else {"path": str(path), "sha256": sha256}
        for name, (path, sha256) in files.items()
    }
    return entries | {"merge": inputs.merge}


def _listed(ranges: Mapping[str, tuple[float, float]]) -> dict[str, list[float]]:
    return {label: list(bounds) for label, bounds in ranges.items()}
