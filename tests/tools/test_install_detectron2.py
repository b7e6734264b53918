"""The pinned fixes of detectron2 0.5 and the script that builds and installs it; no network."""

import dataclasses
import re
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import check_detectron2
import detectron2_fixes
import install_detectron2
import pytest
from detectron2_fixes import FIXES, STUB, Fix, FixError, apply_fixes, fingerprint, notice
from pip_steps import SetupError


@pytest.fixture
def sources(tmp_path):
    """A tree in which every pattern occurs exactly as often as the list expects."""
    root = tmp_path / "detectron2_cdo-0.5"
    for fix in FIXES:
        path = root / fix.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write((fix.old + "\n") * fix.count)
    return root


# The list of fixes.


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: f"{fix.path}: {fix.old[:30]}")
def test_each_fix_replaces_all_its_occurrences(sources, fix):
    apply_fixes(sources)
    text = (sources / fix.path).read_text()
    assert text.count(fix.old) == fix.new.count(fix.old) * fix.count
    assert text.count(fix.new) >= fix.count


@pytest.mark.parametrize("fix", FIXES, ids=lambda fix: f"{fix.path}: {fix.old[:30]}")
@pytest.mark.parametrize("change", [-1, 1])
def test_a_pattern_that_occurs_once_too_often_or_too_rarely_is_an_error(sources, fix, change):
    path = sources / fix.path
    text = path.read_text()
    path.write_text(text.replace(fix.old, "", 1) if change < 0 else text + fix.old)
    expected = f"{re.escape(fix.path)}: expected .* {fix.count} time.*found {fix.count + change}"
    with pytest.raises(FixError, match=expected):
        apply_fixes(sources)


def test_a_missing_file_is_an_error_that_names_it(sources):
    (sources / "detectron2/data/common.py").unlink()
    with pytest.raises(FixError, match=r"detectron2/data/common\.py: the file is missing"):
        apply_fixes(sources)


def test_fixes_are_applied_in_order(tmp_path):
    (tmp_path / "a.py").write_text("one")
    steps = [Fix("a.py", "one", "two", 1, ""), Fix("a.py", "two", "three", 1, "")]
    apply_fixes(tmp_path, steps)
    assert (tmp_path / "a.py").read_text() == "three"


def test_the_fingerprint_follows_fixes_and_stub(monkeypatch):
    other = [dataclasses.replace(FIXES[0], new="other"), *FIXES[1:]]
    assert fingerprint(other) != fingerprint()
    before = fingerprint()
    monkeypatch.setattr(detectron2_fixes, "STUB", STUB + "\n")
    assert fingerprint() != before


def test_the_notice_names_every_changed_file_and_the_fingerprint():
    text = notice()
    assert fingerprint() in text
    assert all(f"`{fix.path}`" in text and fix.reason in text for fix in FIXES)


def test_the_stub_names_the_missing_function_and_answers_environment_questions():
    stub = {"__name__": "detectron2._C"}
    exec(STUB, stub)
    assert stub["has_cuda"]() is False
    assert stub["get_compiler_version"]() == stub["get_cuda_version"]()
    with pytest.raises(AttributeError, match=r"detectron2\._C\.nms_rotated needs the compiled"):
        stub["__getattr__"]("nms_rotated")


# Download and build.


def test_an_archive_with_another_hash_is_refused(tmp_path):
    archive = tmp_path / "detectron2_cdo-0.5.tar.gz"
    archive.write_bytes(b"something else")
    with pytest.raises(
        SetupError, match=r"detectron2_cdo-0\.5\.tar\.gz has sha256 .* expected 53c9"
    ):
        install_detectron2.check_hash(archive)


def test_pip_checks_the_hash_before_anything_of_the_archive_runs(tmp_path, monkeypatch):
    calls = []

    def run_pip(*arguments, **options):
        calls.append(arguments)
        requirements = Path(arguments[arguments.index("--requirement") + 1])
        calls.append(requirements.read_text())
        (tmp_path / "detectron2_cdo-0.5.tar.gz").write_bytes(b"something else")

    monkeypatch.setattr(install_detectron2, "run_pip", run_pip)
    monkeypatch.setattr(install_detectron2, "pip_that_downloads", lambda folder: None)
    with pytest.raises(SetupError, match="offers another file"):
        install_detectron2.download(tmp_path)
    assert {"--require-hashes", "--no-deps"} <= set(calls[0])
    assert f"--hash=sha256:{install_detectron2.SHA256}" in calls[1]


