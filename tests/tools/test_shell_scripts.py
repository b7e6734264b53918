"""The shell scripts: arguments, order of the steps, choice of the Python; no network."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import setup_env

SCRIPTS = ["tools/setup_env.sh", "tools/run_tests.sh", "tools/quickstart.sh", ".ci/run"]


def bash(*arguments, **environment):
    """Run bash with these arguments and additional variables."""
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    return subprocess.run(
        ["bash", *map(str, arguments)], env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_valid_and_executable(repository, script):
    assert bash("-n", repository / script).returncode == 0
    assert os.access(repository / script, os.X_OK)


@pytest.mark.parametrize("script", SCRIPTS[:3])
def test_help_goes_to_standard_output(repository, script):
    finished = bash(repository / script, "--help")
    assert finished.returncode == 0
    assert finished.stdout.startswith(f"usage: bash {script}")
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("setup_env.sh", ["--isolate"], "unknown argument: --isolate"),
        ("setup_env.sh", ["--python"], "--python needs"),
        ("quickstart.sh", ["--devices", "cpu"], "unknown argument: --devices"),
        ("quickstart.sh", ["--seed"], "--seed needs a value"),
        ("run_tests.sh", ["--only", "speed"], "--only needs one of"),
        ("run_tests.sh", ["--only"], "--only needs one of"),
    ],
)
def test_a_wrong_argument_is_named_and_exits_with_2(repository, script, arguments, message):
    finished = bash(repository / "tools" / script, *arguments)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert f"error: {message}" in finished.stderr


def test_continuous_integration_calls_the_test_command(repository):
    assert "bash tools/run_tests.sh --isolated" in (repository / ".ci/run").read_text()


# Choice of the Python. A small checkout whose set-up in Python only records how it was called.


@pytest.fixture
def checkout(tmp_path, repository):
    root = (tmp_path / "a checkout").resolve()
    (root / "tools").mkdir(parents=True)
    (root / "projects" / "scale_match").mkdir(parents=True)
    (root / "projects" / "scale_match" / "__init__.py").write_text("")
    shutil.copy(repository / "tools" / "setup_env.sh", root / "tools")
    (root / "tools" / "setup_env.py").write_text(
        "import pathlib, sys\n"
        "print('on standard output')\n"
        "pathlib.Path(__file__).with_name('calls').open('a').write(f'{sys.argv[1:]}\\n')\n"
    )
    return root


def set_up(root, *arguments, path=Path(sys.executable).parent, **environment):
    environment = {"PYTHONPATH": root / "projects", "PATH": f"{path}:/usr/bin:/bin", **environment}
    return bash(root / "tools" / "setup_env.sh", *arguments, SCALE_MATCH_PYTHON="", **environment)


def test_an_active_python_with_a_detector_is_used_as_it_is(checkout):
    finished = set_up(checkout)
    assert finished.returncode == 0
    (line,) = finished.stdout.splitlines()
    assert Path(line).is_absolute()
    assert Path(line).parent == Path(sys.executable).parent
    assert (checkout / "tools" / "calls").read_text() == "[]\n"
    assert not (checkout / ".venv").exists()
    assert "using the active Python" in finished.stderr
    assert "on standard output" in finished.stderr


def test_isolated_makes_an_own_environment_and_mends_a_broken_one(checkout):
    finished = set_up(checkout, "--isolated")
    python = checkout / ".venv" / "bin" / "python"
    assert finished.stdout == f"{python}\n"
    assert "creating .venv with Python 3.1" in finished.stderr
    assert (checkout / "tools" / "calls").read_text() == "['--own']\n"

    finished = set_up(checkout)
    assert finished.stdout == f"{python}\n"
    assert "creating" not in finished.stderr

    for link in (checkout / ".venv" / "bin").glob("python*"):
        link.unlink()
    finished = set_up(checkout)
    assert finished.stdout == f"{python}\n"
    assert ".venv does not work" in finished.stderr
    assert "creating .venv" in finished.stderr


def test_an_active_python_without_a_detector_is_only_the_base_of_an_own_environment(
    checkout, tmp_path
):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    finished = set_up(checkout, path=bare / "bin")
    assert finished.stdout == f"{checkout / '.venv' / 'bin' / 'python'}\n"
    assert f"({bare / 'bin' / 'python3'})" in finished.stderr


def test_another_package_on_the_path_is_an_error(checkout, tmp_path):
    (tmp_path / "scale_match").mkdir()
    (tmp_path / "scale_match" / "__init__.py").write_text("")
    finished = set_up(checkout, PYTHONPATH=tmp_path / "nowhere" / "..")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "error: PYTHONPATH puts another scale_match" in finished.stderr


def test_a_failed_set_up_prints_no_interpreter(checkout):
    (checkout / "tools" / "setup_env.py").write_text("raise SystemExit(1)\n")
    finished = set_up(checkout)
    assert finished.returncode == 1
    assert finished.stdout == ""


@pytest.mark.parametrize("named", [False, True])
def test_without_a_suitable_python_the_error_says_which_is_needed(checkout, tmp_path, named):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname"):
        (programs / name).symlink_to(shutil.which(name))
    old = programs / "python3"
    old.write_text("#!/usr/bin/env bash\nexit 1\n")
    old.chmod(0o755)
    arguments = ["--python", str(old)] if named else []
    finished = bash(
        *(checkout / "tools" / "setup_env.sh", *arguments), PATH=programs, SCALE_MATCH_PYTHON=""
    )
    assert finished.returncode == 1
    assert finished.stdout == ""
    expected = f"found as {old}" if named else "found: install one"
    assert f"error: no Python 3.11 or 3.12 {expected}" in finished.stderr


def test_a_second_run_takes_less_than_three_seconds(repository):
    own = Path(sys.prefix) == repository / ".venv"
    other_comes_first = not own and (repository / ".venv").exists()
    if other_comes_first or not setup_env.is_ready(setup_env.stamp_path(own=own)):
        pytest.skip("this Python was not set up by tools/setup_env.sh")
    started = time.monotonic()
    arguments = [] if own else ["--python", sys.executable]
    finished = bash(repository / "tools" / "setup_env.sh", *arguments)
    assert time.monotonic() - started < 3
    (line,) = finished.stdout.splitlines()
    assert Path(line).parent == Path(sys.executable).parent


# Order of the checks. A checkout whose Python only says what it is asked to do.


@pytest.fixture
def commands(tmp_path, repository):
    root = tmp_path / "root"
    (root / "tools").mkdir(parents=True)
    for name in ("run_tests.sh", "quickstart.sh"):
        shutil.copy(repository / "tools" / name, root / "tools")
    python = root / "python"
    (root / "tools" / "setup_env.sh").write_text(f'echo "set-up $*" >&2\necho "{python}"\n')
    python.write_text(
        f'#!/usr/bin/env bash\nif [ "$1" = -c ]; then echo "{root}"; exit; fi\n'
        'echo "ran$(printf " %q" "$@")"\n[ "$2" != "$FAILING" ]\n'
    )
    (root / "lint-imports").write_text("#!/usr/bin/env bash\necho ran lint-imports\n")
    for program in (python, root / "lint-imports"):
        program.chmod(0o755)
    return root / "tools"


ALL_CHECKS = [
    "ran -m ruff format --check",
    "ran -m ruff check",
    "ran -m mypy",
    "ran lint-imports",
    "ran -m pytest -k name",
]


def test_the_checks_run_in_order_and_tests_get_the_further_arguments(commands):
    finished = bash(commands / "run_tests.sh", "--isolated", "-k", "name", FAILING="none")
    assert finished.returncode == 0
    assert finished.stdout.splitlines() == ALL_CHECKS
    assert "set-up --isolated" in finished.stderr
    assert "== types passed in" in finished.stderr


def test_the_first_failing_check_stops_with_advice(commands):
    finished = bash(commands / "run_tests.sh", "-k", "name", FAILING="mypy")
    assert finished.returncode == 1
    assert finished.stdout.splitlines() == ALL_CHECKS[:3]
    assert finished.stderr.splitlines()[-1] == "error: types failed: mend what is listed above"


def test_failing_tests_give_the_exit_code_of_pytest_and_its_last_line(commands):
    finished = bash(commands / "run_tests.sh", "-k", "name", FAILING="pytest")
    assert finished.returncode == 1
    assert finished.stdout.splitlines() == ALL_CHECKS
    assert finished.stderr.splitlines()[-1].startswith("== tests")


def test_only_the_chosen_checks_run(commands):
    finished = bash(
        *(commands / "run_tests.sh", "--only", "imports", "--only", "lint"), FAILING="none"
    )
    assert finished.stdout.splitlines() == [ALL_CHECKS[1], ALL_CHECKS[3]]


def test_the_quickstart_passes_its_options_on(commands):
    finished = bash(
        *(commands / "quickstart.sh", "--isolated", "--output", "a folder", "--seed", "3"),
        FAILING="none",
    )
    assert finished.returncode == 0
    assert finished.stdout == f"ran {commands / 'quickstart.py'} --output a\\ folder --seed 3\n"
    assert "set-up --isolated" in finished.stderr
