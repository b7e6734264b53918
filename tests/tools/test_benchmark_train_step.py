"""`benchmark.py train-step` at a small size."""

import argparse
import json

import pytest
import torch
from benchmarks import train_step

from scale_match.core.errors import InputError

PARTS = ("forward", "targets", "backward", "optimizer")


def run(*arguments):
    parser = argparse.ArgumentParser()
    train_step.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["train-step", *arguments])
    parsed.run(parsed)


def test_a_step_is_measured_in_its_parts_with_both_ways_of_matching(tmp_path, capsys):
    output = tmp_path / "figures.json"
    run("--boxes", "7", "--size", "64", "64", "--depth", "18", "--output", str(output))
    found = json.loads(output.read_text())["7"]
    assert set(found) == {"detectron2", "ours"}
    for figures in found.values():
        assert set(figures["seconds"]) == set(PARTS)
        assert all(0 < seconds < 60 for seconds in figures["seconds"].values())
        assert figures["peak_bytes"] > 0
    assert "retinanet, R-18, 1 x 64x64, cpu" in capsys.readouterr().out


def test_ratios_are_detectron2s_over_ours(monkeypatch, capsys):
    asked = []

    def measure(kind, number, _):
        asked.append((kind, number))
        factor = 3.0 if kind == "detectron2" else 1.0
        return {
            "seconds": dict.fromkeys(PARTS, factor),
            "peak_bytes": 2e9 * factor,
            "device": "cpu",
            "threads": 1,
        }

    monkeypatch.setattr(train_step, "_measure", measure)
    run("--boxes", "20", "1000", "--model", "faster_rcnn")
    assert asked == [(kind, n) for n in (20, 1000) for kind in ("detectron2", "ours")]
    ratios = "detectron2 / ours: step 3.00 times, targets 3 times, memory 3.00 times"
    assert capsys.readouterr().out.count(ratios) == 2
    asked.clear()
    run("--boxes", "20", "--model", "fcos")
    assert asked == [("ours", 20)]
    assert "detectron2" not in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--boxes", "--batch", "--repeats"])
def test_a_number_that_is_not_positive_is_refused(option):
    with pytest.raises(InputError, match="need positive numbers"):
        run(option, "0")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"finds no CUDA GPU: set --device cpu"):
        run("--device", "cuda")
