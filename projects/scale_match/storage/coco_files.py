"""Writing COCO-format files from plain values, fast enough for the whole of COCO."""

import os
from pathlib import Path
from typing import Any

import msgspec

from scale_match.storage.files import write_bytes
from scale_match.storage.image_jobs import remove_leftovers

__all__ = ["write_raw_coco"]


def write_raw_coco(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write what ``read_raw_coco`` reads, as a whole, and remove what a killed run left of it.

    A NaN or infinity, which Python reads though JSON has none, becomes null; the fields that this
    package reads have none.

    Args:
        path: The file.
        content: All keys of the file.

    Raises:
        InputError: The file cannot be written.
    """
    remove_leftovers([Path(path)])
    write_bytes(path, msgspec.json.encode(content) + b"\n")
