"""What an evaluation measures: the benchmark's size ranges, COCO's numbers, or a user's ranges.

``tiny`` is the default: the ranges of the TinyPerson benchmark. ``coco`` adds pycocotools' twelve
numbers to it. A YAML file gives ranges of its own, which the rules of ``tiny`` are applied to.
"""

import contextlib
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import yaml
from pycocotools import coco, cocoeval

from scale_match.core.average_precision import IOU_THRESHOLDS, MAX_DETS, SIZE_RANGES, check_options
from scale_match.core.errors import InputError
from scale_match.core.miss_rate import MISS_RATE_RANGES, check_miss_rate_options
from scale_match.core.ranking import rank_detections, rank_ground_truth
from scale_match.core.records import Annotations, DetectionTable
from scale_match.storage.annotations import read_annotations
from scale_match.storage.files import read_bytes

__all__ = [
    "COCO",
    "COCO_METRICS",
    "TINY",
    "Standard",
    "coco_metrics",
    "coco_notes",
    "load_standard",
]

COCO_METRICS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)
"""Names of pycocotools' twelve numbers, in its order."""

_COCO_MAX_DETS = 100  # pycocotools' largest limit of detections per image and category

_Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Standard:
    """What is measured.

    Attributes:
        name: ``tiny``, ``coco``, or that of a user's standard.
        size_ranges: Label -> smallest and largest sqrt(area) in pixels, of AP and AR.
        miss_rate_ranges: Label -> smallest and largest size in pixels, of the miss rate.
        coco: Whether COCO's own numbers are wanted, too.
        iou_thresholds: Its IoU thresholds; None if it does not set them.
        max_dets: Its limits of detections per image and category; None if it does not set them.

    Raises:
        InputError: A value is out of range.
    """

    name: str
    size_ranges: Mapping[str, _Range]
    miss_rate_ranges: Mapping[str, _Range]
    coco: bool = False
    iou_thresholds: tuple[float, ...] | None = None
    max_dets: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        thresholds = IOU_THRESHOLDS if self.iou_thresholds is None else self.iou_thresholds
        max_dets = MAX_DETS if self.max_dets is None else self.max_dets
        check_options(max_dets, thresholds, self.size_ranges)
        check_miss_rate_options(thresholds, self.miss_rate_ranges)
        for ranges in (self.size_ranges, self.miss_rate_ranges):
            if not all(map(math.isfinite, chain.from_iterable(ranges.values()))):
                raise InputError(
                    "size ranges need finite bounds, for example 100000 for no upper one; "
                    f"received {dict(ranges)}"
                )


TINY = Standard("tiny", SIZE_RANGES, MISS_RATE_RANGES)
COCO = Standard("coco", SIZE_RANGES, MISS_RATE_RANGES, coco=True)
_NAMED = {standard.name: standard for standard in (TINY, COCO)}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The long form of a user's file; the short form is the value of ``size_ranges`` alone."""

    size_ranges: dict[str, _Range]
    miss_rate_ranges: dict[str, _Range] | None = None
    iou_thresholds: list[float] | None = None
    max_dets: list[int] | None = None
    name: str | None = None


def load_standard(name_or_path: str | os.PathLike[str]) -> Standard:
    """A standard by its name, or from a user's YAML file.

    Args:
        name_or_path: ``tiny``, ``coco``, or the path of a YAML file: either a mapping of labels to
            [smallest, largest] sqrt(area) in pixels, or one with the keys ``size_ranges`` (such a
            mapping), ``miss_rate_ranges`` (by default the same), ``iou_thresholds``,
            ``max_dets`` and ``name`` (by default that of the file).

    Returns:
        The standard.

    Raises:
        InputError: There is no such name or file, or the file is broken; the message names the
            file, the place, the rule and the value.

    Example:
        >>> load_standard("tiny").size_ranges["tiny1"]
        (1.0, 8.0)
    """
    text = os.fspath(name_or_path)
    if text in _NAMED:
        return _NAMED[text]
    if Path(text).suffix not in (".yaml", ".yml"):
        raise InputError(
            f"a standard must be {' or '.join(_NAMED)} or the path of a .yaml file, received "
            f"{text!r}"
        )
    file = _decode(_parse_yaml(text), text)
    miss_rate_ranges = file.miss_rate_ranges
    try:
        return Standard(
            name=file.name or Path(text).stem,
            size_ranges=file.size_ranges,
            miss_rate_ranges=file.size_ranges if miss_rate_ranges is None else miss_rate_ranges,
            iou_thresholds=_listed(file.iou_thresholds),
            max_dets=_listed(file.max_dets),
        )
    except InputError as error:
        raise InputError(f"{text}: {error}") from error


