"""Prediction over many image files: which they are, and what is written."""

import glob
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data.detection_utils import read_image
from PIL import Image
from tqdm import tqdm

from scale_match.core.errors import InputError
from scale_match.core.records import DetectionTable, IntArray
from scale_match.engine.predictor import Prediction, Predictor
from scale_match.report.drawing import draw_detections
from scale_match.scoring.protocol_files import PROTOCOL_FILE, write_protocol
from scale_match.storage.files import write_json
from scale_match.storage.results import write_detections

__all__ = ["PredictionSummary", "named_images", "predict_images"]

DETECTIONS_FILE = "detections.json"
IMAGES_FILE = "images.json"


@dataclass(frozen=True, slots=True)
class PredictionSummary:
    """What a run over images gave.

    Attributes:
        num_images: Images looked at.
        num_detections: Written to the file.
        unreadable: One sentence for each image that was left out.
    """

    num_images: int
    num_detections: int
    unreadable: tuple[str, ...]


def named_images(inputs: Sequence[str]) -> dict[Path, str]:
    """The image files that files, folders and patterns name, each once, folders in order of name.

    Args:
        inputs: A file is taken whatever its ending; of a folder those with the ending of an image
            format, below it too; a pattern as ``dir/*.jpg``.

    Returns:
        Image file -> its name as an annotation file may have it: relative to the folder that was
        named, with "/"; the path itself where a file or a pattern was.

    Raises:
        InputError: One of them names no image.
    """
    found: dict[Path, str] = {}
    for name in inputs:
        paths = list(_named(name))
        if not paths:
            raise InputError(f"{name} names no image: it is no file, folder or pattern of images")
        folder = Path(name)
        for path in paths:
            relative = path.relative_to(folder) if folder.is_dir() else path
            found.setdefault(path, relative.as_posix())
    return found


def predict_images(
    predictor: Predictor,
    paths: Sequence[Path],
    output: Path,
    *,
    min_score: float = 0.0,
    min_score_drawn: float = 0.3,
    strict: bool = False,
    image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
) -> PredictionSummary:
    """Detects in every image, writes one file of detections and a picture for each image.

    Args:
        predictor: The detector.
        paths: The images.
        output: Folder: ``detections.json`` (COCO results), ``images.json`` (id, file name and size
            of each image), ``protocol.json`` (for ``tools/evaluate.py``), ``drawn/``.
        min_score: Detections below it are not written.
        min_score_drawn: Detections below it are not drawn.
        strict: An image that cannot be read is an error; else it is left out and counted.
        image_ids: Of each image, all different; None counts from 1.
        category_ids: Of each class index; None counts from 1.

    Raises:
        InputError: ``strict`` and an image cannot be read; no image at all can be read; the model
            finds a class without a category id.
    """
    found: dict[int, Prediction] = {}
    unreadable: list[str] = []
    names = dict(zip(image_ids or range(1, len(paths) + 1), paths, strict=True))
    pictures = _picture_names(names)
    for image_id, path in tqdm(names.items(), desc="images", unit="image"):
        try:
            one = predictor(path, image_id=image_id, min_score=min_score)
        except InputError as error:
            if strict:
                raise
            unreadable.append(str(error))
            tqdm.write(f"left out: {error}", file=sys.stderr)
            continue
        found[image_id] = one
        draw_detections(
            read_image(str(path), format="RGB"),
            one.boxes,
            one.scores,
            path=output / "drawn" / pictures[image_id],
            min_score=min_score_drawn,
        )
    if not found:
        raise InputError(f"none of the {len(paths)} images can be read; the first: {unreadable[0]}")
    table = _table(found, category_ids)
    write_detections(output / DETECTIONS_FILE, table)
    entries = [_image_entry(i, str(names[i]), one) for i, one in found.items()]
    write_json(output / IMAGES_FILE, entries)
    write_protocol(output / PROTOCOL_FILE, _protocol(predictor, min_score))
    return PredictionSummary(len(found), len(table), tuple(unreadable))


def _protocol(predictor: Predictor, min_score: float) -> dict[str, Any]:
    """The model's protocol, with the higher of its own least score and that of this run."""
    entries = predictor.protocol
    own = entries["score_threshold"]
    return entries | {"score_threshold": None if own is None else max(own, min_score)}


def _image_entry(image_id: int, file_name: str, one: Prediction) -> dict[str, int | str]:
    """An image as COCO files list it."""
    return {"id": image_id, "file_name": file_name, "width": one.width, "height": one.height}


def _named(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.is_file():
        yield path
    elif path.is_dir():
        endings = Image.registered_extensions()
        yield from sorted(
            below
            for below in path.rglob("*")
            if below.suffix.lower() in endings and below.is_file()
        )
    else:
        # Path.glob takes no absolute pattern.
        matches = (Path(match) for match in sorted(glob.glob(name, recursive=True)))  # noqa: PTH207
        yield from (match for match in matches if match.is_file())


def _picture_names(paths: Mapping[int, Path]) -> dict[int, str]:
    """A file name for the picture of each id; the id tells images of one name apart."""
    counts = Counter(path.stem for path in paths.values())
    taken = {stem for stem, count in counts.items() if count == 1}
    names: dict[int, str] = {}
    for image_id, path in paths.items():
        name = path.stem
        if counts[name] > 1:
            name += f"_{image_id}"
            while name in taken:  # an image of its own is called like this
                name += f"_{image_id}"
            taken.add(name)
        names[image_id] = f"{name}.png"
    return names


def _category_ids(classes: IntArray, ids: Sequence[int] | None) -> IntArray:
    """The category id of each class index."""
    if ids is None:
        return classes + 1
    if len(classes) and classes.max() >= len(ids):
        raise InputError(
            f"the model finds class {classes.max()} (from 0), but there are {len(ids)} categories"
        )
    return np.array(ids, np.int64)[classes]


def _table(found: dict[int, Prediction], category_ids: Sequence[int] | None) -> DetectionTable:
    """The detections of all images as one table."""
    counts = [len(one.scores) for one in found.values()]
    boxes = np.concatenate([one.boxes for one in found.values()])  # (M, 4) XYXY
    return DetectionTable(
        image_ids=np.repeat(np.array(list(found), np.int64), counts),
        category_ids=_category_ids(
            np.concatenate([one.classes for one in found.values()]), category_ids
        ),
        boxes=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1),
        scores=np.concatenate([one.scores for one in found.values()]),
    )
