"""Looks at a training before its first step, and warns of what is likely to be a mistake.

Nothing is changed: no weight, no random state, no file. The rules are in ``core.preflight``; here
the numbers for them are gathered from the parts of a training, the same for both front ends.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from scale_match.core import preflight as rules
from scale_match.core.data_summary import Objects
from scale_match.core.preflight import Finding
from scale_match.core.preflight_levels import check_anchors, check_ranges
from scale_match.core.tiles import tile_grid
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import is_left_out, xywh_boxes
from scale_match.data.dry_run import DrySample, chooses_sizes, dry_run
from scale_match.engine.preflight_facts import (
    DataFacts,
    Entry,
    RunFacts,
    anchors_of,
    available_memory,
    limits_of,
    ranges_of,
    step_bytes,
)
from scale_match.inference.tiled_model import TiledModel
from scale_match.storage.image_files import UnreadableImageError, image_size

__all__ = ["find_problems", "log_findings"]

_logger = logging.getLogger(__name__)

# Images that sizes are looked at in, and files whose headers are read, evenly over a data set.
_MOST_IMAGES, _MOST_FILES = 500, 24
_FULLEST = 3
# What a model, data or an augmentation of an unknown kind may lead to.
_NOT_UNDERSTOOD = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_LARGE_IMAGE = 0.95
_DIVISIBILITY = 32


def find_problems(run: RunFacts) -> list[Finding]:
    """Every check of a training, those without a problem too.

    Random states of Python, numpy and torch stay as they were.

    Args:
        run: The training.
    """
    with _random_state_kept():
        training = _samples(run.training)
        testing = None if run.testing is None else _samples(run.testing)
        checks: dict[str, Callable[[], Finding]] = {
            "anchors or ranges": lambda: _check_levels(run, training),
            "tiles of training images": lambda: _check_training_tiles(run),
            "tiles of test images": lambda: _check_test_tiles(run, testing),
            "detection limits": lambda: _check_limits(run),
            "training against test sizes": lambda: _check_sizes(run, training, testing),
            "learning rate": lambda: _check_rate(run),
            "memory": lambda: _check_memory(run, training),
            "training images": lambda: _check_files(run.training, "training images"),
            "test images": lambda: _check_files(run.testing, "test images"),
        }
        return [_finding_of(check, name) for name, check in checks.items()]


def log_findings(findings: Sequence[Finding]) -> None:
    """Warns of each problem, and says in one line what was looked at."""
    problems = [finding for finding in findings if finding.problem]
    skipped = [finding for finding in findings if finding.skipped]
    for finding in problems:
        _logger.warning("Preflight, %s: %s", finding.check, finding.problem)
    if skipped:
        _logger.info(
            "Preflight, not checked: %s",
            "; ".join(f"{finding.check} ({finding.skipped})" for finding in skipped),
        )
    checked = len(findings) - len(skipped)
    found = f"{len(problems)} problem{'s' * (len(problems) > 1)}" if problems else "no problems"
    advice = "; --no-preflight skips it" if problems else ""
    _logger.info("Preflight: %s found in %d checks%s", found, checked, advice)


def _finding_of(check: Callable[[], Finding], name: str) -> Finding:
    """What a check finds; a model or data of an unknown kind must not stop a training."""
    try:
        return check()
    except _NOT_UNDERSTOOD as error:
        return Finding(name, skipped=f"{type(error).__name__}: {error}")


def _samples(data: DataFacts) -> list[DrySample] | str:
    """What the model gets, or why that is not known."""
    if data.mosaics:
        return "mosaics choose the sizes themselves"
    if not isinstance(data.mapper, ScaleMatchDatasetMapper):
        return f"{type(data.mapper).__name__} cannot be looked through"
    try:
        return dry_run(data.mapper, [dict(data.entries[i]) for i in _spread(data, _MOST_IMAGES)])
    except _NOT_UNDERSTOOD as error:
        return f"{type(error).__name__}: {error}"


def _spread(data: DataFacts, most: int) -> list[int]:
    """At most so many indices, evenly over a data set."""
    count = len(data.entries)
    return np.unique(np.linspace(0, max(count - 1, 0), min(most, count)).astype(int)).tolist()


def _objects(samples: Sequence[DrySample]) -> Objects:
    boxes = np.concatenate([np.empty((0, 4)), *(sample.boxes for sample in samples)])
    boxes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)  # (N, 4) XYWH
    rows = np.repeat(np.arange(len(samples)), [len(sample.boxes) for sample in samples])
    sides = np.array([sample.size[::-1] for sample in samples], np.float64).reshape(-1, 2)
    return Objects(boxes, rows, np.zeros(len(boxes), np.int64), sides)


def _check_levels(run: RunFacts, samples: list[DrySample] | str) -> Finding:
    anchors, ranges = anchors_of(run.model), ranges_of(run.model)
    name = "anchors" if ranges is None else "ranges"
    if isinstance(samples, str):
        return Finding(name, skipped=samples)
    if ranges is not None:
        keys = run.keys["ranges"], run.keys["strides"]
        return check_ranges(_objects(samples), *ranges, keys=keys)
    if anchors is None:
        return Finding(name, skipped=f"{type(run.model).__name__} has none that are known")
    key = run.keys["levels" if hasattr(run.model, "levels") else "anchors"]
    return check_anchors(_objects(samples), *anchors, key=key)


def _check_training_tiles(run: RunFacts) -> Finding:
    if run.training.whole is None:
        return Finding("tiles of training images")
    total, tile = run.training.whole
    boxes = [
        (entry["file_name"], box.get("id"))
        for entry in run.training.entries
        for box in entry.get("annotations", ())
        if not is_left_out(box)
    ]
    if any(box_id is None for _, box_id in boxes):
        return Finding("tiles of training images", skipped="the boxes have no ids")
    kept = len(set(boxes))
    return rules.check_training_tiles(total, kept, tile, key=run.keys["training_tile"])


def _check_test_tiles(run: RunFacts, samples: list[DrySample] | str | None) -> Finding:
    if not isinstance(run.tiled, TiledModel) or samples is None:
        return Finding("tiles of test images")
    if isinstance(samples, str):
        return Finding("tiles of test images", skipped=samples)
    keys = run.keys["tile"], run.keys["overlap"]
    return rules.check_test_tiles(_objects(samples), run.tiled.tile, run.tiled.overlap, keys=keys)


def _check_limits(run: RunFacts) -> Finding:
    if run.testing is None:
        return Finding("detection limits", skipped="there is no test set")
    entries = run.testing.entries
    counts = [_count(entry) for entry in entries]
    order = np.argsort(counts, kind="stable")[::-1].tolist()
    fullest = order[:_FULLEST]
    most = {
        "image": _fullest((counts[i], entries[i]) for i in fullest),
        "category": _fullest((_most_of_a_category(entries[i]), entries[i]) for i in order),
    }
    most["tile"] = most["image"]
    if isinstance(run.tiled, TiledModel):
        tiled = run.tiled
        most["tile"] = _fullest((_most_in_a_tile(entries[i], tiled), entries[i]) for i in fullest)
    return rules.check_limits(limits_of(run.tiled, run.max_dets, run.keys), most)


def _fullest(counted: Iterable[tuple[int, Entry]]) -> tuple[int, str]:
    """The greatest number, and in which file; the first one of several."""
    number, entry = max(counted, key=lambda each: each[0])
    return number, str(entry.get("file_name", "image"))


def _count(entry: Entry) -> int:
    return sum(not is_left_out(box) for box in entry.get("annotations", ()))


def _most_of_a_category(entry: Entry) -> int:
    """What an evaluator's limit, which each category has for itself, is compared with."""
    boxes = [box for box in entry.get("annotations", ()) if not is_left_out(box)]
    return max(Counter(box["category_id"] for box in boxes).values(), default=0)


