import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from comparison_samples import KNOWN, make_scores
from scale_match.cli import run_tool


@pytest.fixture(scope="module")
def main(repository):
    """The body of the tool."""
    spec = importlib.util.spec_from_file_location("compare", repository / "tools" / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Scores files of half of the detections and of all."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        str(make_scores(folder, name, share=share)) for name, share in (("half", 0.5), ("whole", 1))
    ]


FEW = ["--bootstrap", "40", "--seed", "3"]


def refused(main, capsys, arguments):
    """The message with which the tool ends."""
    assert run_tool(main, list(map(str, arguments))) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    return printed.err


def test_rows_stand_side_by_side_with_the_best_first(main, runs, capsys):
    main([*runs, *FEW])
    lines = capsys.readouterr().out.splitlines()
    best, worse = (
        json.loads(Path(path).read_text())["AP_maxDets1000"]["tiny_50"] for path in reversed(runs)
    )
    assert lines[0] == "AP50_tiny at maxDets 1000, values x100"
    assert lines[2].split()[:3] == ["1", "whole", f"{100 * best:.2f}"]
    assert lines[3].split()[:3] == ["2", "half", f"{100 * worse:.2f}"]
    assert f"{100 * (worse - best):+.2f}" in lines[3]
    assert lines[3].split()[-1] in ("yes", "no")
    assert lines[4].startswith("intervals: 40 resamples of the images, seed 3")


def test_the_same_seed_prints_the_same(main, runs, capsys):
    printed = []
    for seed in ("1", "1", "2"):
        main([*runs, "--bootstrap", "40", "--seed", seed])
        printed.append(capsys.readouterr().out.replace(f"seed {seed}", ""))
    assert printed[0] == printed[1] != printed[2]


def test_json_markdown_and_csv_are_written(main, runs, tmp_path, capsys):
    options = [*FEW, "--metric", "AP50_tiny", "MR50_tiny", "--output"]
    for suffix in ("json", "md", "csv"):
        main([*runs, *options, str(tmp_path / "new" / f"compare.{suffix}")])
    content = json.loads((tmp_path / "new" / "compare.json").read_text())
    assert [row["path"] for row in content["rows"]] == runs[::-1]
    assert (tmp_path / "new" / "compare.md").read_text().startswith("best AP50_tiny first")
    with (tmp_path / "new" / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["metric"] for row in rows] == 2 * ["AP50_tiny", "MR50_tiny"]
    values = [row["metrics"]["AP50_tiny"]["value"] for row in content["rows"]]
    assert [float(row["value"]) for row in rows[::2]] == values


def test_different_protocols_are_refused_and_nothing_is_written(main, runs, tmp_path, capsys):
    protocol = KNOWN | {"score_threshold": 0.05, "test_scale": None}
    other, output = make_scores(tmp_path, "other", protocol=protocol), tmp_path / "compare.json"
    message = refused(main, capsys, [runs[0], other, "--output", output])
    assert "cannot be ranked" in message
    assert runs[0] in message
    assert str(other) in message
    lines = {line.split()[0]: line.split()[1:] for line in message.splitlines()}
    assert lines["score_threshold"] == ['"none"', "0.05"]
    assert lines["test_scale"] == ['"none"', "null"]
    assert not output.exists()


def test_different_protocols_are_ranked_on_request_with_the_entries(main, runs, tmp_path, capsys):
    other = make_scores(tmp_path, "other", protocol=KNOWN | {"score_threshold": 0.05})
    main([runs[0], str(other), *FEW, "--allow-different-protocols"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:2] == ["1", "other"]
    assert "protocol entries that differ or are not known" in lines
    assert lines[-1].split() == ["score_threshold", "0.05", '"none"']


def test_scores_whose_files_are_gone_are_ranked_without_interval(main, tmp_path, capsys):
    paths = [make_scores(tmp_path, name, share=s) for name, s in (("one", 1), ("two", 0.5))]
    (tmp_path / "two" / "dt.json").unlink()
    main([*map(str, paths), *FEW])
    lines = capsys.readouterr().out.splitlines()
    assert " to " not in lines[3]
    assert lines[-1].startswith("two: no interval: ")
    assert "dt.json, which is not there" in lines[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "compare.txt"], "--output must end in .json, .md, .csv; received compare"),
        (["--metric", "AP51_tiny"], "has no AP51_tiny: its AP_maxDets1000 holds all_25"),
        (["--bootstrap", "-1"], "--bootstrap must not be negative; received -1"),
        (["--seed", "-1"], "--seed must not be negative; received -1"),
    ],
)
def test_bad_options_are_refused(main, runs, capsys, options, message):
    assert message in refused(main, capsys, [*runs, *options])


def test_one_file_is_no_comparison(main, runs, capsys):
    assert "at least two scores files; received 1" in refused(main, capsys, runs[:1])


def test_a_scores_file_is_never_overwritten(main, runs, capsys):
    message = refused(main, capsys, [*runs, "--output", runs[0]])
    assert f"--output {runs[0]} must not be one of the scores files" in message


def test_a_file_that_is_no_scores_file_is_refused(main, runs, tmp_path, capsys):
    path = tmp_path / "list.json"
    path.write_text("[]")
    assert f"{path} is not a scores file" in refused(main, capsys, [runs[0], path])


def test_it_runs_as_a_program_without_torch(repository, runs):
    code = (
        "import runpy, sys; sys.argv[0] = 'tools/compare.py'; "
        "\ntry: runpy.run_path('tools/compare.py', run_name='__main__')"
        "\nexcept SystemExit as end: print('torch' in sys.modules, end.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *runs, "--bootstrap", "0"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False 0"


def test_help_shows_an_example(main, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "compare.py output/a/scores.json output/b/scores.json" in capsys.readouterr().out
