"""A preview of Scale Match from files to files: what ``tools/preview_scale_match.py`` does."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scale_match.core.counted_sizes import counted_sizes
from scale_match.core.errors import InputError
from scale_match.core.histogram_settings import HistogramSettings
from scale_match.core.records import FloatArray, ImageRecord
from scale_match.core.scale_policy import ScalePolicy
from scale_match.report.plots import check_plot_path
from scale_match.report.preview_picture import draw_preview, load_samples
from scale_match.scoring.preview_summary import (
    Distribution,
    gaussian_distribution,
    named_target,
    summary_of,
)
from scale_match.scoring.scale_preview import PreviewedImage, preview_images
from scale_match.storage.annotations import read_annotations
from scale_match.storage.files import write_json
from scale_match.storage.histograms import saved_settings
from scale_match.storage.locations import resolve_data_path
from scale_match.storage.policies import (
    build_gaussian_target,
    build_scale_policy,
    given_mu_sigma,
)

__all__ = ["PreviewOutcome", "PreviewSettings", "run_preview"]

_DEFAULT_BINS = 100

Progress = Callable[[Iterable[ImageRecord]], Iterable[ImageRecord]]


@dataclass(frozen=True)
class PreviewSettings:
    """What a preview is asked for; the arguments of a policy are those of ``build_scale_policy``.

    Attributes:
        source: Annotation file of the images to be scaled.
        policy: "sm", "msm" or "gsm".
        json: File to write the images' rows to; the summary goes beside it.
        target: Annotation file or saved histogram; "" for none, which gsm with ``mu_sigma`` allows.
        bins: None takes those of a saved histogram, else 100.
        log: None takes that of a saved histogram, else False.
        except_rate: None takes that of a saved histogram, else 2 / bins.
        mu_sigma: None takes that of a saved histogram, else none.
        seed: Of the training.
        epoch: Of the training.
        images: Folder of the source's images, some of which the plot shows.
        plot: Picture to write.
        strict: An image that cannot be shown is an error.
    """

    source: Path
    policy: str
    json: Path
    target: str = ""
    bins: int | None = None
    log: bool | None = None
    except_rate: float | None = None
    mu_sigma: list[float] | None = None
    normal_sample: str = ""
    min_size: float = -1.0
    size_per: str = "image"
    scale_range: tuple[float, float] = (0.1, 1.0)
    default_scale: float = 0.25
    max_tries: int = 5
    out_of_range: str = "clip"
    seed: int = 0
    epoch: int = 0
    images: Path | None = None
    plot: Path | None = None
    strict: bool = False

    @property
    def summary(self) -> Path:
        """The file beside ``json`` that the summary goes to."""
        return self.json.with_suffix(".summary.json")


@dataclass(frozen=True)
class PreviewOutcome:
    """What a preview found and wrote.

    Attributes:
        summary: The content of the summary file.
        problems: A sentence for each image that could not be shown.
        written: The files.
    """

    summary: dict[str, Any]
    problems: list[str]
    written: list[Path]


def run_preview(settings: PreviewSettings, *, progress: Progress = iter) -> PreviewOutcome:
    """Decide on every image and write rows, summary and picture.

    Args:
        settings: See there.
        progress: Wraps the loop over images.

    Raises:
        InputError: A setting or a file breaks its rule; nothing is written then.
    """
    _check_paths(settings)
    counting = _histogram_settings(settings)
    policy = _policy(settings, counting)
    targets = _targets(settings, counting)
    annotations = read_annotations(settings.source)
    images = preview_images(
        annotations, policy, seed=settings.seed, epoch=settings.epoch, progress=progress
    )
    source = counted_sizes(annotations.table)
    result = np.concatenate([image.scaled_sizes for image in images])
    summary = {
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(settings).items()
        },
        "num_images": len(images),
        "num_without_boxes": sum(image.num_boxes == 0 for image in images),
        "num_fallbacks": sum(image.decision.fallback for image in images),
        "num_boxes": sum(image.num_boxes for image in images),
        "num_left": len(result),
        **summary_of(source, result, targets),
    }
    written, problems = [settings.json, settings.summary], []
    if settings.plot is not None:
        problems = _draw(settings, settings.plot, images, (source, result), targets["target"])
        written.append(settings.plot)
    write_json(settings.summary, summary, indent=1)
    write_json(settings.json, [image.row() for image in images])
    return PreviewOutcome(summary, problems, written)


def _draw(
    settings: PreviewSettings,
    path: Path,
    images: list[PreviewedImage],
    sizes: tuple[FloatArray, FloatArray],
    target: Distribution,
) -> list[str]:
    """Draw the picture; returns what could not be shown."""
    samples, problems = load_samples(images, settings.images) if settings.images else ([], [])
    if problems and settings.strict:
        raise InputError(problems[0])
    source, result = sizes
    label = target.label
    draw_preview(path, source, result, target.sizes, target_label=label, samples=samples)
    return problems


def _check_paths(settings: PreviewSettings) -> None:
    read = {settings.source.resolve()}
    if settings.target:
        read.add(resolve_data_path(settings.target).resolve())
    elif settings.policy != "gsm":
        raise InputError(
            f"--policy {settings.policy} needs --target, whose object sizes to imitate"
        )
    for path in (settings.json, settings.summary, settings.plot):
        if path is not None and path.resolve() in read:
            raise InputError(f"{path} is read and must not be written to: give another name")
    if settings.plot is not None:
        check_plot_path(settings.plot)
    elif settings.images is not None:
        raise InputError(f"--images {settings.images} needs --plot, where some of them are shown")
    if settings.images is not None and not settings.images.is_dir():
        raise InputError(f"--images {settings.images} is not a folder")


def _histogram_settings(settings: PreviewSettings) -> HistogramSettings:
    """How the target's sizes are counted: as asked for, else as a saved histogram was made."""
    saved = saved_settings(resolve_data_path(settings.target)) if settings.target else None
    counting = saved or HistogramSettings(_DEFAULT_BINS)
    if settings.policy == "gsm":  # It counts nothing; the target is only compared with.
        return counting
    given: dict[str, Any] = {
        "bins": settings.bins,
        "log": settings.log,
        "except_rate": settings.except_rate,
        "mu_sigma": given_mu_sigma(settings.mu_sigma or ()),
    }
    return replace(counting, **{key: value for key, value in given.items() if value is not None})


