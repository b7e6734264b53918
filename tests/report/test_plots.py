import matplotlib
import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.report import plots
from scale_match.report.plots import plot_size_histograms

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.lognormal(4.5, 0.4, 400), RNG.lognormal(2.5, 0.4, 300)


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_the_plot_is_written_in_the_form_of_its_suffix(tmp_path, suffix, magic):
    path = tmp_path / f"sizes{suffix}"
    plot_size_histograms(SOURCE, 0.2 * SOURCE, TARGET, path)
    assert path.read_bytes().startswith(magic)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_axes_and_legend_say_what_is_shown_in_which_unit(tmp_path, monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    path = tmp_path / "sizes.svg"
    plot_size_histograms(SOURCE, 0.2 * SOURCE, TARGET, path)
    text = path.read_text()
    for expected in (
        "pixels",
        "share of boxes",
        f"target: 300 boxes, median {np.median(TARGET):.1f} px",
        f"source: 400 boxes, median {np.median(0.2 * SOURCE):.1f} px",
    ):
        assert expected in text


def test_bins_hold_every_size_even_when_all_are_equal():
    for sizes in (SOURCE, np.full(5, 8.0), np.array([2.0, 32.0])):
        edges = plots._edges(sizes)
        assert np.histogram(sizes, edges)[0].sum() == len(sizes)
        assert np.allclose(np.diff(np.log2(edges)), 0.25)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (np.empty(0), "`scaled_sizes` must hold at least one size"),
        (np.array([1.0, 0.0]), "`scaled_sizes` must hold positive sizes in pixels, but has 0.0"),
        (np.array([np.nan]), "`scaled_sizes` must hold positive sizes in pixels, but has nan"),
    ],
)
def test_sizes_that_cannot_be_shown_are_errors(tmp_path, sizes, message):
    with pytest.raises(InputError, match=message):
        plot_size_histograms(SOURCE, sizes, TARGET, tmp_path / "sizes.png")
    assert not list(tmp_path.iterdir())


def test_another_kind_of_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf.*sizes\.jpg"):
        plot_size_histograms(SOURCE, SOURCE, TARGET, tmp_path / "sizes.jpg")
