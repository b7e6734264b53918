"""Dropping images with very many boxes, whose labels are unreliable.

TinyPerson's authors call an image with more than 200 annotated boxes dense (their dataset page,
section 3); neither training nor evaluation uses such images.
"""

from scale_match.core.checks import whole_number
from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry, boxes_of_images, without_images

__all__ = ["dense_images", "without_dense_images"]


def dense_images(raw: Entry, *, max_boxes: int = 200) -> list[Entry]:
    """The images with more than ``max_boxes`` boxes, in file order; boxes of every kind count.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        max_boxes: The most boxes of an image that is not dense.

    Raises:
        InputError: ``max_boxes`` is not a whole number, or negative.
    """
    whole_number("max_boxes", max_boxes, minimum=0)
    counts = {image_id: len(boxes) for image_id, boxes in boxes_of_images(raw).items()}
    return [image for image in raw["images"] if counts[image["id"]] > max_boxes]


def without_dense_images(raw: Entry, *, max_boxes: int = 200) -> Entry:
    """The content without the dense images and their boxes.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        max_boxes: The most boxes of an image that stays.

    Raises:
        InputError: ``max_boxes`` is out of range, or no image would be left.
    """
    dense = {image["id"] for image in dense_images(raw, max_boxes=max_boxes)}
    if len(dense) == len(raw["images"]):
        raise InputError(f"all {len(dense)} images have more than {max_boxes} boxes: none is left")
    return without_images(raw, dense)
