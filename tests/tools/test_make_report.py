import importlib.util
import os
import subprocess
import sys

import pytest

from report_samples import make_run
from scale_match.cli import run_tool
from scale_match.core.errors import InputError


@pytest.fixture(scope="module")
def main(repository):
    """The body of the tool."""
    spec = importlib.util.spec_from_file_location(
        "make_report", repository / "tools" / "make_report.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "data")


def test_it_writes_one_page(main, run, tmp_path, capsys):
    path, images = run
    output = tmp_path / "new" / "report.html"
    main(
        [
            str(path),
            "--images",
            str(images),
            "--worst",
            "1",
            "--bootstrap",
            "5",
            "--output",
            str(output),
        ]
    )
    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("data:image/jpeg") == 2
    assert "5 resamples" in page
    assert [each.name for each in output.parent.iterdir()] == ["report.html"]
    said = capsys.readouterr().out
    assert said.startswith(f"wrote {output}: 1 scores files, 1 images drawn, ")


def test_missing_images_are_named(main, run, tmp_path, capsys):
    path, _ = run
    (tmp_path / "none").mkdir()
    main([str(path), "--images", str(tmp_path / "none"), "--output", str(tmp_path / "r.html")])
    said = capsys.readouterr().out
    assert "left out: 0001.jpg is not in the folder.\n" in said
    assert "0001.jpg is not in the folder" in (tmp_path / "r.html").read_text()


def test_the_metric_can_be_chosen(main, run, tmp_path):
    path, _ = run
    output = tmp_path / "r.html"
    main([str(path), "--metric", "AP25_all_maxDets200", "--output", str(output)])
    assert "AP25_all_maxDets200, best 200 detections per image and category" in output.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "AP99_tiny"], "tiny_99 was not evaluated"),
        (["--images", "nowhere"], "--images nowhere is no folder"),
        (["--worst", "-2"], "received -2"),
        (["--bootstrap", "0"], "resample"),
        (["--seed", "3"], "--seed 3 needs --bootstrap"),
    ],
)
def test_a_failed_run_writes_nothing(main, run, tmp_path, options, message):
    output = tmp_path / "out" / "r.html"
    arguments = [str(run[0]), "--output", str(output), *options]
    with pytest.raises(InputError, match=message):
        main(arguments)
    assert run_tool(main, arguments) == 2
    assert not output.parent.exists()


def test_the_scores_file_is_not_overwritten(main, run):
    before = run[0].read_bytes()
    with pytest.raises(InputError, match="must not be one of the scores files"):
        main([str(run[0]), "--output", str(run[0].parent / "." / run[0].name)])
    assert run[0].read_bytes() == before


def test_help_says_what_it_does(main, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    assert "self-contained HTML page" in capsys.readouterr().out


def test_it_runs_as_a_script_without_the_detector(repository, run, tmp_path):
    command = [
        sys.executable,
        repository / "tools" / "make_report.py",
        "none.json",
        "--output",
        "r.html",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: cannot read none.json: No such file or directory\n"
    code = "import sys, scale_match.report.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
