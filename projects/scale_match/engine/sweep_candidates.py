"""The candidates that a sweep starts from: those of an earlier call, or recorded now."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from scale_match.core.candidates import CandidateTable
from scale_match.core.errors import InputError
from scale_match.engine.loading import dead_workers_explained
from scale_match.engine.sweep_model import DetectorRun
from scale_match.inference.candidates import candidate_source, record_candidates
from scale_match.storage.candidates import read_candidates, write_candidates

__all__ = ["CANDIDATES_FILE", "StoredCandidates", "stored_candidates"]

CANDIDATES_FILE = "candidates.npz"


@dataclass(frozen=True, slots=True, eq=False)
class StoredCandidates:
    """Candidates and how they came about.

    Attributes:
        table: The candidates.
        path: The file they lie in.
        fingerprint: Of weights, settings and images.
        note: A sentence for the user on whether the model has run for them.
    """

    table: CandidateTable
    path: Path
    fingerprint: str
    note: str

    @property
    def most_per_level(self) -> int:
        """The largest number of candidates that a level of a tile has."""
        return int(self.table.ranks.max(initial=-1)) + 1


def stored_candidates(
    run: DetectorRun, folder: Path, *, limit: int, score_threshold: float
) -> StoredCandidates:
    """Candidates for some limits: from the file in a folder if they suffice, else from the model.

    Args:
        run: The detector and its test set.
        folder: Where ``candidates.npz`` is looked for and written.
        limit: Most candidates per level that are needed.
        score_threshold: Least score that is needed, exclusive.

    Raises:
        InputError: The detector does not give its candidates; an image or the file that is there
            cannot be read; or the file cannot be written.
    """
    candidate_source(run.model.model)  # an unsuitable detector is refused before images are read
    path, fingerprint = folder / CANDIDATES_FILE, run.fingerprint()
    why = ""
    if path.exists():
        table, found = read_candidates(path)
        if found == fingerprint and table.covers(limit, score_threshold):
            note = f"candidates: those of an earlier call in {path}; the model does not run"
            return StoredCandidates(table, path, fingerprint, note)
        if found != fingerprint:
            why = " (those there are of other weights, settings or images)"
        else:
            limit = max(limit, table.limit)
            score_threshold = min(score_threshold, table.score_threshold)
            why = f" (those there are the best {table.limit} above {table.score_threshold:g})"
    with dead_workers_explained():
        table = record_candidates(
            run.model,
            tqdm(run.batches, desc="model", unit="image"),
            limit=limit,
            score_threshold=score_threshold,
        )
    if not len(table.image_ids):
        raise InputError(f"the test set {run.annotations} has no image at all")
    write_candidates(path, table, fingerprint=fingerprint)
    note = f"candidates: recorded in {path}{why}"
    return StoredCandidates(table, path, fingerprint, note)
