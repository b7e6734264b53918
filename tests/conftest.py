"""Where tests find the oracle files and the photographs that are not part of this project."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def _shared_folder() -> Path | None:
    named = os.environ.get("SCALE_MATCH_SHARED")
    if named:
        return Path(named)
    beside = REPOSITORY.parent / "shared"
    return beside if beside.is_dir() else None


def shared_path(relative: str) -> Path:
    """The file or folder in the shared folder; skips without one, fails where one was named."""
    folder = _shared_folder()
    if folder is None:
        pytest.skip(f"no shared folder beside the project or in SCALE_MATCH_SHARED ({relative})")
    path = folder / relative
    if not path.exists():
        message = f"{path} does not exist"
        if os.environ.get("SCALE_MATCH_SHARED"):
            pytest.fail(message + ", although SCALE_MATCH_SHARED names its folder")
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def shared():
    """Function from a path below the shared folder to the file; see shared_path."""
    return shared_path


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY
