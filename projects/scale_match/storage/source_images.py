"""The images of an annotation file for the samplers of parts of images."""

import numpy as np

from scale_match.core.exact_tiling import SourceImage
from scale_match.core.records import Annotations

__all__ = ["source_images"]


def source_images(annotations: Annotations) -> list[SourceImage]:
    """The images of a file, in file order, with the boxes that are neither crowd nor ignored."""
    table = annotations.table
    usable = np.flatnonzero(~(table.iscrowd | table.ignore))
    usable = usable[np.argsort(table.image_ids[usable], kind="stable")]
    owners = table.image_ids[usable]
    images = []
    for image in annotations.images:
        rows = usable[slice(*np.searchsorted(owners, [image.image_id, image.image_id + 1]))]
        boxes = table.boxes[rows]
        images.append(SourceImage.of_boxes(image.image_id, image.height, image.width, boxes))
    return images
