"""What the set-up scripts share: versions, pip, messages.

Runs before anything is installed, in the Python that is being set up: standard library only.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

__all__ = [
    "CONSTRAINTS",
    "ROOT",
    "SetupError",
    "canonical",
    "constraints_that_keep",
    "installed_versions",
    "pinned_versions",
    "run_pip",
    "say",
    "text_file",
    "what_pip_would_add",
]

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tools" / "constraints.txt"


class SetupError(Exception):
    """The set-up cannot go on; the message is one sentence that says what to do."""


def say(message: str) -> None:
    """Print a message to standard error, where all of the set-up's messages go."""
    print(message, file=sys.stderr, flush=True)


def canonical(name: str) -> str:
    """The normal form of a distribution's name: ``PyYAML_x`` and ``pyyaml-x`` are the same."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_versions(path: Path = CONSTRAINTS) -> dict[str, str]:
    """Read ``name==version`` lines; empty lines and comments are allowed.

    Raises:
        SetupError: A line is anything else.
    """
    pins = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+_-]+)", content)
        if match is None:
            raise SetupError(f"{path.name}, line {number}: expected name==version, not {content!r}")
        pins[canonical(match[1])] = match[2]
    return pins


def installed_versions() -> dict[str, str]:
    """Versions of the distributions that this Python finds, the first on its path for each name."""
    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        # A distribution whose installation was interrupted can lack its metadata.
        if "Name" in distribution.metadata:
            versions.setdefault(canonical(distribution.metadata["Name"]), distribution.version)
    return versions


def constraints_that_keep(installed: Mapping[str, str], pins: Mapping[str, str]) -> str:
    """Constraints under which pip changes nothing that is installed; the pins hold for the rest."""
    return "".join(f"{name}=={version}\n" for name, version in ({**pins, **installed}).items())


@contextmanager
def text_file(name: str, text: str) -> Iterator[Path]:
    """A temporary file with this name and content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        yield path


def run_pip(*arguments: str | Path, advice: str, pip_folder: Path | None = None) -> None:
    """Run this Python's pip; its output goes to standard error.

    Args:
        *arguments: Command and options.
        advice: What to do when it fails, the end of the error's sentence.
        pip_folder: Folder of another pip to run instead.

    Raises:
        SetupError: pip failed; its own message stands above.
    """
    environment = dict(os.environ)
    if pip_folder is not None:
        paths = [str(pip_folder), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    words = [str(argument) for argument in arguments]
    command = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check"]
    finished = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if finished.returncode != 0:
        raise SetupError(f"'pip {words[0]}' failed, see above: {advice}")


def what_pip_would_add(names: Sequence[str], *, constraints: Path, advice: str) -> list[str]:
    """``name==version`` of all that pip would install for these names, without installing it.

    Args:
        names: Names of distributions.
        constraints: File of constraints.
        advice: What to do when there is no solution, the end of the error's sentence.

    Raises:
        SetupError: pip found no solution or failed otherwise.
    """
    with text_file("report.json", "{}") as report:
        run_pip(
            *("install", "--dry-run", "--quiet", "--no-build-isolation", "--report", report),
            "--constraint",
            constraints,
            *names,
            advice=advice,
        )
        found = json.loads(report.read_text(encoding="utf-8")).get("install", [])
    return [f"{entry['metadata']['name']}=={entry['metadata']['version']}" for entry in found]
