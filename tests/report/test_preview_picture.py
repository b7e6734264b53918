"""The picture of a preview."""

import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.report.preview_picture import draw_preview, load_samples
from scale_match.scoring.scale_preview import preview_images
from scale_match.storage.annotations import read_annotations
from scale_match.storage.policies import build_scale_policy
from toy import make_toy_dataset

SIZES = np.random.default_rng(0).lognormal(3, 0.5, 100)


@pytest.fixture
def previewed(tmp_path):
    path, folder = make_toy_dataset(tmp_path, num_images=9, width=160, height=120)
    policy = build_scale_policy("sm", target=str(path), scale_range=(0.3, 0.9))
    return preview_images(read_annotations(path), policy), folder


def test_samples_go_from_small_to_large_objects_and_have_both_sizes(previewed):
    images, folder = previewed
    samples, problems = load_samples(images, folder)
    assert problems == []
    assert len(samples) == 6
    sizes = [sample.previewed.decision.source_size for sample in samples]
    every = [image.decision.source_size for image in images]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (min(every), max(every))
    for sample in samples:
        assert sample.before.size == (160, 120)
        assert sample.after.size == sample.previewed.decision.size[::-1]


def test_images_without_boxes_are_no_samples(tmp_path):
    path, folder = make_toy_dataset(tmp_path / "a", boxes_per_image=0)
    target, _ = make_toy_dataset(tmp_path / "b")
    policy = build_scale_policy("sm", target=str(target))
    assert load_samples(preview_images(read_annotations(path), policy), folder) == ([], [])


def test_images_that_cannot_be_read_are_named(previewed):
    images, folder = previewed
    for path in folder.iterdir():
        path.unlink()
    samples, problems = load_samples(images, folder)
    assert samples == []
    assert len(problems) == 6
    assert problems[0].startswith(f"image file {folder}/000")
    assert problems[0].endswith("is not in the folder")


def test_the_picture_is_higher_with_samples(previewed, tmp_path):
    images, folder = previewed
    samples, _ = load_samples(images, folder)
    heights = []
    for name, shown in (("a.png", []), ("b.png", samples), ("c.png", samples[:1])):
        path = tmp_path / name
        draw_preview(path, SIZES, SIZES / 4, SIZES / 5, target_label="target", samples=shown)
        heights.append(Image.open(path).height)
    assert heights[0] < heights[1] == heights[2]


def test_no_box_left_is_drawn_too(tmp_path):
    path = tmp_path / "a.svg"
    draw_preview(path, SIZES, np.empty(0), SIZES, target_label="the label")
    assert path.read_text().startswith("<?xml")


def test_another_kind_of_file_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(InputError, match=r"a plot is written as one of .png, .svg, .pdf"):
        draw_preview(tmp_path / "a.bmp", SIZES, SIZES, SIZES, target_label="target")
    assert list(tmp_path.iterdir()) == []
