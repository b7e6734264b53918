"""Make sure that this Python has a working detectron2; keep the one that is there.

Without one, download the source distribution ``detectron2-cdo`` 0.5 by name, check its hash,
apply the fixes of ``detectron2_fixes.py``, build a pure-Python wheel and install it. Needs torch,
which the distribution's own set-up script imports. Standard library only.
"""

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from detectron2_fixes import NOTICE_NAME, STUB, FixError, apply_fixes, fingerprint, notice
from pip_steps import (
    SetupError,
    constraints_that_keep,
    installed_versions,
    pinned_versions,
    run_pip,
    say,
    text_file,
)

__all__ = ["main"]

DISTRIBUTION = "detectron2-cdo"
VERSION = "0.5"
SHA256 = "53c9e79e9cc943e80419c588ea44b5479507a8628ed14a4e06bd093e29311b18"

DOWNLOAD_ADVICE = "check the network connection and the package index that pip uses, then run again"
INSTALL_ADVICE = "if a version is in the way, use 'bash tools/setup_env.sh --isolated'"


def download(folder: Path) -> Path:
    """Download the source distribution with pip and check its hash.

    pip runs the set-up script of a source distribution to learn its name. ``--require-hashes``
    makes it check the archive before that.

    Returns:
        The archive.

    Raises:
        SetupError: pip failed, or the archive is not the pinned one.
    """
    requirement = f"{DISTRIBUTION}=={VERSION} --hash=sha256:{SHA256}\n"
    with text_file("requirements.txt", requirement) as requirements:
        run_pip(
            *("download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"),
            *("--require-hashes", "--requirement", requirements, "--dest", folder),
            advice=DOWNLOAD_ADVICE,
            pip_folder=pip_that_downloads(folder / "pip"),
        )
    archives = list(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise SetupError(f"pip left {len(archives)} archives of {DISTRIBUTION}; run again")
    check_hash(archives[0])
    return archives[0]


def pip_that_downloads(folder: Path) -> Path | None:
    """The pinned pip, put into a folder unless this Python has it; None: use this Python's own.

    pip 26.3 refuses the distribution, because an optional dependency of it names a URL.
    """
    pinned = pinned_versions()["pip"]
    if installed_versions().get("pip") == pinned:
        return None
    run_pip(
        *("install", "--quiet", "--no-deps", "--target", folder, f"pip=={pinned}"),
        advice=DOWNLOAD_ADVICE,
    )
    return folder


def check_hash(archive: Path) -> None:
    """Raise SetupError unless the archive is the pinned one."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SetupError(
            f"{archive.name} has sha256 {found}, expected {SHA256}: "
            f"the package index offers another file; nothing of it was used"
        )


def build_wheel(archive: Path, folder: Path) -> Path:
    """Unpack the sources, apply the fixes and build the wheel.

    Args:
        archive: The checked source distribution.
        folder: Empty working folder.

    Returns:
        The wheel, inside ``folder``.

    Raises:
        FixError: The sources are not the ones that the fixes were written for.
        SetupError: The build failed.
    """
    with tarfile.open(archive) as members:
        # Python 3.11.3 and older do not know filters; the hash vouches for the content.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        members.extractall(folder, **safe)  # type: ignore[arg-type]
    (sources,) = (path for path in folder.iterdir() if path.is_dir())
    apply_fixes(sources)
    (sources / "detectron2" / "_C.py").write_text(STUB, encoding="utf-8")
    (sources / NOTICE_NAME).write_text(notice(), encoding="utf-8")
    os.environ.setdefault("SOURCE_DATE_EPOCH", "1626998400")  # 2021-07-23, the sources' date
    run_pip(
        *("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", folder, sources),
        advice="torch and setuptools must be installed in this Python",
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def find_installed() -> str | None:
    """Where ``import detectron2`` would find it, with the version; None where it would not."""
    spec = importlib.util.find_spec("detectron2")
    if spec is None or spec.origin is None:
        return None
    init = Path(spec.origin)
    match = re.search(r"^__version__ = \"(.+)\"", init.read_text(encoding="utf-8"), re.MULTILINE)
    return f"detectron2 {match[1] if match else 'of unknown version'} in {init.parent}"


def is_outdated_build() -> bool:
    """True for a wheel of this script that was built with other fixes."""
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return False
    notices = [file.read_text() for file in files if file.name == NOTICE_NAME]
    return bool(notices) and fingerprint() not in notices[0]


def install_wheel(wheel: Path) -> None:
    """Install the wheel and those of its dependencies that are missing; change nothing else."""
    say("installing it and what of its dependencies is missing")
    keep = installed_versions()
    if keep.pop(DISTRIBUTION, None) is not None:
        run_pip("uninstall", "--quiet", "--yes", DISTRIBUTION, advice="run again")
    with text_file("constraints.txt", constraints_that_keep(keep, pinned_versions())) as file:
        run_pip(
            *("install", "--quiet", "--no-build-isolation", "--constraint", file, wheel),
            advice=INSTALL_ADVICE,
        )


def keep_wheel(wheel: Path, folder: Path) -> None:
    """Copy the wheel into a folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{wheel.name}.part"
    shutil.copyfile(wheel, part)
    say(f"kept {part.replace(folder / wheel.name)}")


def verify() -> None:
    """Check in a new process that what this project uses of detectron2 works.

    Raises:
        SetupError: It does not; the traceback stands above.
    """
    check = Path(__file__).with_name("check_detectron2.py")
    finished = subprocess.run([sys.executable, str(check)], stdout=sys.stderr, check=False)
    if finished.returncode != 0:
        raise SetupError(
            "the installed detectron2 does not work, see above: repair or uninstall it and run "
            "again; --isolated sets up an environment of this checkout instead"
        )


def ensure(wheel_dir: Path | None = None) -> None:
    """Keep, or build and install, detectron2; then verify it.

    Args:
        wheel_dir: Where to keep the wheel; it is then built in any case.

    Raises:
        SetupError: A step failed.
        FixError: The sources are not the expected ones.
    """
    found = find_installed()
    outdated = is_outdated_build()
    if found is not None and not outdated:
        say(f"keeping {found}")
    install = found is None or outdated
    if install or wheel_dir is not None:
        if importlib.util.find_spec("torch") is None:
            raise SetupError("torch is not installed in this Python: bash tools/setup_env.sh does")
        with tempfile.TemporaryDirectory() as work:
            (Path(work) / "download").mkdir()
            (Path(work) / "build").mkdir()
            say(f"downloading the sources of {DISTRIBUTION} {VERSION} and building a wheel")
            archive = download(Path(work) / "download")
            wheel = build_wheel(archive, Path(work) / "build")
            if install:
                install_wheel(wheel)
            if wheel_dir is not None:
                keep_wheel(wheel, wheel_dir)
    verify()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--wheel-dir", type=Path, metavar="DIR", help="build the wheel and keep it")
    options = parser.parse_args(arguments)
    try:
        ensure(options.wheel_dir)
    except (SetupError, FixError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