def test_a_download_without_an_archive_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(install_detectron2, "run_pip", lambda *arguments, **options: None)
    monkeypatch.setattr(install_detectron2, "pip_that_downloads", lambda folder: None)
    with pytest.raises(SetupError, match="pip left 0 archives"):
        install_detectron2.download(tmp_path)


@pytest.mark.parametrize(("installed", "expected_calls"), [("26.1.2", 0), ("26.3", 1)])
def test_the_pinned_pip_downloads(tmp_path, monkeypatch, installed, expected_calls):
    calls = []
    monkeypatch.setattr(install_detectron2, "pinned_versions", lambda: {"pip": "26.1.2"})
    monkeypatch.setattr(install_detectron2, "installed_versions", lambda: {"pip": installed})
    monkeypatch.setattr(
        install_detectron2, "run_pip", lambda *arguments, **options: calls.append(arguments)
    )
    folder = install_detectron2.pip_that_downloads(tmp_path / "pip")
    assert len(calls) == expected_calls
    assert folder == (tmp_path / "pip" if expected_calls else None)
    assert all("pip==26.1.2" in call for call in calls)


def test_the_wheel_is_built_from_fixed_sources_with_stub_and_notice(sources, tmp_path, monkeypatch):
    archive = tmp_path / "detectron2_cdo-0.5.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        members.add(sources, sources.name)
    build = tmp_path / "build"
    build.mkdir()

    def run_pip(*arguments, **options):
        tree = Path(arguments[-1])
        assert (tree / "detectron2/_C.py").read_text() == STUB
        assert (tree / "FIXES.md").read_text() == notice()
        assert "Image.LINEAR" not in (tree / "detectron2/data/transforms/transform.py").read_text()
        assert "--no-index" in arguments
        (build / "detectron2_cdo-0.5-py3-none-any.whl").write_bytes(b"")

    monkeypatch.setattr(install_detectron2, "run_pip", run_pip)
    wheel = install_detectron2.build_wheel(archive, build)
    assert wheel == build / "detectron2_cdo-0.5-py3-none-any.whl"


# Keep, or install.


