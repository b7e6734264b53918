"""`benchmark.py matching` at a small size."""

import argparse
import json

import pytest
from benchmarks import matching

from scale_match.core.errors import InputError


def run(*arguments):
    parser = argparse.ArgumentParser()
    matching.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["matching", *arguments])
    parsed.run(parsed)


def test_both_ways_are_measured_and_give_the_same_labels(tmp_path, capsys):
    output = tmp_path / "figures.json"
    run("--boxes", "20", "--size", "96", "64", "--repeats", "1", "--output", str(output))
    pair = json.loads(output.read_text())["20"]
    assert pair["pairs"]["digest"] == pair["matrix"]["digest"]
    assert pair["pairs"]["anchors"] == 9 * (24 * 16 + 12 * 8 + 6 * 4 + 3 * 2 + 2 * 1)
    assert 0 < pair["pairs"]["seconds"] < 60
    assert "labels are equal" in capsys.readouterr().out


def test_different_labels_are_an_error(monkeypatch):
    figures = iter([{"digest": "a"}, {"digest": "b"}])
    monkeypatch.setattr(matching, "_measure", lambda *_: next(figures))
    with pytest.raises(InputError, match="with 20 boxes the two ways gave different labels"):
        run("--boxes", "20")


@pytest.mark.parametrize("option", ["--boxes", "--repeats"])
def test_a_number_that_is_not_positive_is_refused(option):
    with pytest.raises(InputError, match="need positive numbers"):
        run(option, "0")
