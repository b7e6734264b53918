"""Where a data file that a config names is found."""

import os
from pathlib import Path

from scale_match.core.errors import InputError

__all__ = ["DATA_ROOT_VARIABLE", "data_root", "resolve_data_path"]

DATA_ROOT_VARIABLE = "DETECTRON2_DATASETS"


def data_root() -> Path:
    """The folder of the data sets: ``$DETECTRON2_DATASETS``, else ``datasets``, as detectron2."""
    return Path(os.environ.get(DATA_ROOT_VARIABLE) or "datasets").expanduser()


def resolve_data_path(path: str | os.PathLike[str]) -> Path:
    """Finds a file or folder that a config or an option names.

    Every file name that comes from a config (annotations, images, the target and source of Scale
    Match) goes through here before it is opened, so that a config says ``coco/train2017`` and runs
    wherever the data sets are kept.

    Args:
        path: Absolute, relative to the current folder, or relative to the data root. ``~`` is the
            home folder.

    Returns:
        The path itself when it is absolute or exists in the current folder; else the path below
        the data root when that exists. A folder (a name without an ending) that is in neither
        place stays as it is, for not every run reads the images.

    Raises:
        InputError: A relative file is in neither place; the message names both. (Whoever opens an
            absolute one says that it is not there.)
    """
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given
    root = data_root()
    if (root / given).exists():
        return root / given
    if not given.suffix:
        return given
    unset = "" if os.environ.get(DATA_ROOT_VARIABLE) else ", which is not set"
    raise InputError(
        f"cannot read {path}: it is neither in {Path.cwd()} nor in {root.absolute()} (the folder "
        f"of data sets, {DATA_ROOT_VARIABLE}{unset})"
    )
