"""Scores files to be compared, made in a temporary folder."""

from evaluation_samples import crowded
from scale_match.core.protocol import MODEL_ENTRIES
from scale_match.scoring.files import read_saved_scores, write_scores
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import score
from scoring_files import write

KNOWN = dict.fromkeys(MODEL_ENTRIES, "none")
"""A protocol of the model without unknown entries."""


def make_scores(folder, name, *, share=1.0, seed=0, options=None, protocol=KNOWN):
    """Path of a scores file of crowded images, in a folder of the run's name.

    Args: share: of the detections that the run has; seed: of ground truth and detections.
    """
    ground_truth, results = crowded(seed, images=12, truths=120, detections=500)
    gt = write(folder / f"gt{seed}.json", ground_truth)
    dt = write(folder / name / "dt.json", results[: round(share * len(results))])
    path = folder / name / "scores.json"
    write_scores(path, score(load_inputs(gt, dt), options, protocol))
    return path


def make_saved(folder, name, **options):
    """The same, read."""
    return read_saved_scores(make_scores(folder, name, **options))
