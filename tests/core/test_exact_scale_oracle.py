"""The target of the project for sizes in samples, on the oracle's generated files, boxes only."""

import numpy as np
import pytest

from oracles.scale_match_files import annotation_table, read_images, read_json
from scale_match.core.counted_sizes import counted_sizes
from scale_match.core.exact_tiling import ExactTiling, SourceImage, result_sizes
from scale_match.core.histogram import SizeHistogram
from scale_match.core.randomness import sample_randomness
from scale_match.core.size_summary import empirical_cdf, ks_distance

EPOCHS = 20


@pytest.fixture(scope="module")
def files(shared):
    folder = shared("oracle/scale_match")
    sizes = [
        counted_sizes(annotation_table(read_json(folder / f"{name}_like.json")["annotations"]))
        for name in ("coco", "tinyperson")
    ]
    images = [
        SourceImage.of_boxes(image["id"], image["height"], image["width"], boxes)
        for image, boxes in read_images(folder / "coco_like.json")
    ]
    return images, *sizes


def test_exact_scale_tiling_reaches_the_target(files):
    images, sizes, reached = files
    tiling = ExactTiling.from_images(images, SizeHistogram.from_sizes(reached))
    seen = [np.zeros(len(image.boxes), bool) for image in images]
    windows = []
    for epoch in range(EPOCHS):
        for index, image in enumerate(images):
            rng = sample_randomness(11, image.image_id, epoch).rng
            window = tiling.sample(image, rng.random(tiling.num_uniforms))
            windows.append(window)
            seen[index] |= window.keep
    assert ks_distance(result_sizes(windows), empirical_cdf(reached)) <= 0.03
    assert np.concatenate(seen).sum() >= 0.9 * len(sizes)
