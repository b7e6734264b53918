"""Scores files and protocol files: writing, reading, and evaluating anew from a scores file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from scale_match.core.errors import InputError
from scale_match.scoring.inputs import MERGE_RULES, ScoringInputs, load_inputs
from scale_match.scoring.scores import Scores, ScoringOptions, score
from scale_match.scoring.standards import Standard
from scale_match.storage.files import read_json, write_json
from scale_match.storage.fingerprints import content_sha256

__all__ = ["SCORES_FILE", "SavedScores", "read_saved_scores", "write_scores"]

SCORES_FILE = "scores.json"

_REQUIRED_KEYS = ("AP", "AR", "protocol", "inputs", "options")


class _InputFile(msgspec.Struct):
    path: str
    sha256: str


class _Inputs(msgspec.Struct):
    gt: _InputFile | None
    dt: _InputFile | None
    tiles: _InputFile | None
    merge: str | None


class _Options(msgspec.Struct):
    standard: str
    size_ranges: dict[str, tuple[float, float]]
    miss_rate_ranges: dict[str, tuple[float, float]]
    coco: bool
    max_dets: tuple[int, ...]
    iou: tuple[float, ...]
    miss_rate: bool
    per_category: bool
    reference_bugs: bool


_Form = TypeVar("_Form", _Inputs, _Options)


@dataclass(frozen=True, slots=True, eq=False)
class SavedScores:
    """A scores file.

    Attributes:
        path: The file.
        content: All of it.
    """

    path: Path
    content: Mapping[str, Any]

    @property
    def label(self) -> str:
        """A short name for tables: of the file, or of the run's folder for a ``scores.json``."""
        path = self.path.absolute()
        if path.stem != "scores":
            return path.stem
        folder = path.parent
        return folder.parent.name if folder.name == "inference" else folder.name

    def reload(self, *, ap_only: bool = False) -> Scores:
        """Read the files that were scored again, and score them again, with the same options.

        Args:
            ap_only: Leave out the miss rate and COCO's numbers, which take time of their own.

        Returns:
            The same values, with what happened to every detection.

        Raises:
            InputError: The scores are not of files, or one of these is gone or has changed.
        """
        entries = self.content["protocol"]["entries"]
        options = _options(self)
        return score(_inputs_again(self), options.ap_only() if ap_only else options, entries)


def write_scores(
    path: str | os.PathLike[str], scores: Scores, blocks: Mapping[str, Any] | None = None
) -> None:
    """Write a scores file.

    Args:
        path: The file to make or to replace.
        scores: The values.
        blocks: Further keys, as ``bootstrap``.

    Raises:
        InputError: The file cannot be written.
        ValueError: A value is not finite.
    """
    write_json(path, scores.to_dict() | dict(blocks or {}), indent=1)


def read_saved_scores(path: str | os.PathLike[str]) -> SavedScores:
    """Read a scores file; the files that were scored are not looked at.

    Raises:
        InputError: The file is missing or no scores file.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a scores file: it holds no JSON object")
    protocol = content.get("protocol")
    places = {key: content.get(key) for key in _REQUIRED_KEYS}
    places["protocol.entries"] = protocol.get("entries") if isinstance(protocol, dict) else None
    for key, value in places.items():
        if not isinstance(value, dict):
            raise InputError(f"{path} is not a scores file: it has no object '{key}'")
    return SavedScores(Path(path), content)


def _inputs_again(saved: SavedScores) -> ScoringInputs:
    named = _converted(saved, "inputs", _Inputs)
    if named.gt is None or named.dt is None:
        key = "gt" if named.gt is None else "dt"
        raise InputError(
            f"{saved.path} cannot be evaluated again: its {key} did not come from a file"
        )
    files = [file for file in (named.gt, named.dt, named.tiles) if file is not None]
    for file in files:
        if not Path(file.path).is_file():
            raise InputError(f"{saved.path} was computed from {file.path}, which is not there")
        if (sha256 := content_sha256(file.path)) != file.sha256:
            raise InputError(
                f"{file.path} has changed since {saved.path} was computed from it: the SHA-256 of "
                f"its content is {sha256}, but was {file.sha256}"
            )
    return load_inputs(
        named.gt.path,
        named.dt.path,
        tiles=None if named.tiles is None else named.tiles.path,
        merge=named.merge or MERGE_RULES[0],
    )


def _options(saved: SavedScores) -> ScoringOptions:
    saved_options = _converted(saved, "options", _Options)
    return ScoringOptions(
        standard=Standard(
            name=saved_options.standard,
            size_ranges=saved_options.size_ranges,
            miss_rate_ranges=saved_options.miss_rate_ranges,
            coco=saved_options.coco,
        ),
        max_dets=saved_options.max_dets,
        iou_thresholds=saved_options.iou,
        miss_rate=saved_options.miss_rate,
        per_category=saved_options.per_category,
        reference_bugs=saved_options.reference_bugs,
    )


def _converted(saved: SavedScores, key: str, form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(saved.content[key], form)
    except msgspec.ValidationError as error:
        raise InputError(f"{saved.path} is not a scores file: {key}: {error}") from error
