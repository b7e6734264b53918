"""Distributions and distances of a preview."""

import json

import numpy as np
import pytest

from oracles.scale_match_files import kolmogorov_smirnov
from scale_match.core.errors import InputError
from scale_match.core.gaussian_target import GaussianTarget
from scale_match.core.histogram_settings import HistogramSettings
from scale_match.scoring.preview_summary import (
    Distribution,
    gaussian_distribution,
    named_target,
    summary_lines,
    summary_of,
)
from scale_match.storage.histograms import (
    read_counted_sizes,
    read_target_histogram,
    save_histogram,
)

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.lognormal(4, 0.8, 500), RNG.lognormal(2.5, 0.6, 300)


@pytest.fixture
def target_file(shared):
    return str(shared("oracle/scale_match/tinyperson_like.json"))


def test_a_summary_is_plain_json_with_all_three_distributions():
    result = SOURCE[:400] / 4
    summary = summary_of(SOURCE, result, {"target": Distribution.of_sizes(TARGET)})
    assert json.loads(json.dumps(summary)) == summary
    assert [summary[name]["num_boxes"] for name in ("source", "target", "result")] == [
        500, 300, 400,
    ]  # fmt: skip
    assert summary["ks"] == {
        "source_target": kolmogorov_smirnov(SOURCE, TARGET),
        "result_target": kolmogorov_smirnov(result, TARGET),
    }
    assert summary["source"]["mean"] == pytest.approx(SOURCE.mean())
    assert summary["target"]["percentiles"]["50"] == pytest.approx(np.median(TARGET))
    for name in ("source", "target", "result"):
        assert len(summary[name]["shares"]) == len(summary["edges"]) - 1
        assert sum(summary[name]["shares"]) == pytest.approx(1)


def test_without_a_box_left_there_is_no_distance():
    summary = summary_of(SOURCE, np.empty(0), {"target": Distribution.of_sizes(TARGET)})
    assert summary["ks"]["result_target"] is None
    assert (summary["result"]["num_boxes"], summary["result"]["mean"]) == (0, None)
    counts = {"num_images": 1, "num_without_boxes": 1, "num_fallbacks": 0}
    lines = summary_lines({**summary, **counts, "num_left": 0, "num_boxes": 0})
    assert "result to target -" in lines[-2]


def test_lines_are_a_table_distances_and_counts():
    summary = summary_of(
        SOURCE,
        SOURCE / 4,
        {
            "target": Distribution.of_sizes(TARGET),
            "gaussian": gaussian_distribution(GaussianTarget.analytic(2.5, 0.6)),
        },
    )
    counts = {"num_images": 9, "num_without_boxes": 2, "num_fallbacks": 1}
    lines = summary_lines({**summary, **counts, "num_left": 500, "num_boxes": 501})
    assert [line.split()[0] for line in lines[1:5]] == ["source", "target", "gaussian", "result"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[3].split()[1] == "-"
    assert lines[5].startswith("Kolmogorov-Smirnov distance: source to target 0.")
    assert lines[6].startswith("9 images: 2 without boxes, 1 at the default scale")
    assert lines[6].endswith("500 of 501 boxes left")


class TestTargets:
    def test_an_annotation_file_gives_its_sizes(self, target_file):
        target = named_target(target_file, HistogramSettings())
        assert target.sizes.tolist() == read_counted_sizes(target_file).tolist()
        assert target.num_boxes == 2712
        assert target.label == "target: 2712 boxes, median 13.3 px"

    def test_mean_and_deviation_move_them(self, target_file):
        target = named_target(target_file, HistogramSettings(mu_sigma=(50.0, 5.0)))
        assert target.sizes.mean() == pytest.approx(50)

    def test_a_saved_histogram_gives_nearly_the_same(self, target_file, tmp_path):
        path = tmp_path / "h.json"
        histogram = read_target_histogram(target_file)
        save_histogram(path, histogram, log=False, except_rate=None, source="a", source_sha256="")
        from_file = named_target(target_file, HistogramSettings())
        saved = named_target(str(path), HistogramSettings())
        assert saved.num_boxes == 2712
        assert kolmogorov_smirnov(saved.sizes, from_file.sizes) < 0.02
        with pytest.raises(InputError, match="saved with bins 100, but bins 7 is asked for"):
            named_target(str(path), HistogramSettings(7))

    def test_a_gaussian_has_no_boxes_but_the_right_quantiles(self):
        target = gaussian_distribution(GaussianTarget.analytic(2.6, 0.8))
        assert target.num_boxes is None
        logs = np.log(target.sizes)
        assert (logs.mean(), logs.std()) == (
            pytest.approx(2.6, abs=0.01), pytest.approx(0.8, abs=0.02),
        )  # fmt: skip
        assert target.label == "target: normal in ln(size), median 13.5 px"
        shares = target.cdf(target.sizes)
        np.testing.assert_allclose(shares, (np.arange(20_000) + 0.5) / 20_000, atol=1e-9)
