"""The set-up of the environment, as far as it can be tested without a network."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pip_steps
import pytest
import setup_env
from pip_steps import SetupError, constraints_that_keep, pinned_versions, run_pip

# Names and versions.


def test_every_required_distribution_is_pinned():
    pins = pinned_versions()
    names = [*setup_env.BUILD_TOOLS, *setup_env.required_names()]
    assert [name for name in names if pip_steps.canonical(name) not in pins] == []


def test_required_names_are_read_from_setup_cfg(tmp_path):
    config = tmp_path / "setup.cfg"
    config.write_text(
        "[options]\ninstall_requires =\n    numpy\n    Pillow>=10 ; python_version > '3'\n"
        "[options.extras_require]\n# a comment\ndetector =\n    torch\ndev =\n    ruff[x]\n"
    )
    assert setup_env.required_names(config) == ["numpy", "Pillow", "torch", "ruff"]


def test_pins_are_read_with_comments_and_other_spellings_of_a_name(tmp_path):
    path = tmp_path / "constraints.txt"
    path.write_text("# why\nPyYAML==6.0.3\n\ntyping_extensions==4.16.0  # needed by torch\n")
    assert pinned_versions(path) == {"pyyaml": "6.0.3", "typing-extensions": "4.16.0"}


def test_a_line_that_pins_nothing_is_an_error_with_its_number(tmp_path):
    path = tmp_path / "constraints.txt"
    path.write_text("numpy==2.4.6\ntorch>=2\n")
    with pytest.raises(SetupError, match=r"constraints\.txt, line 2: .* not 'torch>=2'"):
        pinned_versions(path)


def test_what_is_installed_wins_over_the_pins():
    text = constraints_that_keep({"numpy": "1.26.4"}, {"numpy": "2.4.6", "tqdm": "4.70.1"})
    assert sorted(text.splitlines()) == ["numpy==1.26.4", "tqdm==4.70.1"]


def test_a_distribution_without_metadata_is_not_counted_as_installed(tmp_path, monkeypatch):
    (tmp_path / "broken-1.0.dist-info").mkdir()
    good = tmp_path / "Some_Thing-2.0.dist-info"
    good.mkdir()
    (good / "METADATA").write_text("Metadata-Version: 2.1\nName: Some_Thing\nVersion: 2.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert pip_steps.installed_versions() == {"some-thing": "2.0"}


def test_another_distribution_with_the_same_module_counts(monkeypatch):
    monkeypatch.setattr(
        setup_env.importlib.util, "find_spec", lambda name: name if name == "cv2" else None
    )
    names = ["numpy", "opencv-python-headless", "Pillow", "torch"]
    assert setup_env.missing(names, {"numpy": "2.4.6"}) == ["Pillow", "torch"]


# pip.


def test_a_failure_of_pip_is_an_error_with_the_advice():
    with pytest.raises(SetupError, match="'pip no-such-command' failed, see above: do this"):
        run_pip("no-such-command", advice="do this")


def test_the_plan_lists_what_pip_reports(tmp_path, monkeypatch):
    def run_pip(*arguments, **options):
        report = Path(arguments[arguments.index("--report") + 1])
        report.write_text('{"install": [{"metadata": {"name": "tqdm", "version": "4.70.1"}}]}')
        assert "--dry-run" in arguments

    monkeypatch.setattr(pip_steps, "run_pip", run_pip)
    wanted = pip_steps.what_pip_would_add(["tqdm"], constraints=tmp_path / "c", advice="")
    assert wanted == ["tqdm==4.70.1"]


@pytest.fixture
def pip_calls(monkeypatch):
    """The calls of pip, which are recorded and not made."""
    calls = []
    monkeypatch.setattr(
        setup_env, "run_pip", lambda *arguments, **options: calls.append(list(arguments))
    )
    return calls


def test_nothing_is_written_elsewhere_when_nothing_is_missing(pip_calls, monkeypatch):
    monkeypatch.setattr(setup_env, "what_pip_would_add", lambda names, **options: [])
    setup_env.install_requirements(own=False)
    assert pip_calls == []


def test_elsewhere_only_what_is_missing_is_added_after_saying_so(pip_calls, monkeypatch, capsys):
    monkeypatch.setattr(setup_env, "what_pip_would_add", lambda names, **options: ["tqdm==4.70.1"])
    setup_env.install_requirements(own=False)
    (call,) = pip_calls
    assert call[-1] == "tqdm==4.70.1"
    assert "--no-deps" in call
    assert "tqdm==4.70.1" in capsys.readouterr().err


def test_an_environment_of_ones_own_gets_everything_in_the_pinned_version(pip_calls, monkeypatch):
    monkeypatch.setattr(setup_env, "forget_half_installed", lambda folder: None)
    monkeypatch.setattr(setup_env, "install_build_tools", lambda own: None)
    monkeypatch.setattr(setup_env, "installed_versions", lambda: {"torch": "1.0", "numpy": "1.0"})
    constraints = []
    monkeypatch.setattr(
        setup_env,
        "run_pip",
        lambda *arguments, **options: (
            pip_calls.append(arguments),
            constraints.append(arguments[arguments.index("--constraint") + 1].read_text()),
        ),
    )
    setup_env.install_requirements(own=True)
    assert {"torch", "numpy", "msgspec"} <= set(pip_calls[0])
    assert f"torch=={pinned_versions()['torch']}\n" in constraints[0]


def test_build_tools_get_their_pinned_versions_in_the_own_environment_only(pip_calls, monkeypatch):
    monkeypatch.setattr(
        setup_env, "installed_versions", lambda: {"pip": "23.0", "setuptools": "1.0"}
    )
    setup_env.install_build_tools(own=False)
    assert pip_calls == []
    setup_env.install_build_tools(own=True)
    pins = pinned_versions()
    assert [f"pip=={pins['pip']}", f"setuptools=={pins['setuptools']}"] == pip_calls[0][-2:]


def test_a_half_installed_distribution_is_forgotten(tmp_path, capsys):
    for name, files in {"whole-1.0": ["METADATA", "RECORD"], "half-1.0": ["METADATA"]}.items():
        folder = tmp_path / f"{name}.dist-info"
        folder.mkdir()
        for file in files:
            (folder / file).write_text("")
    setup_env.forget_half_installed(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole-1.0.dist-info"]
    assert "half-1.0.dist-info was installed only in part" in capsys.readouterr().err


# The stamp.


def test_the_stamp_follows_versions_fixes_interpreter_and_place(tmp_path, monkeypatch):
    texts = {setup_env.stamp_text()}
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("numpy==1.0\n")
    changes = [
        (setup_env, "CONSTRAINTS", constraints),
        (setup_env, "required_names", lambda: ["numpy"]),
        (setup_env, "fingerprint", lambda: "other"),
        (setup_env, "ROOT", tmp_path),
        (sys, "executable", "/other/python"),
        (sys, "version", "3.12.9"),
    ]
    for owner, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            texts.add(setup_env.stamp_text())
    assert len(texts) == 1 + len(changes)
    assert setup_env.stamp_text() in texts


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """A stamp that fits, in an environment that lacks nothing."""
    monkeypatch.setattr(setup_env, "missing", lambda names, installed: [])
    monkeypatch.setattr(setup_env.install_detectron2, "find_installed", lambda: "detectron2")
    monkeypatch.setattr(setup_env, "package_is_ours", lambda: True)
    stamp = tmp_path / "stamp"
    stamp.write_text(setup_env.stamp_text())
    return stamp


def test_an_environment_with_its_stamp_is_ready(ready):
    assert setup_env.is_ready(ready)


@pytest.mark.parametrize("change", ["no stamp", "other", "missing", "detectron2", "package"])
def test_whatever_has_changed_or_gone_makes_an_environment_not_ready(ready, monkeypatch, change):
    if change == "no stamp":
        ready.unlink()
    if change == "other":
        ready.write_text("0000\n")
    if change == "missing":
        monkeypatch.setattr(setup_env, "missing", lambda names, installed: ["msgspec"])
    if change == "detectron2":
        monkeypatch.setattr(setup_env.install_detectron2, "find_installed", lambda: None)
    if change == "package":
        monkeypatch.setattr(setup_env, "package_is_ours", lambda: False)
    assert not setup_env.is_ready(ready)


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """The steps of a set-up by name, none of which does anything, and its stamp."""
    done = []
    stamp = tmp_path / "deep" / "stamp"
    monkeypatch.setattr(setup_env, "stamp_path", lambda own: stamp)
    monkeypatch.setattr(setup_env, "is_ready", lambda path: False)
    monkeypatch.setattr(
        setup_env, "install_requirements", lambda own: done.append(f"requirements own={own}")
    )
    monkeypatch.setattr(setup_env.install_detectron2, "ensure", lambda: done.append("detectron2"))
    monkeypatch.setattr(setup_env, "install_package", lambda: done.append("package"))
    monkeypatch.setattr(setup_env, "check_consistency", lambda: done.append("consistency"))
    return SimpleNamespace(done=done, stamp=stamp)


def test_the_steps_run_in_order_and_the_stamp_comes_last(steps):
    assert setup_env.main(["--own"]) == 0
    assert steps.done == ["requirements own=True", "detectron2", "package", "consistency"]
    assert steps.stamp.read_text() == setup_env.stamp_text()


def test_elsewhere_the_consistency_of_other_packages_is_not_our_business(steps):
    assert setup_env.main([]) == 0
    assert steps.done == ["requirements own=False", "detectron2", "package"]


def test_a_failing_step_leaves_no_stamp_and_says_so(steps, monkeypatch, capsys):
    steps.stamp.parent.mkdir()
    steps.stamp.write_text("an older stamp")

    def fail():
        raise SetupError("it broke")

    monkeypatch.setattr(setup_env, "install_package", fail)
    assert setup_env.main(["--own"]) == 1
    assert not steps.stamp.exists()
    assert "error: it broke" in capsys.readouterr().err


def test_a_ready_environment_is_left_alone(steps, monkeypatch):
    monkeypatch.setattr(setup_env, "is_ready", lambda path: True)
    assert setup_env.main(["--own"]) == 0
    assert steps.done == []


# The package.


def test_the_imported_package_is_this_checkouts():
    assert setup_env.package_is_ours()


def test_another_package_that_comes_first_is_noticed(tmp_path, monkeypatch, pip_calls):
    (tmp_path / "scale_match").mkdir()
    (tmp_path / "scale_match" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not setup_env.package_is_ours()
    with pytest.raises(SetupError, match="another scale_match still comes first"):
        setup_env.install_package()
    assert "--editable" in pip_calls[0]
    assert "--no-deps" in pip_calls[0]
