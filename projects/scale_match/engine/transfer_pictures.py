"""Pictures of a transfer: sizes before and after Scale Match, detections on test images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from detectron2.config import CfgNode
from PIL import Image

from scale_match.core.boxes import xywh_to_xyxy
from scale_match.core.records import Annotations, DetectionTable, FloatArray, ImageRecord
from scale_match.engine.sample_preview import preview_samples
from scale_match.engine.transfer_settings import CocoFiles
from scale_match.report.drawing import draw_detections
from scale_match.report.plots import plot_size_histograms
from scale_match.storage.annotations import read_annotations
from scale_match.storage.histograms import read_counted_sizes
from scale_match.storage.results import read_detections

__all__ = ["SIZES_PLOT", "draw_pictures"]

Item = TypeVar("Item")

SIZES_PLOT = "sizes.png"

_MAX_SOURCE_IMAGES = 300
"""Images of the source that the plot of sizes looks at; each has to be read."""
_MOSAICS = 20
"""Of mosaics, each of which shows many images."""
_TEST_IMAGES = 3
_LARGE = 1600
"""Width or height in pixels up to which a picture is drawn enlarged."""


def draw_pictures(
    folder: Path,
    cfg: CfgNode,
    *,
    target: CocoFiles,
    test: CocoFiles | None,
    detections: Path | None,
) -> dict[str, Any]:
    """Draw all pictures of a transfer.

    Args:
        folder: Where they go.
        cfg: That of the pretraining, with source and policy.
        target: Whose sizes are aimed at.
        test: Images to draw detections on.
        detections: Results file of these images.

    Returns:
        Names of the files.

    Raises:
        InputError: A file cannot be read or written.
    """
    before, after = _source_sizes(cfg)
    plot_size_histograms(before, after, read_counted_sizes(target.annotations), folder / SIZES_PLOT)
    names = [SIZES_PLOT]
    if test is not None and detections is not None:
        annotations = read_annotations(test.annotations)
        found = read_detections(detections, annotations)
        for image in _spread(annotations.images, _TEST_IMAGES):
            name = f"detections_{Path(image.file_name).stem}.jpg"
            _draw_image(test.images, image, annotations, found, folder / name)
            names.append(name)
    return {"files": names}


def _source_sizes(cfg: CfgNode) -> tuple[FloatArray, FloatArray]:
    """sqrt(w * h) of the source's boxes in the files, and as the network gets them in epoch 0."""
    annotations = cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS
    images = len(read_annotations(annotations).images)
    count = _MOSAICS if cfg.SCALE_MATCH.AUGMENT.MOSAIC else min(images, _MAX_SOURCE_IMAGES)
    return read_counted_sizes(annotations), preview_samples(cfg, count).sizes


def _draw_image(
    image_dir: Path,
    image: ImageRecord,
    annotations: Annotations,
    found: DetectionTable,
    path: Path,
) -> None:
    table = annotations.table
    own, ignored = table.image_ids == image.image_id, table.iscrowd | table.ignore | table.uncertain
    here = found.image_ids == image.image_id
    with Image.open(image_dir / image.file_name) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    draw_detections(
        pixels,
        xywh_to_xyxy(found.boxes[here]),
        found.scores[here],
        ground_truth=xywh_to_xyxy(table.boxes[own & ~ignored]),
        ignored=xywh_to_xyxy(table.boxes[own & ignored]),
        path=path,
        enlarge=2 if max(image.width, image.height) <= _LARGE else 1,
    )


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most so many of them, at equal distances."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places.tolist()]