def _most_in_a_tile(entry: Entry, tiled: TiledModel) -> int:
    """Boxes whose centres lie in one tile; the image is taken as large as its annotations say."""
    boxes = xywh_boxes([box for box in entry.get("annotations", ()) if not is_left_out(box)])
    centres = boxes[:, :2] + boxes[:, 2:] / 2  # (N, 2)
    grid = tile_grid(entry["width"], entry["height"], tile=tiled.tile, overlap=tiled.overlap)
    inside = (centres[:, None] >= grid[:, :2]) & (centres[:, None] < grid[:, 2:])  # (N, T, 2)
    return int(inside.all(axis=2).sum(axis=0).max(initial=0))


def _check_sizes(
    run: RunFacts, training: list[DrySample] | str, testing: list[DrySample] | str | None
) -> Finding:
    name = "training against test sizes"
    if testing is None:
        return Finding(name, skipped="there is no test set")
    for samples in (training, testing):
        if isinstance(samples, str):
            return Finding(name, skipped=samples)
    zooms = None
    mapper = run.training.mapper
    if isinstance(mapper, ScaleMatchDatasetMapper) and not chooses_sizes(mapper):
        zooms = _median_zoom(training), _median_zoom(testing)
    return rules.check_sizes(
        _objects(training),  # type: ignore[arg-type] # they are lists here
        _objects(testing),  # type: ignore[arg-type]
        zooms=zooms,
        key=run.keys["resize"],
    )