def _forget_detectron2(monkeypatch):
    """Another test of this process may have imported it, and would then find that one."""
    monkeypatch.delitem(sys.modules, "detectron2", raising=False)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder that comes first on sys.path, to put a detectron2 into."""
    _forget_detectron2(monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "detectron2"


def test_an_installed_detectron2_is_found_with_version_and_place(package):
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "7.8"\n')
    assert install_detectron2.find_installed() == f"detectron2 7.8 in {package}"


def test_a_detectron2_without_a_version_is_found_too(package):
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert install_detectron2.find_installed() == f"detectron2 of unknown version in {package}"


def test_an_absent_detectron2_and_an_empty_folder_of_that_name_are_not_one(tmp_path, monkeypatch):
    _forget_detectron2(monkeypatch)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert install_detectron2.find_installed() is None
    (tmp_path / "detectron2").mkdir()
    assert install_detectron2.find_installed() is None


@pytest.mark.parametrize(
    ("content", "outdated"),
    [(None, False), ("fingerprint: 0000", True), (notice(), False)],
    ids=["no notice", "other fixes", "same fixes"],
)
def test_only_an_own_build_with_other_fixes_is_outdated(tmp_path, monkeypatch, content, outdated):
    info = tmp_path / "detectron2_cdo-0.5.dist-info"
    (info / "licenses").mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: detectron2_cdo\nVersion: 0.5\n")
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/licenses/FIXES.md,,\n")
    if content is None:
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n")
    else:
        (info / "licenses" / "FIXES.md").write_text(content)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert install_detectron2.is_outdated_build() is outdated


def test_without_the_distribution_nothing_is_outdated(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert install_detectron2.is_outdated_build() is False


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """The steps of ``ensure`` as recorded names; the wheel is an empty file."""
    done = []
    wheel = tmp_path / "detectron2_cdo-0.5-py3-none-any.whl"
    wheel.write_bytes(b"wheel")

    def record(name, result=None):
        def step(*arguments):
            done.append(name)
            return result

        monkeypatch.setattr(install_detectron2, name, step)

    record("download", Path("archive"))
    record("build_wheel", wheel)
    record("install_wheel")
    record("verify")
    return done


@pytest.mark.parametrize(
    ("found", "outdated", "expected"),
    [
        ("detectron2 0.6 in there", False, ["verify"]),
        (None, False, ["download", "build_wheel", "install_wheel", "verify"]),
        ("detectron2 0.5 in here", True, ["download", "build_wheel", "install_wheel", "verify"]),
    ],
    ids=["kept", "absent", "outdated"],
)
def test_an_installed_detectron2_is_kept_and_an_absent_one_installed(
    steps, monkeypatch, capsys, found, outdated, expected
):
    monkeypatch.setattr(install_detectron2, "find_installed", lambda: found)
    monkeypatch.setattr(install_detectron2, "is_outdated_build", lambda: outdated)
    install_detectron2.ensure()
    assert steps == expected
    assert (f"keeping {found}" in capsys.readouterr().err) is (expected == ["verify"])


def test_wheel_dir_keeps_the_wheel_without_installing_over_a_present_one(
    steps, monkeypatch, tmp_path
):
    monkeypatch.setattr(install_detectron2, "find_installed", lambda: "detectron2 0.6 in there")
    monkeypatch.setattr(install_detectron2, "is_outdated_build", lambda: False)
    install_detectron2.ensure(tmp_path / "new" / "folder")
    assert steps == ["download", "build_wheel", "verify"]
    kept = list((tmp_path / "new" / "folder").iterdir())
    assert [file.name for file in kept] == ["detectron2_cdo-0.5-py3-none-any.whl"]
    assert kept[0].read_bytes() == b"wheel"


def test_without_torch_the_error_says_what_installs_it(steps, monkeypatch, capsys):
    monkeypatch.setattr(install_detectron2, "find_installed", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install_detectron2.main([]) == 1
    assert "error: torch is not installed in this Python" in capsys.readouterr().err
    assert steps == []


def test_an_unknown_argument_exits_with_2():
    with pytest.raises(SystemExit) as stopped:
        install_detectron2.main(["--wheel", "x"])
    assert stopped.value.code == 2


# What is installed here.


def test_the_installed_detectron2_does_what_this_project_uses(capsys):
    check_detectron2.main()
    assert capsys.readouterr().out.startswith("detectron2 works")


@pytest.fixture
def own_build():
    """The installed wheel of install_detectron2.py."""
    try:
        distribution = metadata.distribution("detectron2-cdo")
    except metadata.PackageNotFoundError:
        pytest.skip("another detectron2 is installed, which the set-up keeps")
    if not any(file.name == "FIXES.md" for file in distribution.files or []):
        pytest.skip("the installed detectron2_cdo was not built by install_detectron2.py")
    return distribution


@pytest.mark.parametrize(
    "fix", [fix for fix in FIXES if fix.path != "setup.py"], ids=lambda fix: fix.path
)
def test_the_installed_wheel_carries_each_fix(own_build, fix):
    text = Path(own_build.locate_file(fix.path)).read_text()
    assert text.count(fix.new) >= fix.count
    assert text.count(fix.old) == fix.new.count(fix.old) * fix.count


def test_the_installed_wheel_has_configs_and_modest_requirements(own_build):
    files = [str(file) for file in own_build.files]
    configs = [name for name in files if name.startswith("detectron2/model_zoo/configs/")]
    assert sum(name.endswith(".yaml") for name in configs) == 92
    assert "detectron2/model_zoo/configs/common/models/retinanet.py" in configs
    assert {name.partition("/")[0] for name in files} == {
        "detectron2",
        "detectron2_cdo-0.5.dist-info",
    }
    requirements = [line for line in own_build.requires if "extra ==" not in line]
    assert not [line for line in requirements if line.startswith(("black", "future", "pydot"))]
    assert "iopath>=0.1.7" in requirements
    assert not [line for line in own_build.requires if "://" in line]
