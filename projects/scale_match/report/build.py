"""From scores files to the page: reads, gathers, draws, in this order."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from scale_match import __version__
from scale_match.core.errors import InputError
from scale_match.report.error_sections import error_section, ladder_section
from scale_match.report.image_sections import (
    Pictures,
    gather_pictures,
    images_section,
)
from scale_match.report.overview_sections import protocol_section, summary_section
from scale_match.report.page import build_page
from scale_match.report.series import MOST_SERIES
from scale_match.report.size_section import sizes_section
from scale_match.report.value_sections import ap_section, curve_section, recall_section
from scale_match.scoring.agreement import find_conflicts
from scale_match.scoring.comparison import run_labels
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.run_figures import RunFigures, gather_run, parse_metric
from scale_match.scoring.saved_metrics import default_metric_name

__all__ = ["Progress", "build_report"]

_Item = TypeVar("_Item")


class Progress(Protocol):
    """Wraps the items of a stage, to show how far it is."""

    def __call__(self, stage: str, items: Sequence[_Item], /) -> Iterable[_Item]:
        """The same items."""


def _silent(_stage: str, items: Sequence[_Item], /) -> Iterable[_Item]:
    return items


def build_report(
    paths: Sequence[Path],
    *,
    images: Path | None = None,
    worst: int = 8,
    metric: str | None = None,
    resamples: int | None = None,
    seed: int = 0,
    progress: Progress = _silent,
) -> tuple[str, Pictures]:
    """The report of one run or of several side by side.

    Args:
        paths: Scores files, at most six.
        images: Folder in which the file names of the ground truth are looked for; None makes a
            report without pictures.
        worst: How many images are drawn.
        metric: The value that the report is about, see ``scoring.run_figures.parse_metric``;
            AP50_tiny by default, or the first AP that all files have.
        resamples: Resamples of the images behind the intervals; None takes those of the scores
            files.
        seed: Of the resamples.
        progress: Wraps a stage's items, for a progress bar; gets the stage's name first.

    Returns:
        The page, and the pictures that are in it or missing.

    Raises:
        InputError: A file is no scores file, what it was computed from is gone or has changed, the
            metric was not evaluated, the image folder does not exist, or a number is out of range.
    """
    wanted = None if metric is None else parse_metric(metric)
    if worst < 0:
        raise InputError(f"--worst needs a number that is not negative; received {worst}")
    if not 1 <= len(paths) <= MOST_SERIES:
        raise InputError(
            f"a report shows 1 to {MOST_SERIES} scores files side by side; received {len(paths)}"
        )
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images} is no folder")
    saved = [read_saved_scores(path) for path in paths]
    wanted = wanted or parse_metric(default_metric_name(saved))
    labels = run_labels(saved)
    runs = [
        gather_run(
            each,
            wanted,
            place=place,
            label=labels[place],
            resamples=resamples,
            seed=seed,
            progress=lambda keys: progress("resample", keys),
        )
        for place, each in enumerate(progress("evaluate", saved))
    ]
    pictures = Pictures()
    if images is not None:
        pictures = gather_pictures(
            runs, images, worst, progress=lambda records: progress("draw", records)
        )
    sections = [
        summary_section(runs, _notices(runs)),
        protocol_section(runs),
        ap_section(runs),
        recall_section(runs),
        curve_section(runs),
        error_section(runs),
        ladder_section(runs),
        sizes_section(runs),
        images_section(runs, pictures, images),
    ]
    title = "Detection report"
    subtitle = f"{', '.join(labels)} - made with scale_match {__version__}"
    return build_page(title, subtitle, sections), pictures


def _notices(runs: Sequence[RunFigures]) -> list[str]:
    """What the reader must know before looking at numbers."""
    notices = [f"{run.label}: {warning}" for run in runs for warning in run.content["warnings"]]
    conflicts = find_conflicts([run.saved for run in runs]) if len(runs) > 1 else ()
    differing = [each.entry for each in conflicts if not each.is_unknown]
    unknown = [each.entry for each in conflicts if each.is_unknown]
    if differing:
        notices.append(
            "The runs have different protocols: do not rank them. They differ in "
            f"{', '.join(differing)}."
        )
    if unknown:
        notices.append(
            "Whether the runs can be compared is not known, because these entries of their "
            f"protocols are not given everywhere: {', '.join(unknown)}."
        )
    return notices
