"""AP50_tiny and its relatives as a Detectron2 evaluator."""

import logging
import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from scale_match.core.average_precision import MAX_DETS
from scale_match.core.errors import InputError
from scale_match.core.metric_names import tiny_metrics
from scale_match.core.metric_tables import sizes_by_iou
from scale_match.core.records import Annotations, DetectionTable, FloatArray, IntArray
from scale_match.scoring.files import SCORES_FILE, write_scores
from scale_match.scoring.inputs import table_inputs
from scale_match.scoring.protocol_files import PROTOCOL_FILE, write_protocol
from scale_match.scoring.scores import Scores, ScoringOptions, score
from scale_match.storage.annotations import read_annotations
from scale_match.storage.fingerprints import content_sha256
from scale_match.storage.results import write_detections, write_metrics

__all__ = ["DETECTIONS_FILE", "METRICS_FILE", "TinyObjectEvaluator"]

DETECTIONS_FILE = "coco_instances_results.json"
METRICS_FILE = "metrics.json"

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _ImageDetections:
    """What a model found in one image: boxes XYXY_ABS (n, 4), scores (n,), class indices (n,)."""

    image_id: int
    boxes: FloatArray
    scores: FloatArray
    classes: IntArray


class TinyObjectEvaluator(DatasetEvaluator):
    """Evaluate boxes by the protocol of TinyPerson; see docs/metrics.md.

    All images of the annotation file count. One that was never processed counts as one without
    detections, and a warning says how many there were.

    Args:
        dataset_name: A registered data set, whose metadata has ``json_file`` and
            ``thing_dataset_id_to_contiguous_id``. Exactly one of this and ``annotations``.
        annotations: The ground truth.
        category_ids: Category id of the file for each class index of the model; by default that
            of the metadata, or the file's ids in ascending order.
        output_dir: Folder for the detections (COCO results form), ``metrics.json``,
            ``scores.json`` (as of tools/evaluate.py) and ``protocol.json``; None writes nothing. It
            should not be the folder of a training, where detectron2 has a ``metrics.json``.
        distributed: Gather the detections of all processes. If False, each process evaluates what
            it has seen.
        max_dets: Limits of detections per image and category.

    Attributes:
        model_protocol: What a score depends on and only the model knows, for the two last files;
            None until somebody says it (``scale_match.engine.protocol``).

    Raises:
        InputError: If not exactly one source of ground truth is given, or the data set does not
            name an annotation file, or that file is broken, or a limit is not positive.
    """

    def __init__(
        self,
        dataset_name: str | None = None,
        *,
        annotations: Annotations | None = None,
        category_ids: Sequence[int] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        distributed: bool = True,
        max_dets: Sequence[int] = MAX_DETS,
    ) -> None:
        self._annotations, ids = _ground_truth(dataset_name, annotations)
        # A path only where it is sure that the ground truth is what that file holds.
        self._gt_path = None if dataset_name is None else Path(self._annotations.source).absolute()
        self._gt_sha256 = None if self._gt_path is None else content_sha256(self._gt_path)
        self._category_ids = np.array(ids if category_ids is None else category_ids, np.int64)
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._distributed = distributed
        self._options = ScoringOptions(max_dets=tuple(max_dets))
        self.model_protocol: Mapping[str, Any] | None = None
        self._seen: list[_ImageDetections] = []
        self._said: set[str] = set()

    def reset(self) -> None:
        """Forget all detections."""
        self._seen = []

    def process(
        self, inputs: Iterable[Mapping[str, Any]], outputs: Iterable[Mapping[str, Any]]
    ) -> None:
        """Keep the detections of some images, as plain arrays.

        Args:
            inputs: What the model was given; only ``image_id`` is read.
            outputs: What it returned: ``instances`` with ``pred_boxes``, ``scores`` and
                ``pred_classes``, in the coordinates of the whole image.
        """
        for given, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to("cpu")
            self._seen.append(
                _ImageDetections(
                    image_id=int(given["image_id"]),
                    boxes=instances.pred_boxes.tensor.double().numpy(),
                    scores=instances.scores.double().numpy(),
                    classes=instances.pred_classes.long().numpy(),
                )
            )

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Gather, evaluate, write and log.

        Returns:
            On the main process ``{"bbox": {name: fraction}}``, names as in
            ``scale_match.core.metric_names``; empty on the others.

        Raises:
            InputError: If an image was processed twice or is not one of the annotation file, a
                class has no category id, or a box or score is not finite.
        """
        seen = self._seen
        if self._distributed:
            comm.synchronize()
            gathered = comm.gather(seen, dst=0)
            if not comm.is_main_process():
                return {}
            seen = [image for part in gathered for image in part]
        # The same file for any number of processes.
        seen = sorted(seen, key=attrgetter("image_id"))
        self._check_images(seen)
        table = _table(seen, self._category_ids)
        scores = self._score(table)
        metrics = tiny_metrics(scores.ap)
        if self._output_dir is not None:
            write_metrics(self._output_dir / METRICS_FILE, metrics)
            write_scores(self._output_dir / SCORES_FILE, scores)
            write_protocol(self._output_dir / PROTOCOL_FILE, self.model_protocol or {})
        self._log(metrics, len(table))
        return OrderedDict(bbox=metrics)

    def _score(self, table: DetectionTable) -> Scores:
        """Scores of the detections, which are written first where there is a folder."""
        inputs = replace(
            table_inputs(self._annotations, table, source="the model's output"),
            gt_path=self._gt_path,
            gt_sha256=self._gt_sha256,
        )
        if self._output_dir is not None:
            path = self._output_dir.absolute() / DETECTIONS_FILE
            write_detections(path, table)
            inputs = replace(inputs, dt_path=path, dt_sha256=content_sha256(path))
        for warning in inputs.warnings:
            if warning not in self._said:
                _LOGGER.warning("%s", warning)
        self._said.update(inputs.warnings)
        return score(inputs, self._options, self.model_protocol)

    def _check_images(self, seen: Sequence[_ImageDetections]) -> None:
        times = Counter(image.image_id for image in seen)
        known = {image.image_id for image in self._annotations.images}
        if unknown := times.keys() - known:
            raise InputError(
                f"image {min(unknown)} was processed, but {self._annotations.source} does not "
                "list it"
            )
        image_id, most = max(times.items(), key=itemgetter(1), default=(0, 0))
        if most > 1:
            raise InputError(
                f"image {image_id} was processed more than once, so its "
                "detections would count twice; the test loader must give every image once, as "
                "detectron2's InferenceSampler does"
            )
        if absent := len(known - times.keys()):
            _LOGGER.warning(
                "%d of the %d images of %s were not processed: they count as images without "
                "detections",
                absent,
                len(known),
                self._annotations.source,
            )

    def _log(self, metrics: Mapping[str, float], num_detections: int) -> None:
        limits = self._options.max_dets
        largest = max(limits)
        for limit in sorted(limits, reverse=True):
            table = sizes_by_iou(metrics, max_dets=None if limit == largest else limit)
            _LOGGER.info(
                "%d detections on %s, best %d per image and category:\n%s",
                num_detections,
                self._annotations.source,
                limit,
                table.plain(),
            )


def _ground_truth(
    dataset_name: str | None, annotations: Annotations | None
) -> tuple[Annotations, list[int]]:
    """The ground truth, and the category id of each class index."""
    if dataset_name is not None and annotations is None:
        metadata = _metadata(dataset_name)
        class_by_id = metadata.thing_dataset_id_to_contiguous_id
        ids = sorted(class_by_id, key=class_by_id.__getitem__)
        return read_annotations(metadata.json_file), ids
    if annotations is not None and dataset_name is None:
        return annotations, sorted(c.category_id for c in annotations.categories)
    raise InputError(
        "TinyObjectEvaluator needs either dataset_name or annotations; received "
        + ("neither" if annotations is None else f"both, dataset_name {dataset_name!r}")
    )


def _metadata(dataset_name: str) -> Any:  # noqa: ANN401 - detectron2 is untyped
    metadata = MetadataCatalog.get(dataset_name)
    if not hasattr(metadata, "thing_dataset_id_to_contiguous_id"):
        DatasetCatalog.get(dataset_name)  # detectron2's own loader fills the metadata in
    for key in ("json_file", "thing_dataset_id_to_contiguous_id"):
        if not hasattr(metadata, key):
            raise InputError(
                f"data set {dataset_name!r} has no metadata {key!r}, which the evaluation needs: "
                "register it from a COCO-format file"
            )
    return metadata


def _table(seen: Sequence[_ImageDetections], category_ids: IntArray) -> DetectionTable:
    counts = [len(image.scores) for image in seen]
    boxes = np.concatenate([np.empty((0, 4)), *(image.boxes for image in seen)])
    classes = np.concatenate([np.empty(0, np.int64), *(image.classes for image in seen)])
    unknown = (classes < 0) | (classes >= len(category_ids))
    if unknown.any():
        raise InputError(
            f"the model predicts class {classes[unknown].max()}, but the ground truth has "
            f"{len(category_ids)} categories: is it a model of another data set?"
        )
    return DetectionTable(
        image_ids=np.repeat(np.array([image.image_id for image in seen], np.int64), counts),
        category_ids=category_ids[classes],
        boxes=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1),
        scores=np.concatenate([np.empty(0), *(image.scores for image in seen)]),
    )
