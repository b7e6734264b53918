"""Bring the Python that runs this file to the state that the project needs.

``setup_env.sh`` chooses the Python and calls this. Names of what is needed stand in ``setup.cfg``,
versions in ``constraints.txt``. A stamp, written last, lets a further run end at once; an
interrupted run is taken up where it stopped. Standard library only.
"""

import argparse
import configparser
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import install_detectron2
from detectron2_fixes import FixError, fingerprint
from pip_steps import (
    CONSTRAINTS,
    ROOT,
    SetupError,
    canonical,
    constraints_that_keep,
    installed_versions,
    pinned_versions,
    run_pip,
    say,
    text_file,
    what_pip_would_add,
)

__all__ = ["main"]

BUILD_TOOLS = ("pip", "setuptools")
EXTRAS = ("detector", "dev")
DETECTRON2_NAMES = ("detectron2", "detectron2-cdo")
# Found by import, not by name: other distributions offer the same module, and a second one beside
# it would break both.
FOUND_BY_IMPORT = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "torch": "torch",
    "torchvision": "torchvision",
}
ADVICE_OWN = (
    "check the network connection, the package index that pip uses and the free disk space "
    "(6 GB), then run again; it goes on where it stopped"
)
ADVICE_KEPT = "run with --isolated to set up an environment of this checkout instead"


def required_names(config: Path = ROOT / "setup.cfg") -> list[str]:
    """Names of the distributions that the project, its detectors and its checks need."""
    parser = configparser.ConfigParser()
    parser.read_string(config.read_text(encoding="utf-8"))
    lists = [parser["options"]["install_requires"]]
    lists += [parser["options.extras_require"][extra] for extra in EXTRAS]
    lines = [line.strip() for text in lists for line in text.splitlines()]
    return [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in lines if line]


def offered_otherwise(name: str, installed: Mapping[str, str]) -> bool:
    """True where another distribution offers what the named one would install."""
    module = FOUND_BY_IMPORT.get(canonical(name))
    return (
        module is not None
        and canonical(name) not in installed
        and importlib.util.find_spec(module) is not None
    )


def missing(names: Sequence[str], installed: Mapping[str, str]) -> list[str]:
    """Those of the names that are neither installed nor offered by another distribution."""
    return [
        name
        for name in names
        if canonical(name) not in installed and not offered_otherwise(name, installed)
    ]


def package_is_ours() -> bool:
    """True where a new process imports ``scale_match`` from this checkout."""
    code = "import scale_match; print(scale_match.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    expected = ROOT / "projects" / "scale_match" / "__init__.py"
    return found.returncode == 0 and Path(found.stdout.strip()).resolve() == expected


