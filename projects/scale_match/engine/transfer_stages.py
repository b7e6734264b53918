"""Stages of a long job, each done once: what is there with the same settings is not done again.

A stage owns a folder. ``stage.json`` in it holds the settings, a hash of them, and, when the stage
is done, its result. A folder whose settings differ is emptied and begun anew; one that was begun
with the same settings and not finished is handed to the stage to go on.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from scale_match.core.errors import InputError
from scale_match.storage.files import read_json, write_json

__all__ = ["RECORD_NAME", "Stage", "StageOutcome", "settings_hash"]

_logger = logging.getLogger(__name__)

RECORD_NAME = "stage.json"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a stage gave.

    Attributes:
        result: What its work returned.
        seconds: Wall-clock time of the work; without earlier attempts, if it was interrupted.
        settings_hash: Identifies settings and input; part of the settings of the next stages.
        skipped: It was done before.
        resumed: Its work went on where an earlier attempt stopped.
    """

    result: dict[str, Any]
    seconds: float
    settings_hash: str
    skipped: bool
    resumed: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a job.

    Attributes:
        title: For the log.
        folder: Its own; nothing else is kept there.
        settings: All that decides about the result, plain JSON values.
        outputs: Files, relative to the folder, that have to be there when it is done.
    """

    title: str
    folder: Path
    settings: Json
    outputs: Sequence[str] = ()

    def run(self, work: Callable[[bool], dict[str, Any]]) -> StageOutcome:
        """Do the work, unless it is done.

        Args:
            work: Called with True where the folder holds the unfinished work of these settings.
                Returns plain JSON values.

        Raises:
            InputError: The folder holds something that is not of a stage.
        """
        digest = settings_hash(self.settings)
        before = self._record()
        same = before.get("settings_hash") == digest
        if same and before.get("done") and all((self.folder / o).is_file() for o in self.outputs):
            _logger.info("== %s: done before with the same settings, skipped", self.title)
            return _outcome(before, skipped=True)
        if not same:
            self._empty(before)
        resumed = same and not before.get("done")
        _logger.info("== %s%s", self.title, ": going on where it stopped" if resumed else "")
        record = {"settings_hash": digest, "settings": self.settings, "done": False}
        write_json(self.folder / RECORD_NAME, record, indent=1)
        start = perf_counter()
        result = work(resumed)
        record |= {
            "done": True,
            "result": result,
            "seconds": round(perf_counter() - start, 3),
            "resumed": resumed,
        }
        write_json(self.folder / RECORD_NAME, record, indent=1)
        return _outcome(record, skipped=False)

    def _record(self) -> dict[str, Any]:
        """What an earlier attempt left; nothing if there was none."""
        path = self.folder / RECORD_NAME
        if path.is_file():
            record = read_json(path)
            return record if isinstance(record, dict) else {}
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise InputError(
                f"{self.folder} is not empty and no stage of a transfer left it (it has no "
                f"{RECORD_NAME}): choose another --output"
            )
        return {}

    def _empty(self, before: Json) -> None:
        if before:
            _logger.info("%s was made with other settings: it is made anew", self.folder)
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)


def settings_hash(settings: Json) -> str:
    """Hexadecimal hash of plain JSON values, whatever the order of keys."""
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _outcome(record: Json, *, skipped: bool) -> StageOutcome:
    return StageOutcome(
        result=dict(record["result"]),
        seconds=float(record["seconds"]),
        settings_hash=str(record["settings_hash"]),
        skipped=skipped,
        resumed=bool(record["resumed"]),
    )