def _policy(settings: PreviewSettings, counting: HistogramSettings) -> ScalePolicy:
    gaussian = settings.policy == "gsm"
    policy = build_scale_policy(
        settings.policy,
        target=settings.target,
        source=str(settings.source),
        bins=_gsm_bins(settings) if gaussian else counting.bins,
        log=bool(settings.log) if gaussian else counting.log,
        except_rate=settings.except_rate if gaussian else counting.except_rate,
        mu_sigma=(settings.mu_sigma if gaussian else counting.mu_sigma) or (),
        normal_sample=settings.normal_sample,
        min_size=settings.min_size,
        size_per=settings.size_per,
        scale_range=settings.scale_range,
        default_scale=settings.default_scale,
        max_tries=settings.max_tries,
        out_of_range=settings.out_of_range,
    )
    if policy is None:
        raise InputError("--policy 'none' scales nothing, so there is nothing to preview")
    return policy


def _targets(settings: PreviewSettings, counting: HistogramSettings) -> dict[str, Distribution]:
    """The distributions to compare with, the one that is called "target" among them."""
    named = {"target": named_target(settings.target, counting)} if settings.target else {}
    if settings.policy != "gsm":
        return named
    aimed_at = build_gaussian_target(
        settings.target,
        settings.mu_sigma or (),
        settings.normal_sample,
        _gsm_bins(settings),
        settings.min_size,
    )
    gaussian = gaussian_distribution(aimed_at)
    return {**named, "gaussian": gaussian} if named else {"target": gaussian}


def _gsm_bins(settings: PreviewSettings) -> int:
    return _DEFAULT_BINS if settings.bins is None else settings.bins
