"""What is wrong with a data set, all of it: each kind of problem with a count and the first ids.

The strict reader stops at the first problem, which is right for a program and a nuisance for the
person who has to repair a file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from scale_match.core.boxes import GREATEST_COORDINATE, box_areas
from scale_match.core.records import (
    AnnotationTable,
    BoolArray,
    CategoryRecord,
    FloatArray,
    ImageRecord,
    IntArray,
)

__all__ = ["PROBLEM_KINDS", "Problem", "ProblemKind", "find_problems", "problem", "rows_of_images"]

_NUM_EXAMPLES = 5
# Pixels that a box may stick out: coordinates are often rounded to two decimals.
_EDGE_SLACK = 0.02


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A way in which data can be wrong.

    Attributes:
        title: What is wrong with each of them.
        examples: What the examples of a problem are.
        blocks: Training and evaluation stop with an error.
        cure: What happens to it or what to do.
    """

    title: str
    examples: str
    blocks: bool
    cure: str


PROBLEM_KINDS: Mapping[str, ProblemKind] = MappingProxyType(
    {
        "no_image": ProblemKind(
            "no usable image entry", "", True, "the file needs an entry for each image"
        ),
        "broken_entry": ProblemKind(
            "entries that break a rule", "entries", True, "repair or delete these entries"
        ),
        "duplicate_image_id": ProblemKind(
            "image ids used more than once", "image ids", True, "give each image an id of its own"
        ),
        "duplicate_category_id": ProblemKind(
            "category ids used more than once", "category ids", True, "join or renumber them"
        ),
        "duplicate_annotation_id": ProblemKind(
            "annotation ids used more than once", "annotation ids", True, "renumber annotations"
        ),
        "unknown_image": ProblemKind(
            "boxes of an image that is not listed", "annotation ids", True, "delete these boxes"
        ),
        "unknown_category": ProblemKind(
            "boxes of a category that is not listed", "annotation ids", True, "add the category"
        ),
        "illegal_number": ProblemKind(
            "boxes, areas or sizes that are negative or not finite",
            "annotation ids",
            True,
            "repair or delete these boxes",
        ),
        "bad_corner": ProblemKind(
            "tiles whose corner does not span their size", "image ids", True, "cut the tiles anew"
        ),
        "zero_size": ProblemKind(
            "boxes of zero width or height", "annotation ids", False, "training leaves them out"
        ),
        "box_outside": ProblemKind(
            "boxes that lie wholly outside their image",
            "annotation ids",
            False,
            "training leaves them out; often width and height, or two images, were mixed up",
        ),
        "box_over_edge": ProblemKind(
            "boxes that stick out of their image", "annotation ids", False, "training cuts them off"
        ),
        "duplicate_box": ProblemKind(
            "boxes that repeat another of the same image and category",
            "annotation ids",
            False,
            "delete one of each pair: a found object would count as found and missed",
        ),
        "duplicate_file": ProblemKind(
            "images that name the file of another image",
            "image ids",
            False,
            "one image twice counts double, and in two splits it spoils the test",
        ),
        "missing_file": ProblemKind(
            "image files that are missing", "files", True, "check --images and the names' case"
        ),
        "unreadable_file": ProblemKind(
            "image files that cannot be read", "files", True, "replace or delete them"
        ),
        "wrong_size": ProblemKind(
            "image files of another size than the annotations say",
            "files",
            True,
            "the boxes may belong to a resized copy: compare one image by eye",
        ),
    }
)
"""Kind -> what it means, in the order of reports."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem as it occurs in a data set.

    Attributes:
        kind: A key of :data:`PROBLEM_KINDS`.
        count: How many entries or files have it.
        examples: The first of them: ids, or names and sentences where there is no id.
    """

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def blocks(self) -> bool:
        """Whether training stops with an error."""
        return PROBLEM_KINDS[self.kind].blocks


def problem(
    kind: str, culprits: Iterable[object], *, most: int | None = _NUM_EXAMPLES
) -> list[Problem]:
    """A list of one problem, or an empty one where nothing is to blame.

    Args:
        kind: One of ``PROBLEM_KINDS``.
        culprits: Everything that has it.
        most: How many of them to name; None for all.

    >>> problem("zero_size", [7, 9])
    [Problem(kind='zero_size', count=2, examples=('7', '9'))]
    """
    listed = list(culprits)
    if not listed:
        return []
    return [Problem(kind, len(listed), tuple(str(one) for one in listed[:most]))]


