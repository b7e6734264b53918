"""`benchmark.py matching` at a small size."""

import argparse
import json

import pytest
import torch
from benchmarks import matching

from scale_match.core.errors import InputError


def run(*arguments):
    parser = argparse.ArgumentParser()
    matching.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["matching", *arguments])
    parsed.run(parsed)


def test_both_ways_are_measured_and_give_the_same_labels(tmp_path, capsys):
    output = tmp_path / "figures.json"
    small = ("--boxes", "20", "--size", "96", "64", "--repeats", "1")
    run(*small, "--model", "rpn", "--output", str(output))
    pair = json.loads(output.read_text())["rpn"]["20"]
    assert pair["pairs"]["digest"] == pair["matrix"]["digest"]
    assert pair["pairs"]["anchors"] == 3 * (24 * 16 + 12 * 8 + 6 * 4 + 3 * 2 + 2 * 1)
    assert 0 < pair["pairs"]["seconds"] < 60
    printed = capsys.readouterr().out
    assert "RPN of Faster R-CNN: " in printed
    assert "labels are equal" in printed


def test_both_models_are_measured_unless_one_is_named(monkeypatch, capsys):
    figure = {"digest": "a", "anchors": 3, "device": "cpu", "threads": 1}
    figure |= {"seconds": 1.0, "peak_bytes": 1}
    asked = []
    monkeypatch.setattr(matching, "_measure", lambda *words: asked.append(words[:3]) or figure)
    run("--boxes", "7")
    assert asked == [
        (model, kind, 7) for model in ("retinanet", "rpn") for kind in ("pairs", "matrix")
    ]
    assert "Adap RetinaNet: 3 anchors" in capsys.readouterr().out


def test_different_labels_are_an_error(monkeypatch):
    figures = iter([{"digest": "a"}, {"digest": "b"}])
    monkeypatch.setattr(matching, "_measure", lambda *_: next(figures))
    with pytest.raises(InputError, match="with 20 boxes the two ways gave different labels"):
        run("--boxes", "20")


@pytest.mark.parametrize("option", ["--boxes", "--repeats"])
def test_a_number_that_is_not_positive_is_refused(option):
    with pytest.raises(InputError, match="need positive numbers"):
        run(option, "0")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"finds no CUDA GPU: set --device cpu"):
        run("--device", "cuda")
