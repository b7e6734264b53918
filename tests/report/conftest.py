"""Runs that the tests of the sections share: two on the same images, one on others."""

import pytest

from report_samples import make_run
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.run_figures import gather_run, parse_metric

KNOWN = {"tile_size": [64, 48], "tile_overlap": [16, 16], "test_scale": 1, "score_threshold": 0.05}


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    """Scores files, and the image folder of the first two."""
    folder, other = tmp_path_factory.mktemp("same"), tmp_path_factory.mktemp("other")
    first, images = make_run(folder, name="first", protocol=KNOWN)
    second, _ = make_run(folder, name="second", seed=1, protocol=KNOWN | {"score_threshold": 0.1})
    third, _ = make_run(other, name="third <&>", seed=2, categories=2)
    return {"first": first, "second": second, "third": third, "images": images}


@pytest.fixture(scope="session")
def runs(samples):
    """The same, gathered; the first with intervals."""
    return [
        gather_run(
            read_saved_scores(samples[name]),
            parse_metric("AP50_tiny"),
            place=place,
            resamples=20 if place == 0 else None,
        )
        for place, name in enumerate(("first", "second", "third"))
    ]