def find_problems(
    images: Sequence[ImageRecord],
    categories: Sequence[CategoryRecord],
    table: AnnotationTable,
    broken_image_ids: Iterable[int] = (),
) -> tuple[list[Problem], BoolArray]:
    """Everything that is wrong between images, categories and boxes.

    Args:
        images: In file order; ids may repeat.
        categories: In file order; ids may repeat.
        table: Boxes of which any number may be illegal, (N,).
        broken_image_ids: Images whose entries are unusable for a reason that is told elsewhere;
            their boxes are not blamed for it.

    Returns:
        The problems, and which boxes can be used for statistics and training, (N,): numbers are
        legal, image and category known, width and height positive, a part lies in the image.
    """
    ids = np.array([image.image_id for image in images], np.int64)
    category_ids = np.array([category.category_id for category in categories], np.int64)
    known, rows = rows_of_images(images, table.image_ids)
    excused = np.isin(table.image_ids, np.array(list(broken_image_ids), np.int64))
    in_category = np.isin(table.category_ids, category_ids)
    legal = _legal(table)
    positive = legal & (table.boxes[:, 2:] > 0).all(axis=1)
    outside, over_edge = _over_edge(images, table.boxes, rows, known & positive)
    usable = positive & known & in_category & ~outside

    found = [] if len(images) else [Problem("no_image", 1, ())]
    found += problem("duplicate_image_id", ids[_repeats(ids)])
    found += problem("duplicate_category_id", category_ids[_repeats(category_ids)])
    for kind, condition in (
        ("duplicate_annotation_id", _repeats(table.ids)),
        ("unknown_image", ~known & ~excused),
        ("unknown_category", ~in_category),
        ("illegal_number", ~legal),
        ("zero_size", legal & ~positive),
        ("box_outside", outside),
        ("box_over_edge", over_edge),
        ("duplicate_box", _repeated_boxes(table) & legal),
    ):
        found += problem(kind, table.ids[condition])
    found += problem("bad_corner", _bad_corners(images))
    found += problem("duplicate_file", _repeated_files(images))
    return found, usable


def rows_of_images(
    images: Sequence[ImageRecord], image_ids: IntArray
) -> tuple[BoolArray, IntArray]:
    """The place of an image for each of its boxes.

    Args:
        images: M of them; of images with one id the first counts.
        image_ids: Of the boxes, (N,).

    Returns:
        Whether the image is there, and its place in ``images`` (0 where it is not), both (N,).
    """
    ids = np.array([image.image_id for image in images], np.int64)
    if not len(ids):
        return np.zeros(len(image_ids), np.bool_), np.zeros(len(image_ids), np.int64)
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids[order], image_ids), len(ids) - 1)
    known = ids[order][place] == image_ids
    return known, np.where(known, order[place], 0)


def _legal(table: AnnotationTable) -> BoolArray:
    """Rows whose numbers are finite, in range and not negative where they must not be, (N,)."""
    numbers = np.concatenate([table.boxes, table.areas[:, None], table.sizes[:, None]], axis=1)
    with np.errstate(invalid="ignore"):
        small = (np.abs(table.boxes) <= GREATEST_COORDINATE).all(axis=1)
        finite = np.isfinite(numbers).all(axis=1)
        return np.asarray(small & finite & (numbers[:, 2:] >= 0).all(axis=1))


def _repeats(ids: IntArray) -> BoolArray:
    """Entries whose id an earlier one has, (N,)."""
    repeated = np.ones(len(ids), np.bool_)
    repeated[np.unique(ids, return_index=True)[1]] = False
    return repeated


def _over_edge(
    images: Sequence[ImageRecord], boxes: FloatArray, rows: IntArray, judged: BoolArray
) -> tuple[BoolArray, BoolArray]:
    """Boxes wholly outside their image and boxes that stick out of it, both (N,)."""
    sides = np.array([(image.width, image.height) for image in images], np.float64).reshape(-1, 2)
    if not len(sides):
        return np.zeros(len(boxes), np.bool_), np.zeros(len(boxes), np.bool_)
    limits = sides[rows]  # (N, 2)
    with np.errstate(invalid="ignore"):
        low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        outside = judged & ((high <= 0) | (low >= limits)).any(axis=1)
        over = judged & ((low < -_EDGE_SLACK) | (high > limits + _EDGE_SLACK)).any(axis=1)
    return outside, over & ~outside


def _repeated_boxes(table: AnnotationTable) -> BoolArray:
    """Boxes with an earlier box of the same image, category and coordinates, (N,).

    A region that is to be ignored may lie on an object; equal flags are part of being equal.
    """
    flags = (table.iscrowd * 4 + table.ignore * 2 + table.uncertain)[:, None]
    ids = np.stack([table.image_ids, table.category_ids], axis=1)
    repeated = np.zeros(len(table), np.bool_)
    candidates = np.flatnonzero(box_areas(table.boxes) > 0)
    if len(candidates):
        columns = (*table.boxes[candidates].T, *flags[candidates].T, *ids[candidates].T)
        order = np.lexsort(columns)  # stable: of equal boxes the first one comes first
        ordered = np.stack([np.asarray(column)[order] for column in columns], axis=1)
        repeated[candidates[order[1:]]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeated


def _bad_corners(images: Sequence[ImageRecord]) -> list[int]:
    wrong = []
    for image in images:
        if image.corner is not None:
            x1, y1, x2, y2 = image.corner
            if x1 < 0 or y1 < 0 or (x2 - x1, y2 - y1) != (image.width, image.height):
                wrong.append(image.image_id)
    return wrong


def _repeated_files(images: Sequence[ImageRecord]) -> list[int]:
    """Images, not tiles, whose file an earlier one has."""
    seen: set[str] = set()
    wrong = []
    for image in images:
        if image.corner is None:
            if image.file_name in seen:
                wrong.append(image.image_id)
            seen.add(image.file_name)
    return wrong
