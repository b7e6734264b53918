"""A preview from files to files: settings that fit and settings that do not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.gaussian_target import GaussianTarget
from scale_match.report.preview_run import PreviewSettings, run_preview
from scale_match.storage.histograms import read_target_histogram, save_histogram
from toy import make_toy_dataset


@pytest.fixture
def settings(tmp_path):
    """Of a preview from large figures to small ones; other files lie in ``data``."""
    source, _ = make_toy_dataset(tmp_path / "data" / "large", width=320, height=240, num_images=5)
    target, _ = make_toy_dataset(tmp_path / "data" / "small", width=80, height=60, num_images=5)
    return PreviewSettings(source, "sm", tmp_path / "out" / "p.json", str(target))


def saved(settings, path, **options):
    rate = options.get("except_rate")
    histogram = read_target_histogram(settings.target, **options)
    save_histogram(
        path, histogram, log=options.get("log", False), except_rate=rate, source="a",
        source_sha256="", mu_sigma=options.get("mu_sigma"),
    )  # fmt: skip
    return str(path)


def scales(settings):
    run_preview(settings)
    return [row["scale"] for row in json.loads(settings.json.read_text())]


def test_rows_and_summary_are_written(settings):
    outcome = run_preview(settings)
    assert outcome.written == [settings.json, settings.json.with_name("p.summary.json")]
    rows, summary = (json.loads(path.read_text()) for path in outcome.written)
    assert [list(row) for row in rows] == [
        ["image_id", "num_boxes", "src_size", "scale", "size", "num_left", "fallback"]
    ] * 5
    assert summary == json.loads(json.dumps(outcome.summary))
    assert summary["num_left"] == sum(row["num_left"] for row in rows) == 25
    assert summary["settings"]["policy"] == "sm"
    assert (summary["source"]["num_boxes"], summary["target"]["num_boxes"]) == (25, 25)
    assert summary["ks"]["result_target"] < summary["ks"]["source_target"]


@pytest.mark.parametrize(
    "options",
    [
        {"bins": 7},
        {"bins": 7, "log": True},
        {"bins": 7, "except_rate": 0.4},
        {"bins": 7, "mu_sigma": (9.0, 2.0)},
    ],
)
def test_a_saved_histogram_brings_its_settings(settings, options, tmp_path):
    asked = {**options, "mu_sigma": list(options["mu_sigma"])} if "mu_sigma" in options else options
    expected = scales(replace(settings, **asked))
    histogram = saved(settings, tmp_path / "h.json", **options)
    assert scales(replace(settings, target=histogram)) == expected
    assert scales(replace(settings, target=histogram, **asked)) == expected


def test_a_saved_histogram_with_other_settings_is_refused(settings, tmp_path):
    histogram = saved(settings, tmp_path / "h.json", bins=7)
    with pytest.raises(InputError, match="saved with bins 7, but bins 8 is asked for"):
        run_preview(replace(settings, target=histogram, bins=8))


def test_gsm_takes_its_mean_and_deviation_from_the_target_or_from_the_option(settings):
    gaussian = replace(settings, policy="gsm")
    from_target = run_preview(gaussian).summary
    assert {"source", "target", "gaussian", "result"} <= set(from_target)
    assert set(from_target["ks"]) == {
        "source_target", "result_target", "source_gaussian", "result_gaussian",
    }  # fmt: skip
    given = run_preview(replace(gaussian, target="", mu_sigma=[2.0, 0.3])).summary
    assert "gaussian" not in given
    assert given["target"]["num_boxes"] is None
    assert given["target"]["percentiles"]["50"] == pytest.approx(np.exp(2.0), rel=1e-3)
    assert given["target"]["max"] <= GaussianTarget.analytic(2.0, 0.3).edges[-1]


def test_gsm_options_matter(settings, tmp_path):
    sample = tmp_path / "sample.txt"
    sample.write_text(" ".join(map(str, np.linspace(-2, 2, 40))))
    gaussian = replace(settings, policy="gsm", mu_sigma=[2.5, 0.5], scale_range=(0.0, 9.0), bins=10)
    first = scales(gaussian)
    for change in (
        {"mu_sigma": [3.0, 0.5]},
        {"normal_sample": str(sample)},
        {"min_size": 11.0},
        {"size_per": "box"},
        {"bins": 3},
    ):
        assert scales(replace(gaussian, **change)) != first, change


def test_gsm_is_told_that_it_does_not_use_what_was_asked_for(settings, tmp_path, caplog):
    histogram = saved(settings, tmp_path / "log.json", log=True)
    gsm = replace(settings, policy="gsm", target=str(histogram))
    run_preview(gsm)  # the histogram's own setting was not asked for
    assert "does not use" not in caplog.text
    run_preview(replace(gsm, log=True))
    assert "Scale Match policy 'gsm' does not use log True (for sm and msm)" in caplog.text


def test_a_saved_histogram_serves_gsm_whatever_its_settings(settings, tmp_path):
    histogram = saved(settings, tmp_path / "h.json", bins=7, except_rate=0.5)
    run_preview(replace(settings, policy="gsm", target=histogram))


def test_out_of_range_scales_are_clipped_or_take_the_default(settings):
    limits = replace(settings, scale_range=(0.9, 1.0), default_scale=0.5)
    assert set(scales(limits)) == {0.9}
    assert set(scales(replace(limits, out_of_range="default"))) == {0.5}


def test_images_that_cannot_be_shown_are_reported_or_an_error(settings, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    shown = replace(settings, plot=tmp_path / "out" / "p.png", images=empty)
    outcome = run_preview(shown)
    assert len(outcome.problems) == 5
    assert outcome.written[-1].stat().st_size > 10_000
    for path in outcome.written:
        path.unlink()
    with pytest.raises(InputError, match=r"image file .*empty/000\d.jpg \(image id \d\) is not in"):
        run_preview(replace(shown, strict=True))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": ""}, "--policy sm needs --target"),
        ({"policy": "gsm", "target": ""}, "'gsm' needs SCALE_MATCH.MU_SIGMA"),
        ({"policy": "none"}, "--policy 'none' scales nothing"),
        ({"plot": Path("p.bmp")}, "a plot is written as one of"),
        ({"images": Path("/")}, "--images / needs --plot"),
        ({"images": Path("/none"), "plot": Path("p.png")}, "--images /none is not a folder"),
        ({"target": "/none.json"}, r"cannot read /none.json"),
        ({"source": Path("/none.json")}, r"cannot read /none.json"),
        ({"bins": 0}, "bins must be at least 1, got 0"),
        ({"bins": 2}, "bins must be at least 3"),
        ({"except_rate": 1.5}, "except_rate must be in"),
        ({"mu_sigma": [5.0, -1.0]}, "mu_sigma must be a mean and a deviation in pixels"),
        ({"policy": "gsm", "except_rate": 0.1}, "except_rate is not for gsm"),
        ({"scale_range": (1.0, 0.5)}, "scale_range must be"),
        ({"default_scale": 0.0}, "default_scale must be positive"),
        ({"max_tries": 0}, "max_tries must be at least 1"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"epoch": -1}, "epoch must not be negative, got -1"),
    ],
)
def test_bad_input_writes_nothing(settings, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run_preview(replace(settings, **change))
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


@pytest.mark.parametrize("name", ["source", "target"])
def test_input_is_not_overwritten(settings, name):
    path = Path(getattr(settings, name))
    before = path.read_bytes()
    with pytest.raises(InputError, match="is read and must not be written to"):
        run_preview(replace(settings, json=path))
    assert path.read_bytes() == before