def _median_zoom(samples: Iterable[Any]) -> float:
    return float(np.median([sample.zoom for sample in samples]))


def _check_rate(run: RunFacts) -> Finding:
    step = run.step
    if step.rate_is_explained:
        return Finding("learning rate")
    keys = run.keys["rate"], run.keys["reference_batch"]
    return rules.check_rate(step.rate, step.batch, step.optimizer, keys=keys)


def _check_memory(run: RunFacts, samples: list[DrySample] | str) -> Finding:
    if isinstance(samples, str):
        return Finding("memory", skipped=samples)
    sides = np.array([sample.size for sample in samples])
    padded = -(-sides // _DIVISIBILITY) * _DIVISIBILITY
    pixels = float(np.quantile(padded.prod(axis=1), _LARGE_IMAGE))
    step = run.step
    needed = step_bytes(run.model, pixels, step.images_at_a_time, half=step.half)
    if needed is None:
        return Finding("memory", skipped="no figures for this backbone")
    device = next(run.model.parameters()).device
    available = available_memory(device)
    if available is None:
        return Finding("memory", skipped="the machine does not say how much there is")
    what = "the GPU" if device.type == "cuda" else "each process on this machine"
    keys = [run.keys["batch"], run.keys["accumulate"] + " (raise it)"]
    return rules.check_memory(needed, available, what=what, keys=keys)


def _check_files(data: DataFacts | None, name: str) -> Finding:
    """Whether images have the size that the annotations say; that they exist is known by now."""
    if data is None:
        return Finding(name)
    wrong = []
    chosen = _spread(data, _MOST_FILES)
    for entry in (data.entries[i] for i in chosen):
        problem = _size_problem(entry)
        if problem:
            wrong.append(problem)
    if not wrong:
        return Finding(name)
    return Finding(name, f"{len(wrong)} of {len(chosen)} files looked at are wrong: {wrong[0]}")


def _size_problem(entry: Entry) -> str | None:
    path, corner = entry["file_name"], entry.get("corner")
    try:
        width, height = image_size(path)
    except UnreadableImageError as error:
        return str(error)
    if corner is not None:
        fits = corner[2] <= width and corner[3] <= height
        expected = f"a tile reaches to {corner[2]}x{corner[3]}"
    else:
        fits = (width, height) == (entry["width"], entry["height"])
        expected = f"its annotation says {entry['width']}x{entry['height']}"
    return None if fits else f"{path} has {width}x{height} pixels, {expected}"


@contextmanager
def _random_state_kept() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
