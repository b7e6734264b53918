"""Where a data file that a config names is found."""

import os
from pathlib import Path

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
        the data root when that exists; else the path itself, so that the message about the missing
        file shows what the user wrote.
    """
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given
    below_root = data_root() / given
    return below_root if below_root.exists() else given
