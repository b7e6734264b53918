"""`benchmark.py mapper` and `loader` at small sizes, and the pictures that they draw."""

import json

import numpy as np
import pytest
from benchmarks.drawn_photographs import photograph_dicts, write_drawn_photographs
from PIL import Image

from engine.tool_runs import main_of
from scale_match.core.errors import InputError


@pytest.fixture(scope="module")
def main():
    return main_of("benchmark.py")


def test_the_mapper_is_measured_at_every_size_and_scale(main, tmp_path, capsys):
    output = tmp_path / "figures.json"
    small = ["--sizes", "160x120", "120x90", "--scales", "0.25", "1", "--number", "2"]
    main(["mapper", *small, "--repeats", "2", "--output", str(output)])
    rows = json.loads(output.read_text())["rows"]
    assert [(row["size"], row["scale"]) for row in rows] == [
        ([160, 120], 0.25), ([160, 120], 1.0), ([120, 90], 0.25), ([120, 90], 1.0)
    ]  # fmt: skip
    for row in rows:
        rates, ratios = row["images_per_second"], row["times_faster"]
        assert ratios["stock"] == pytest.approx(rates["ours"] / rates["stock"])
        assert ratios["authors"] == pytest.approx(rates["ours"] / rates["authors"])
        assert row["difference"]["ours"] < 1 <= row["target_times_faster"]
        kept = row["difference"]["ours"] < 0.5 and ratios["stock"] >= 1
        assert row["kept"] == kept
        if row["scale"] == 1:
            assert row["difference"] == {"ours": 0, "authors": 0}
        else:
            assert row["difference"]["authors"] > 0.1  # it is aliased
    assert "160 x 120" in capsys.readouterr().out


def test_own_images_can_be_measured(main, tmp_path):
    write_drawn_photographs(tmp_path, number=2, width=64, height=48)
    write_drawn_photographs(tmp_path, number=1, width=50, height=61)
    output = tmp_path / "figures.json"
    options = ["--scales", "0.5", "--repeats", "1", "--output", str(output)]
    main(["mapper", "--images", str(tmp_path), *options])
    (row,) = json.loads(output.read_text())["rows"]
    assert row["size"] is None
    assert row["bits_per_pixel"] > 0


def test_own_images_may_be_turned_by_exif(main, tmp_path):
    (path,) = write_drawn_photographs(tmp_path, number=1, width=64, height=48)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    assert photograph_dicts([path])[0]["height"] == 64
    main(["mapper", "--images", str(tmp_path), "--scales", "0.5", "--repeats", "1"])


def test_a_folder_without_images_is_refused(main, tmp_path):
    with pytest.raises(InputError, match=r"--images .* has no .jpg or .jpeg file in it$"):
        main(["mapper", "--images", str(tmp_path)])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_loader_is_measured(main, tmp_path, capsys, workers):
    output = tmp_path / "figures.json"
    size = ["--width", "700", "--height", "520", "--images", "2"]
    run = ["--batch", "2", "--steps", "3", "--step", "0.05", "--workers", workers]
    main(["loader", *size, *run, "--output", str(output)])
    figures = json.loads(output.read_text())
    assert figures["needed_images_per_second"] == 40
    assert figures["images_per_second"] > 0
    assert 0 < figures["mean_wait_seconds"] <= figures["longest_wait_seconds"]
    assert figures["keeps_up"] == (figures["mean_wait_seconds"] < 0.0025)
    assert figures["seconds_per_tile"]["next"] > 0
    assert "tiles/s, the model needs 40.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["mapper", "--sizes", "640"], "640 is not of the form WIDTHxHEIGHT"),
        (["mapper", "--scales", "1.5"], "1.5 is not over 0 and up to 1"),
        (["mapper", "--scales", "0"], "0 is not over 0 and up to 1"),
        (["mapper", "--repeats", "0"], "0 is not a positive number"),
        (["loader", "--batch", "0"], "0 is not at least 1"),
        (["loader", "--workers", "-1"], "-1 is not at least 0"),
        (["loader", "--width", "600"], "600 is not at least 640"),
        (["loader", "--height", "500"], "500 is not at least 512"),
        (["loader", "--step", "0"], "0 is not over 0 and under 60"),
    ],
)
def test_numbers_out_of_range_are_refused(main, options, message, capsys):
    with pytest.raises(SystemExit):
        main(options)
    assert message in capsys.readouterr().err


def test_drawn_pictures_are_like_photographs(tmp_path):
    paths = write_drawn_photographs(tmp_path, number=2, width=320, height=240, seed=1)
    first, second = (np.asarray(Image.open(path)).astype(int) for path in paths)
    assert first.shape == (240, 320, 3)
    assert np.abs(first - second).mean() > 10
    # Neighbours are alike, in contrast to noise.
    assert np.abs(np.diff(first, axis=1)).mean() < first.std() / 5
    second_folder = tmp_path / "again"
    second_folder.mkdir()
    again = write_drawn_photographs(second_folder, number=1, width=320, height=240, seed=1)
    assert again[0].read_bytes() == paths[0].read_bytes()
    entry = photograph_dicts(paths)[0]
    boxes = np.array([box["bbox"] for box in entry["annotations"]])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= (320, 240)).all()
