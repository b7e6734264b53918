"""The worst images with their boxes, and the numbers of every image."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from scale_match.core.records import ImageRecord
from scale_match.report.html_tables import Cell, table
from scale_match.report.markup import Markup, element, text_of
from scale_match.report.page import Section
from scale_match.report.pictures import (
    OUTCOMES,
    Photo,
    Window,
    box_legend,
    draw_boxes,
    load_photo,
    worst_window,
)
from scale_match.scoring.run_figures import RunFigures

__all__ = ["Pictures", "gather_pictures", "images_section"]

_MOST_ROWS = 500


@dataclass(frozen=True, slots=True)
class Pictures:
    """The worst images, drawn.

    Attributes:
        drawn: One figure group for each image.
        left_out: A sentence for each image that could not be drawn.
    """

    drawn: list[Markup] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def images_section(runs: Sequence[RunFigures], pictures: Pictures, folder: Path | None) -> Section:
    """The worst images with their boxes, and a table of all.

    Args:
        runs: The runs.
        pictures: As of :func:`gather_pictures`.
        folder: Where the images were looked for; None if there was none.

    Returns:
        The section.
    """
    metric = runs[0].metric
    text = element(
        "p",
        f"Counted for {metric.name}, that is for objects of the size range {metric.size_range} at "
        f"IoU {metric.iou / 100:g}, with the detections from each run's score on (see Summary). "
        "The worst images are those with most errors, missed and false boxes together",
        ", over all runs." if len(runs) > 1 else ".",
    )
    parts = [text]
    if folder is None:
        parts.append(element("p", "No pictures: the report was made without --images."))
    if pictures.left_out:
        sentences = [element("li", each) for each in pictures.left_out]
        parts.append(element("p", f"Left out, looked for in {folder}:"))
        parts.append(element("ul", *sentences))
    if pictures.drawn:
        parts.append(
            box_legend(
                (
                    "found (the detection's box)",
                    "missed (the object's box)",
                    "false detection",
                    "ignored: not judged",
                )
            )
        )
        parts += pictures.drawn
    parts += [_image_table(group) for group in _same_images(runs)]
    return Section("images", "Images", text_of(*parts))


def gather_pictures(
    runs: Sequence[RunFigures],
    folder: Path,
    count: int,
    *,
    progress: Callable[[Sequence[ImageRecord]], Iterable[ImageRecord]] = iter,
) -> Pictures:
    """Draw the worst images.

    Args:
        runs: The runs; those of the same ground truth share their images.
        folder: Where the file names of the ground truth start.
        count: How many images of each ground truth.
        progress: Wraps the images, for a progress bar.

    Returns:
        The pictures, and what is missing.
    """
    pictures = Pictures()
    chosen = [(group, place) for group in _same_images(runs) for place in _worst_of(group, count)]
    records = [_records(group)[place] for group, place in chosen]
    for (group, place), record in zip(chosen, progress(records), strict=True):
        photo = load_photo(folder, record)
        if isinstance(photo, str):
            pictures.left_out.append(f"{record.file_name} {photo}.")
        else:
            pictures.drawn.append(_draw(group, place, record, photo))
    return pictures


def _same_images(runs: Sequence[RunFigures]) -> list[list[RunFigures]]:
    """Runs of the same ground truth together, in the order of their first."""
    order = {run.scores.inputs.gt_sha256: place for place, run in reversed(list(enumerate(runs)))}

    def first(run: RunFigures) -> int:
        return order[run.scores.inputs.gt_sha256]

    return [list(group) for _, group in groupby(sorted(runs, key=first), key=first)]


def _records(group: Sequence[RunFigures]) -> list[ImageRecord]:
    """The images in the order of the outcomes, by ascending id."""
    images = group[0].scores.inputs.annotations.images
    return sorted(images, key=lambda record: record.image_id)


def _worst_of(group: Sequence[RunFigures], count: int) -> list[int]:
    errors = np.sum([run.images.errors for run in group], axis=0)
    order = np.argsort(-errors, kind="stable")[:count]
    return [int(place) for place in order if errors[place]]


def _draw(group: Sequence[RunFigures], place: int, record: ImageRecord, photo: Photo) -> Markup:
    """The whole image and its worst part, for each run; every JPEG is there once."""
    whole = Window(0, 0, record.width, record.height)
    parts = []
    close: Window | None = None
    for index, run in enumerate(group):
        inputs = run.scores.inputs
        boxes = run.images.boxes(place, inputs.annotations.table, inputs.detections)
        close = close or worst_window(record, boxes)
        counts = _counted(run, place)
        for name, window in (("whole", whole), ("close", close)):
            # The runs of one ground truth share the JPEG under the first one's identity.
            source = f"photo-{group[0].place}-{place}-{name}"
            identity = f"picture-{run.place}-{place}-{name}"
            view = "the whole image" if name == "whole" else _view(window)
            picture = draw_boxes(
                boxes,
                window=window,
                background=_background(source, photo, window, whole, first=index == 0),
                title=f"{record.file_name}, {view}: {counts}",
                identity=identity,
            )
            label = f"{run.label}: " if len(group) > 1 else ""
            caption = label + ("whole image" if name == "whole" else f"close-up, {view}")
            parts.append(
                element(
                    "figure",
                    picture,
                    element("figcaption", caption, class_="soft"),
                    class_=name,
                )
            )
    heading = element("h3", record.file_name)
    lines = [
        element("p", f"{run.label}: " if len(group) > 1 else "", _counted(run, place) + ".")
        for run in group
    ]
    return element(
        "article", heading, *lines, element("div", *parts, class_="pictures"), class_="worst"
    )


def _view(window: Window) -> str:
    return f"{window.width} x {window.height} px at ({window.x}, {window.y})"


def _background(source: str, photo: Photo, window: Window, whole: Window, *, first: bool) -> Markup:
    if not first:
        return element("use", href=f"#{source}")
    return element(
        "image",
        id=source,
        href=photo.data_uri(None if window == whole else window),
        x=window.x,
        y=window.y,
        width=window.width,
        height=window.height,
    )


def _counted(run: RunFigures, place: int) -> str:
    images = run.images
    return (
        f"{images.objects[place]} objects, {images.found[place]} found, "
        f"{images.missed[place]} missed; {images.false[place]} false and "
        f"{images.ignored[place]} ignored detections"
    )


def _image_table(group: Sequence[RunFigures]) -> Markup:
    records = _records(group)
    errors = np.sum([run.images.errors for run in group], axis=0)
    order = np.argsort(-errors, kind="stable")[:_MOST_ROWS].tolist()
    suffixes = ["" if len(group) == 1 else f" ({run.label})" for run in group]
    names = ("found", "missed", "false", "ignored", "F1")
    header = ["image", "objects", *(name + suffix for suffix in suffixes for name in names)]
    rows = [
        [
            Cell(records[place].file_name),
            _count(int(group[0].images.objects[place])),
            *(cell for run in group for cell in _image_cells(run, place)),
        ]
        for place in order
    ]
    caption = f"Every image, most errors first; {OUTCOMES[3]}: detections that are not judged"
    if len(records) > len(order):
        caption = f"The {len(order)} images with most errors of {len(records)}"
    return table(caption, header, rows, frame="tall")


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", value, "number")


def _image_cells(run: RunFigures, place: int) -> list[Cell]:
    images = run.images
    columns = (images.found, images.missed, images.false, images.ignored)
    found, missed, false, ignored = (int(column[place]) for column in columns)
    total = 2 * found + missed + false
    f1 = 2 * found / total if total else None
    shown = Cell("-", "", "number") if f1 is None else Cell(f"{100 * f1:.1f}", f1, "number")
    return [*map(_count, (found, missed, false, ignored)), shown]