def coco_metrics(
    gt: str | os.PathLike[str] | Annotations, detections: DetectionTable
) -> dict[str, float]:
    """COCO's twelve numbers for boxes, computed by pycocotools with its own rules.

    Only ``iscrowd`` makes a box ignored here: pycocotools overwrites ``ignore`` with it, and does
    not know ``uncertain``. The numbers are those that pycocotools gives for the same files, its
    error with annotation id 0 included; see :func:`coco_notes`.

    Args:
        gt: Ground truth, or the path of its file.
        detections: Of its images; those of undeclared categories are dropped, as pycocotools does.

    Returns:
        ``COCO_METRICS`` -> fraction, -1.0 where there is nothing to measure.

    Raises:
        InputError: A file is broken, or a detection belongs to an unknown image, or its box or
            score is not finite.
    """
    annotations = gt if isinstance(gt, Annotations) else read_annotations(gt)
    # pycocotools looks at no more of them, and takes a minute for what is not needed.
    best = rank_detections(
        detections,
        rank_ground_truth(annotations),
        limit=_COCO_MAX_DETS,
        source=annotations.source,
    )
    columns = (
        detections.image_ids[best.rows].tolist(),
        detections.category_ids[best.rows].tolist(),
        best.boxes.tolist(),
        (best.boxes[:, 2] * best.boxes[:, 3]).tolist(),
        best.scores.tolist(),
    )
    entries = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": area,
            "score": score,
            "iscrowd": 0,
        }
        for number, (image, category, box, area, score) in enumerate(
            zip(*columns, strict=True), start=1
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # it reports every step
        evaluation = cocoeval.COCOeval(
            _coco_index(annotations, _truth_entries(annotations)),
            _coco_index(annotations, entries),
            "bbox",
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_METRICS, map(float, evaluation.stats), strict=True))


def coco_notes(annotations: Annotations) -> tuple[str, ...]:
    """What a user should hear about COCO's numbers for this ground truth.

    Args:
        annotations: The ground truth.

    Returns:
        Sentences, usually none.
    """
    table = annotations.table
    notes = []
    if (table.ids == 0).any():
        notes.append(
            f"{annotations.source}: annotation id 0: COCO's numbers are those of pycocotools, "
            "which counts what is matched to that annotation as false"
        )
    if others := int(((table.ignore | table.uncertain) & ~table.iscrowd).sum()):
        notes.append(
            f"{annotations.source}: {others} of {len(table)} annotations are flagged ignore or "
            "uncertain but not iscrowd: in COCO's numbers they are ordinary objects"
        )
    return tuple(notes)


def _parse_yaml(path: str) -> Any:  # noqa: ANN401 - YAML is any value
    try:
        return yaml.safe_load(read_bytes(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _decode(value: Any, path: str) -> _File:  # noqa: ANN401 - YAML is any value
    if not isinstance(value, dict) or not value:
        raise InputError(
            f"{path} is no standard: a mapping of labels to [smallest, largest] size is needed, "
            f"received {value!r}"
        )
    short = not value.keys() & set(_File.__struct_fields__)
    try:
        # Not strict, because YAML takes 1e5 for a text.
        return msgspec.convert({"size_ranges": value} if short else value, _File, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path} is no standard: {error}; a label needs [smallest, largest] size, and the keys "
            f"of the long form are {', '.join(_File.__struct_fields__)}; received {value!r}"
        ) from error


def _listed(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _coco_index(annotations: Annotations, entries: list[dict[str, Any]]) -> coco.COCO:
    """What pycocotools keeps of a file with these boxes."""
    index = coco.COCO()
    index.dataset = {
        "images": [{"id": image.image_id} for image in annotations.images],
        "categories": [{"id": entry.category_id} for entry in annotations.categories],
        "annotations": entries,
    }
    index.createIndex()
    return index


def _truth_entries(annotations: Annotations) -> list[dict[str, Any]]:
    table = annotations.table
    columns = (
        table.ids.tolist(),
        table.image_ids.tolist(),
        table.category_ids.tolist(),
        table.boxes.tolist(),
        table.areas.tolist(),
        table.iscrowd.astype(int).tolist(),
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns, strict=True)]
