"""Looks at a data set as a whole: what is in it, what is wrong, and how to train on it.

What ``tools/analyze.py`` does. Nothing here needs torch or detectron2: the tool starts fast.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from scale_match.core.anchor_advice import (
    advise_fcos,
    choose_pyramid,
    data_aspect_ratios,
    describe_pyramid,
)
from scale_match.core.boxes import box_sizes
from scale_match.core.data_advice import (
    advise_limit,
    advise_memory,
    advise_scale_match,
    count_crowding,
)
from scale_match.core.data_diagnosis import Advice, Diagnosis, problems_in_order
from scale_match.core.data_problems import PROBLEM_KINDS, find_problems
from scale_match.core.data_summary import Objects, find_objects, summarise_data
from scale_match.core.errors import InputError
from scale_match.core.records import BoolArray, FloatArray, ImageRecord
from scale_match.core.tile_advice import advise_tiles
from scale_match.modeling.levels import PyramidLevels
from scale_match.report.advised_config import ConfigFiles, advised_config
from scale_match.storage.annotation_survey import AnnotationSurvey, survey_annotations
from scale_match.storage.files import write_text
from scale_match.storage.image_survey import ImageSurvey, survey_images
from scale_match.storage.object_sizes import read_object_sizes

__all__ = ["DoctorSettings", "Findings", "check_strict", "diagnose", "write_advised_config"]

# Sides of the smallest anchors in strides that are tried; the default and RetinaNet's 4 first.
_ANCHOR_SCALES = (2.0, 4.0, 3.0, 1.5, 1.0)
_FINEST_STRIDES = (4, 8)
_LEVELS = (3, 4, 5, 6)
# Share of the sizes that the coarsest level must be large enough for.
_LARGEST = 0.99

Progress = Callable[[Iterable[str]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """What to look at.

    Attributes:
        annotations: COCO-format file.
        images: Folder of its images; None looks at none.
        verify: Decode every image.
        source: File whose objects Scale Match would shrink to the sizes of this one; None takes
            COCO's mean.
        backbone: "r50" or "r18".
    """

    annotations: Path
    images: Path | None = None
    verify: bool = False
    source: Path | None = None
    backbone: str = "r50"


@dataclass(frozen=True, slots=True)
class Findings:
    """What :func:`diagnose` gives.

    Attributes:
        diagnosis: In words and numbers.
        objects: The boxes that training looks for.
        images: The images that could be read, M, in the order of ``objects.image_sides``.
    """

    diagnosis: Diagnosis
    objects: Objects
    images: tuple[ImageRecord, ...]


def diagnose(settings: DoctorSettings, *, progress: Progress = iter) -> Findings:
    """Read the files, and say what is in them, what is wrong, and how to train on them.

    Args:
        settings: What to look at.
        progress: Wraps the loop over the image files.

    Raises:
        InputError: The annotation file is missing or no annotation file at all, the image folder
            does not exist, or the source cannot be used.
    """
    if settings.images is not None and not settings.images.is_dir():
        raise InputError(f"--images {settings.images} is not a folder")
    source_sizes = None if settings.source is None else read_object_sizes(settings.source).images
    survey = survey_annotations(settings.annotations)
    found, usable = find_problems(
        survey.annotations.images,
        survey.annotations.categories,
        survey.annotations.table,
        survey.broken_image_ids,
    )
    images = ImageSurvey(0, settings.verify, ())
    if settings.images is not None:
        images = survey_images(
            survey.annotations.images, settings.images, verify=settings.verify, progress=progress
        )
    objects = find_objects(survey.annotations, usable)
    diagnosis = Diagnosis(
        annotations=str(settings.annotations),
        images=None if settings.images is None else str(settings.images),
        num_files=images.num_files,
        verified=images.verified,
        summary=summarise_data(survey.annotations, objects),
        problems=problems_in_order([*survey.problems, *found, *images.problems]),
        advice=_advise(settings, survey, usable, objects, source_sizes),
    )
    return Findings(diagnosis, objects, survey.annotations.images)


def check_strict(diagnosis: Diagnosis) -> None:
    """Refuse a data set with any problem.

    Raises:
        InputError: Names the file, the first kind of problem, and how many kinds there are.
    """
    if diagnosis.problems:
        first = diagnosis.problems[0]
        example = f", first {first.examples[0]}" if first.examples else ""
        others = len(diagnosis.problems) - 1
        more = f"; {others} more kind{'s' * (others > 1)} of problem" if others else ""
        raise InputError(
            f"{diagnosis.annotations}: {PROBLEM_KINDS[first.kind].title}: {first.count}{example}"
            f"{more}; --strict accepts none"
        )


def write_advised_config(diagnosis: Diagnosis, files: ConfigFiles, output: Path) -> None:
    """Write the advice as a config.

    Args:
        diagnosis: Of the file to train on.
        files: What the config names.
        output: The config, ``.yaml`` (yacs) or ``.py`` (Lazy).

    Raises:
        InputError: The name ends otherwise, or the data cannot be trained on.
    """
    if output.suffix not in (".yaml", ".yml", ".py"):
        raise InputError(f"--write-config must name a .yaml or .py file, received {output}")
    advice = diagnosis.advice
    blocking = [one for one in diagnosis.problems if one.blocks]
    if advice is None:
        raise InputError(f"{diagnosis.annotations} has no object to train on: no config is written")
    if blocking:
        raise InputError(
            f"{diagnosis.annotations} cannot be trained on as it is ("
            f"{PROBLEM_KINDS[blocking[0].kind].title}: {blocking[0].count}): no config is written"
        )
    write_text(output, advised_config(diagnosis, advice, files, output))


def _advise(
    settings: DoctorSettings,
    survey: AnnotationSurvey,
    usable: BoolArray,
    objects: Objects,
    source_sizes: FloatArray | None,
) -> Advice | None:
    if not len(objects):
        return None
    pyramid = choose_pyramid(_candidates(objects), objects)
    num_classes = len(survey.annotations.categories)
    tiles = advise_tiles(objects)
    source = "COCO" if settings.source is None else settings.source.name
    table = survey.annotations.table
    target_sizes = box_sizes(table.boxes[usable & ~(table.iscrowd | table.ignore)])
    return Advice(
        anchors=describe_pyramid(pyramid, objects),
        default_anchors=describe_pyramid(PyramidLevels(), objects),
        doubled=describe_pyramid(pyramid, objects, zoom=2.0),
        fcos=advise_fcos(pyramid.strides, objects),
        tiles=tiles,
        limit=advise_limit(pyramid.strides[0], objects),
        crowding=count_crowding(objects),
        scale_match=advise_scale_match(target_sizes, source_sizes, source),
        memory=advise_memory(
            settings.backbone, pyramid, objects, num_classes, tiles.tile if tiles.enabled else None
        ),
    )


def _candidates(objects: Objects) -> list[PyramidLevels]:
    """Pyramids to choose from, the usual ones first, none with more levels than sizes need."""
    default = PyramidLevels()
    largest = float(np.quantile(objects.sizes, _LARGEST))
    candidates = [default]
    ratios = (default.aspect_ratios, data_aspect_ratios(objects.aspect_ratios))
    for ratio, scale, finest in product(ratios, _ANCHOR_SCALES, _FINEST_STRIDES):
        for levels in _LEVELS:
            pyramid = PyramidLevels(
                strides=[finest << k for k in range(levels)],
                anchor_scale=scale,
                aspect_ratios=ratio,
            )
            if pyramid.anchor_sizes[-1][-1] >= largest or levels == _LEVELS[-1]:
                candidates.append(pyramid)
                break
    return candidates
