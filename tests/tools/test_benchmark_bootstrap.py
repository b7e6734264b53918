"""`benchmark.py bootstrap` at a small size."""

import argparse
import json

import pytest
from benchmarks import bootstrap

SMALL = ["--images", "5", "--objects", "40", "--detections", "20", "--resamples", "30"]


def run(*arguments):
    parser = argparse.ArgumentParser()
    bootstrap.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["bootstrap", *arguments])
    parsed.run(parsed)


def test_one_value_and_all_are_measured(tmp_path, capsys):
    run(*SMALL, "--output", str(tmp_path / "figures.json"))
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["resamples"] == 30
    assert 0 < figures["AP50_tiny_cpu_seconds"] < figures["every_AP_cpu_seconds"] < 60
    assert 0.01 < figures["peak_gb"] < 20
    printed = capsys.readouterr().out
    assert "all 42 AP: " in printed
    assert "targets" not in printed  # which hold at the full size only


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_a_number_that_is_not_positive_is_refused(number, capsys):
    with pytest.raises(SystemExit):
        run("--resamples", number)
    assert "argument --resamples: " in capsys.readouterr().err
