"""What became of the boxes of each image: found, missed, false, ignored.

I images, M detections, G ground-truth boxes.
"""

from dataclasses import dataclass

import numpy as np

from scale_match.core.ap_outcomes import FALSE_POSITIVE, IGNORED
from scale_match.core.ap_result import ApResult
from scale_match.core.records import (
    AnnotationTable,
    BoolArray,
    DetectionTable,
    FloatArray,
    IntArray,
)

__all__ = ["BoxesByOutcome", "ImageOutcomes", "find_image_outcomes"]


@dataclass(frozen=True, slots=True, eq=False)
class BoxesByOutcome:
    """The boxes of one image, XYWH_ABS.

    Attributes:
        found: Detections that are true positives, (A, 4).
        missed: Ground truth that counts and that no detection found, (B, 4).
        false: Detections that are false positives, (C, 4).
        ignored: Ground truth that does not count, and detections that are neither true nor false
            positives, (D, 4).
    """

    found: FloatArray
    missed: FloatArray
    false: FloatArray
    ignored: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ImageOutcomes:
    """Outcomes at one size range, one IoU and from one score on.

    Attributes:
        result: The evaluation.
        image_ids: Ascending, (I,).
        objects: Ground truth that counts, (I,).
        found: Of these, found, (I,).
        false: False positives, (I,).
        ignored: Detections that are neither true nor false positives, (I,).
        found_detections: Which detections are true positives of these, (M,) in the order of the
            result's record.
        false_detections: Likewise, (M,).
        ignored_detections: Likewise, (M,).
        missed_targets: Which ground truth is missed, (G,).
        ignored_targets: Which ground truth does not count, (G,).
    """

    result: ApResult
    image_ids: IntArray
    objects: IntArray
    found: IntArray
    false: IntArray
    ignored: IntArray
    found_detections: BoolArray
    false_detections: BoolArray
    ignored_detections: BoolArray
    missed_targets: BoolArray
    ignored_targets: BoolArray

    @property
    def missed(self) -> IntArray:
        """Ground truth that counts and was not found, (I,)."""
        return self.objects - self.found

    @property
    def errors(self) -> IntArray:
        """Missed ground truth and false positives, by which images are called bad, (I,)."""
        return self.missed + self.false

    def boxes(
        self, image: int, truth: AnnotationTable, detections: DetectionTable
    ) -> BoxesByOutcome:
        """The boxes of one image.

        Args:
            image: Index into ``image_ids``.
            truth: The ground truth that was evaluated.
            detections: The detections that were evaluated.

        Returns:
            Its boxes.
        """
        record = self.result.record
        mine, targets = record.images == image, record.target_images == image

        def detected(chosen: BoolArray) -> FloatArray:
            boxes: FloatArray = detections.boxes[record.rows[mine & chosen]]
            return boxes

        def annotated(chosen: BoolArray) -> FloatArray:
            boxes: FloatArray = truth.boxes[record.target_rows[targets & chosen]]
            return boxes

        ignored = (annotated(self.ignored_targets), detected(self.ignored_detections))
        return BoxesByOutcome(
            found=detected(self.found_detections),
            missed=annotated(self.missed_targets),
            false=detected(self.false_detections),
            ignored=np.concatenate(ignored),
        )


def find_image_outcomes(
    result: ApResult, key: str, *, max_dets: int, min_score: float
) -> ImageOutcomes:
    """Sort the outcomes of an evaluation by image.

    A detection never influences those of higher scores, so leaving out low scores leaves the
    outcomes of the others as they are.

    Args:
        result: An evaluation.
        key: Size range and IoU, for example ``tiny_50``.
        max_dets: Detections of an image and category that take part.
        min_score: Least score that takes part.

    Returns:
        The outcomes.

    Raises:
        InputError: If the key was not evaluated.
    """
    r, t = result.place(key)
    record = result.record
    num_images = len(record.image_ids)
    taking_part = (record.ranks < max_dets) & (record.scores >= min_score)
    counted = record.counted[r]
    found_by = record.found_by[r, t]
    found = (found_by >= 0) & np.append(taking_part, False)[found_by]
    true = np.zeros(len(taking_part), dtype=np.bool_)
    true[found_by[found]] = True
    false = taking_part & (record.outcomes[r, t] == FALSE_POSITIVE)
    ignored = taking_part & (record.outcomes[r, t] == IGNORED)

    def per_image(images: IntArray) -> IntArray:
        return np.bincount(images, minlength=num_images)

    return ImageOutcomes(
        result=result,
        image_ids=record.image_ids,
        objects=per_image(record.target_images[counted]),
        found=per_image(record.target_images[found]),
        false=per_image(record.images[false]),
        ignored=per_image(record.images[ignored]),
        found_detections=true,
        false_detections=false,
        ignored_detections=ignored,
        missed_targets=counted & ~found,
        ignored_targets=~counted,
    )
