"""The ids in a file of detections: numbers of their own, or those of an annotation file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scale_match.core.errors import InputError
from scale_match.data.datasets import category_ids
from scale_match.storage.annotations import read_annotations
from scale_match.storage.image_matching import match_images

__all__ = ["FileIds", "ids_of_file"]


@dataclass(frozen=True, slots=True)
class FileIds:
    """The ids of an annotation file for some images and for a model's classes.

    Attributes:
        source: The file, for messages.
        images: Of each image, in its order.
        categories: Of each class index.
        num_listed: Images of the file.
    """

    source: str
    images: tuple[int, ...]
    categories: tuple[int, ...]
    num_listed: int

    def check_classes(self, num_classes: int | None) -> None:
        """Refuses a model with another number of classes.

        Args:
            num_classes: Of the model; None if it does not say.

        Raises:
            InputError: Names both numbers.
        """
        if num_classes not in (None, len(self.categories)):
            raise InputError(
                f"the model has {num_classes} classes, but {self.source} has "
                f"{len(self.categories)} categories: its category ids cannot be told"
            )


def ids_of_file(path: Path, names: Mapping[Path, str]) -> FileIds:
    """Finds images in an annotation file.

    Args:
        path: COCO-format file of whole images.
        names: As :func:`~scale_match.storage.image_matching.match_images` takes them.

    Raises:
        InputError: The file breaks a rule, or not every image is one of its images.
    """
    annotations = read_annotations(path)
    return FileIds(
        source=annotations.source,
        images=tuple(match_images(annotations, names)),
        categories=tuple(category_ids(annotations)),
        num_listed=len(annotations.images),
    )
