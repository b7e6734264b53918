"""`benchmark.py histogram` at a small size, and the file that it generates."""

import json

import numpy as np
import pytest
from benchmarks import histogram
from benchmarks.coco_size_file import write_coco_size_file

from engine.tool_runs import main_of
from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations

SMALL = ["--images", "3000", "--boxes", "10000", "--repeats", "1"]


@pytest.fixture(scope="module")
def main():
    return main_of("benchmark.py")


def test_every_case_is_measured_and_the_file_goes(main, tmp_path, capsys):
    output = tmp_path / "figures.json"
    main(["histogram", *SMALL, "--folder", str(tmp_path), "--output", str(output)])
    figures = json.loads(output.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert figures.pop("file_mb") > 4.2  # else there would be no cache
    assert list(figures) == list(histogram._CASES)
    for case in figures.values():
        assert 0 < case["call_cpu_seconds"] < case["process_cpu_seconds"] < 60
        assert 500 < case["pickled_bytes"] < 5000
    first, cached = (figures[name]["call_cpu_seconds"] for name in histogram._CASES[:2])
    assert cached < first
    assert "targets" not in capsys.readouterr().out  # which hold at the full size only


def test_cached_sizes_that_differ_are_an_error(main, tmp_path, monkeypatch):
    edges = iter([[1.0], [2.0], [3.0]])
    one = histogram._one
    monkeypatch.setattr(histogram, "_one", lambda *args: (one(*args)[0], next(edges)))
    with pytest.raises(InputError, match="the cached sizes are others than those of"):
        main(["histogram", "--images", "5", "--boxes", "20", "--repeats", "1"])


@pytest.mark.parametrize("option", ["--images", "--boxes", "--repeats"])
def test_numbers_have_to_be_positive(main, option, capsys):
    with pytest.raises(SystemExit):
        main(["histogram", option, "0"])
    assert "0 is not a positive number" in capsys.readouterr().err


def test_the_generated_file_is_a_legal_one_of_the_size_of_coco(tmp_path):
    path = tmp_path / "a.json"
    write_coco_size_file(path, num_images=300, num_boxes=2000, seed=3)
    annotations = read_annotations(path)
    assert (len(annotations.images), len(annotations.table)) == (300, 2000)
    assert annotations.table.iscrowd.any()
    assert np.median(annotations.table.sizes) == pytest.approx(40, rel=0.5)
    # 447 MB / 860,000 boxes, images and all
    assert path.stat().st_size / 2000 == pytest.approx(520, rel=0.15)
    write_coco_size_file(tmp_path / "b.json", num_images=300, num_boxes=2000, seed=3)
    assert (tmp_path / "b.json").read_bytes() == path.read_bytes()


def test_the_first_case_never_finds_a_cache(main, monkeypatch):
    found = []

    def one(case, path):
        cache = path.with_name(f".{path.name}.sizes.npz")
        found.append((case, cache.exists()))
        cache.write_text("")
        return histogram._Figures(0.0, 0.0, 0.0, 0.0, 0), [1.0]

    monkeypatch.setattr(histogram, "_one", one)
    main(["histogram", "--images", "5", "--boxes", "20", "--repeats", "2"])
    assert [there for case, there in found if case == histogram._CASES[0]] == [False, False]
    assert all(there for case, there in found if case != histogram._CASES[0])
