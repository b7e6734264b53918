import copy
from pathlib import Path

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.storage.image_files import Picture
from scale_match.storage.shrinking import Shrink, shrink_jobs, shrunk_annotations

RAW = {
    "images": [
        {"id": 1, "file_name": "a.jpg", "width": 2048, "height": 1024},
        {"id": 2, "file_name": "b.jpg", "width": 3, "height": 1050},
    ],
    "annotations": [
        {
            "id": 7,
            "image_id": 1,
            "category_id": 1,
            "bbox": [100, 60, 20, 41],
            "area": 820,
            "size": 28.0,
            "vis": [100, 60, 20, 40],
            "vis_ratio": 0.97,
            "segmentation": [[100, 60, 120, 60, 120, 101]],
            "keypoints": [104, 64, 2],
            "ignore": False,
        },
        {"id": 8, "image_id": 2, "bbox": [0, 0, 1, 1], "segmentation": {"counts": "x"}},
    ],
}


def test_boxes_and_everything_in_pixels_are_divided():
    box = shrunk_annotations(RAW, 4)["annotations"][0]
    assert box["bbox"] == [25, 15, 5, 10.25]
    assert (box["area"], box["size"], box["vis_ratio"]) == (51.25, 7, 0.97)
    assert box["vis"] == [25, 15, 5, 10]
    assert box["segmentation"] == [[25, 15, 30, 15, 30, 25.25]]
    assert box["keypoints"] == [26, 16, 2]
    assert box["ignore"] is False


def test_image_sizes_are_rounded_half_to_even_and_at_least_1():
    images = shrunk_annotations(RAW, 4)["images"]
    assert [(image["width"], image["height"]) for image in images] == [(512, 256), (1, 262)]
    assert (shrunk_annotations(RAW, 9)["images"][1]["width"]) == 1


def test_masks_in_run_lengths_are_left_out():
    assert "segmentation" not in shrunk_annotations(RAW, 4)["annotations"][1]


def test_two_steps_are_one_and_factor_1_changes_nothing():
    twice = shrunk_annotations(shrunk_annotations(RAW, 2), 2)["annotations"]
    assert twice == shrunk_annotations(RAW, 4)["annotations"]
    assert shrunk_annotations(RAW, 1)["annotations"][0] == RAW["annotations"][0]


def test_the_input_is_not_changed():
    before = copy.deepcopy(RAW)
    shrunk_annotations(RAW, 3.7)
    assert before == RAW


@pytest.mark.parametrize("shape", [(80, 120, 3), (81, 119, 3), (82, 122), (79, 118, 3)])
def test_a_picture_is_reduced_by_exactly_the_factor(shape):
    # A ramp stays a ramp: the pixel i of the small image lies at 4 i + 1.5 of the large one.
    height, width = shape[:2]
    ramp = np.tile(np.arange(width) * 2, (height, 1)).astype(np.uint8)
    pixels = np.stack([ramp] * 3, axis=2) if len(shape) == 3 else ramp
    size = (round(width / 4), round(height / 4))
    small = Shrink(4.0, size).apply(Picture(pixels)).pixels
    assert small.shape[:2] == size[::-1]
    inner = small.reshape(size[1], size[0], -1)[:, 3:-3, 0]
    expected = 2 * (4 * np.arange(size[0]) + 1.5)[3:-3]
    assert np.abs(inner - expected).max() <= 1


def test_the_jobs_name_source_size_and_reduction():
    first, second = shrink_jobs(RAW, 4, Path("in"), Path("out"))
    assert first.outputs == ((Path("out/a.jpg"), Shrink(4.0, (512, 256))),)
    assert (first.source, first.size) == (Path("in/a.jpg"), (2048, 1024))
    assert second.outputs[0][1].size == (1, 262)


@pytest.mark.parametrize("factor", [0.5, 0, -4, float("nan"), float("inf")])
def test_a_factor_below_1_is_refused(factor):
    with pytest.raises(InputError, match=r"factor must be a number of at least 1, got"):
        shrunk_annotations(RAW, factor)
    with pytest.raises(InputError, match=r"factor must be a number of at least 1, got"):
        shrink_jobs(RAW, factor, Path("in"), Path("out"))


def test_tiles_are_refused():
    tiles = {**RAW, "images": [{**RAW["images"][0], "corner": [0, 0, 2048, 1024]}]}
    with pytest.raises(InputError, match=r"shrink the whole images, then cut them into tiles"):
        shrunk_annotations(tiles, 4)