def stamp_text() -> str:
    """Hash of what the environment depends on: versions, names, fixes, interpreter, checkout."""
    parts = [
        CONSTRAINTS.read_text(encoding="utf-8"),
        *required_names(),
        fingerprint(),
        sys.executable,
        sys.version,
        str(ROOT),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest() + "\n"


def stamp_path(*, own: bool) -> Path:
    """Where the stamp lies: in the checkout's own environment, else among its build files."""
    if own:
        return Path(sys.prefix) / "scale_match.stamp"
    key = hashlib.sha256(sys.executable.encode()).hexdigest()[:12]
    return ROOT / "build" / f"setup_env.{key}.stamp"


def is_ready(stamp: Path) -> bool:
    """True where nothing has changed since the stamp was written and nothing has been removed."""
    return (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8") == stamp_text()
        and not missing([*BUILD_TOOLS, *required_names()], installed_versions())
        and install_detectron2.find_installed() is not None
        and package_is_ours()
    )


def forget_half_installed(site_packages: Path) -> None:
    """Remove the metadata of distributions whose installation was interrupted.

    pip writes RECORD last. Without it a distribution counts as installed, may be incomplete, and
    cannot be replaced; without its metadata it is simply installed again.
    """
    for folder in site_packages.glob("*.dist-info"):
        if not (folder / "RECORD").is_file():
            say(f"{folder.name} was installed only in part: installing it again")
            shutil.rmtree(folder)


def install_build_tools(*, own: bool) -> None:
    """Install pip and setuptools; everything after this needs them.

    Args:
        own: True for this checkout's ``.venv``, which gets the pinned versions.

    Raises:
        SetupError: pip failed.
    """
    pins = pinned_versions()
    installed = installed_versions()
    outdated = [name for name in BUILD_TOOLS if own and installed.get(name) != pins[name]]
    wanted = [f"{name}=={pins[name]}" for name in outdated] or missing(BUILD_TOOLS, installed)
    if wanted:
        say(f"adding to {sys.prefix}: {', '.join(wanted)}")
        run_pip("install", "--quiet", *wanted, advice=ADVICE_OWN if own else ADVICE_KEPT)


def install_requirements(*, own: bool) -> None:
    """Install what is missing of the requirements and of what they need.

    Args:
        own: True for this checkout's ``.venv``, which gets the pinned versions; elsewhere nothing
            that is installed changes.

    Raises:
        SetupError: pip failed.
    """
    if own:
        forget_half_installed(Path(sysconfig.get_paths()["purelib"]))
    install_build_tools(own=own)
    installed = installed_versions()
    names = [name for name in required_names() if not offered_otherwise(name, installed)]
    # An installed detectron2 stays as it is, but what it needs may be missing.
    names += [name for name in DETECTRON2_NAMES if name in installed]
    constraints = constraints_that_keep({} if own else installed, pinned_versions())
    with text_file("constraints.txt", constraints) as file:
        if own:
            say(f"installing into {sys.prefix}: {', '.join(names)}")
            run_pip(
                "install", "--no-build-isolation", "--constraint", file, *names, advice=ADVICE_OWN
            )
            return
        say(f"working out what is missing in {sys.prefix}")
        wanted = what_pip_would_add(names, constraints=file, advice=ADVICE_KEPT)
    if wanted:
        say(f"adding to it, without changing anything else: {', '.join(wanted)}")
        run_pip("install", "--no-build-isolation", "--no-deps", *wanted, advice=ADVICE_KEPT)


def install_package() -> None:
    """Install this checkout's package, editable, unless it is the one that is imported.

    Raises:
        SetupError: pip failed, or another ``scale_match`` still comes first.
    """
    if package_is_ours():
        return
    say(f"installing scale_match from {ROOT} (editable)")
    run_pip(
        *("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT),
        advice=ADVICE_KEPT,
    )
    if not package_is_ours():
        raise SetupError(
            "another scale_match still comes first: take it off PYTHONPATH or out of "
            f"{sysconfig.get_paths()['purelib']}"
        )


def check_consistency() -> None:
    """Raise SetupError if the installed distributions contradict each other."""
    run_pip("check", advice="remove the folder .venv and run again")


def set_up(*, own: bool) -> None:
    """Run the steps that are needed and write the stamp.

    Args:
        own: True for this checkout's ``.venv``; elsewhere only what is missing is added.

    Raises:
        SetupError: A step failed.
        FixError: The downloaded sources of detectron2 are not the expected ones.
    """
    stamp = stamp_path(own=own)
    if is_ready(stamp):
        return
    started = time.monotonic()
    stamp.unlink(missing_ok=True)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("requirements", partial(install_requirements, own=own)),
        ("detectron2", install_detectron2.ensure),
        ("this package", install_package),
    ]
    if own:
        steps.append(("consistency", check_consistency))
    for number, (name, step) in enumerate(steps, start=1):
        say(f"[{number}/{len(steps)}] {name}")
        step()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(stamp_text(), encoding="utf-8")
    say(f"the environment is ready after {time.monotonic() - started:.0f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--own", action="store_true", help="this Python is the checkout's .venv: correct versions"
    )
    options = parser.parse_args(arguments)
    try:
        set_up(own=options.own)
    except (SetupError, FixError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
