"""The command: arguments reach the sweep, the table is printed, bad input has exit code 2."""

import json

import pytest
import torch

from engine.sweep_samples import config, two_classes, weights_file
from engine.tiny import RUNNERS
from engine.tool_runs import main_of
from scale_match.cli import run_tool
from scale_match.core.errors import InputError

torch.set_num_threads(1)

FEW = ["--candidates", "50", "--max-per-image", "20", "--max-dets", "10", "30"]


@pytest.fixture(scope="module")
def main():
    return main_of("sweep.py")


@pytest.fixture(scope="module", params=list(RUNNERS))
def arguments(request, tmp_path_factory):
    """A front end's config file, weights, and overrides; to be followed by other options."""
    folder = tmp_path_factory.mktemp(request.param)
    data = two_classes(folder / "data")
    weights = weights_file(request.param, data, folder)
    runner = RUNNERS[request.param]
    classes = runner.keys["classes"]
    overrides = runner.overrides(data, folder / "any", **{classes: 2})
    assert config(request.param, data, folder)
    return (
        ["--config-file", str(runner.file), "--weights", str(weights), "--device", "cpu"],
        ["--opts", *overrides],
    )


def test_the_table_is_printed_and_the_files_are_named(main, arguments, tmp_path, capsys):
    first, last = arguments
    main([*first, "--output", str(tmp_path / "out"), *FEW, *last])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"candidates: recorded in {tmp_path / 'out' / 'candidates.npz'}"
    assert said[1].startswith("test-time settings on annotations.json, NMS class-aware, NMS IoU")
    assert said[2].split() == [
        *("run-time", "crop", "candidates", "max", "per", "img", "maxDets", "AP50_tiny")
    ]
    assert [line.split()[:4] for line in said[3:7]] == [
        ["Y", "50", "20", "10"],
        ["Y", "50", "20", "30"],
        ["N", "50/crop", "20/crop", "10"],
        ["N", "50/crop", "20/crop", "30"],
    ]
    assert (
        said[-1] == f"4 rows: {tmp_path / 'out' / 'sweep.json'}, {tmp_path / 'out' / 'sweep.csv'}"
    )

    main([*first, "--output", str(tmp_path / "out"), *FEW, *last])
    again = capsys.readouterr().out.splitlines()
    assert "those of an earlier call" in again[0]
    assert again[1:] == said[1:]


def test_all_options_reach_the_sweep(main, arguments, tmp_path):
    first, last = arguments
    options = [
        *("--crop", "no", "--nms", "class-agnostic", "--nms-threshold", "0.3", "0.4"),
        *("--score-threshold", "0.1", "--metric", "AR25_all", "MR50_tiny", "--write-scores"),
    ]
    main([*first, "--output", str(tmp_path), *FEW, *options, *last])
    found = json.loads((tmp_path / "sweep.json").read_text())["rows"]
    assert [(row["nms"], row["nms_threshold"], row["score_threshold"]) for row in found] == [
        ("class-agnostic", 0.3, 0.1),
        ("class-agnostic", 0.3, 0.1),
        ("class-agnostic", 0.4, 0.1),
        ("class-agnostic", 0.4, 0.1),
    ]
    assert {row["run_time_crop"] for row in found} == {"no"}
    assert {row["max_dets"] for row in found} == {10, 30}
    assert all((tmp_path / "rows" / row["label"] / "scores.json").is_file() for row in found)


def test_bad_input_is_one_sentence_and_exit_code_2(main, tmp_path, capsys):
    output = ["--output", str(tmp_path / "out")]
    assert run_tool(main, ["--config-file", "none.yaml", *output]) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert run_tool(main, ["--config-file", "mine.json", *output, "--candidates", "0"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "error: --candidates needs values that are at least 1, each once; received [0]\n"
    )
    assert not (tmp_path / "out").exists()


def test_weights_are_needed(main, arguments, tmp_path):
    first, last = arguments
    with pytest.raises(InputError, match="there are no weights to evaluate"):
        main([*first[:2], *first[4:], "--output", str(tmp_path), *last])


def test_help_shows_examples_and_defaults(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "--weights output/mine/model_final.pth --output output/mine/sweep" in said
    assert "(default: 1000 2000 5000)" in said
