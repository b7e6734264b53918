import math

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.records import Annotations, ImageRecord
from scale_match.core.seams import (
    SEAM_BANDS,
    band_indices,
    grid_seams,
    seam_distances,
    seams_of_tile_file,
    tile_seams,
)
from scale_match.core.tiles import tile_grid


def annotations_of(*images, old=()):
    return Annotations("corner.json", tuple(images), (), None, tuple(old))


def distance(box, seams):
    return seam_distances([box], np.array([0]), [np.array(seams, float).reshape(-1, 4)])[0]


# ---- Where the seams are ----


def test_the_border_of_the_image_is_no_seam():
    assert tile_seams([(0, 0, 640, 512)], 640, 512).shape == (0, 4)


def test_each_inner_border_of_overlapping_tiles_is_a_seam():
    tiles = [(0, 0, 640, 512), (540, 0, 1180, 512)]
    assert tile_seams(tiles, 1180, 512).tolist() == [[540, 0, 540, 512], [640, 0, 640, 512]]


def test_seams_of_neighbouring_tiles_are_joined():
    tiles = tile_grid(200, 140, tile=(120, 80), overlap=(20, 20)).tolist()
    assert tile_seams(tiles, 200, 140).tolist() == [
        [80, 0, 80, 140], [120, 0, 120, 140], [0, 60, 200, 60], [0, 80, 200, 80],
    ]  # fmt: skip


def test_seams_that_do_not_meet_stay_apart():
    tiles = [(0, 0, 50, 30), (0, 60, 50, 100)]
    upright = [line for line in tile_seams(tiles, 100, 100).tolist() if line[0] == line[2]]
    assert upright == [[50, 0, 50, 30], [50, 60, 50, 100]]


def test_a_seam_inside_another_does_not_shorten_it():
    tiles = [(0, 0, 50, 90), (0, 20, 50, 40)]
    upright = [line for line in tile_seams(tiles, 100, 100).tolist() if line[0] == line[2]]
    assert upright == [[50, 0, 50, 90]]


def test_seams_of_a_grid_are_found_for_each_image():
    seams = grid_seams(
        annotations_of(ImageRecord(7, "a.jpg", 1000, 512), ImageRecord(3, "b.jpg", 300, 200)),
        (640, 512),
        (100, 100),
    )
    assert seams[7].tolist() == [[360, 0, 360, 512], [640, 0, 640, 512]]
    assert seams[3].tolist() == []


def test_seams_of_a_scaled_test_are_in_pixels_of_the_file():
    image = ImageRecord(1, "a.jpg", 500, 256)
    seams = grid_seams(annotations_of(image), (640, 512), (100, 100), scale=2)
    assert seams[1].tolist() == [[180, 0, 180, 256], [320, 0, 320, 256]]


def test_rounding_of_a_scaled_image_moves_no_seam_out_of_it():
    image = ImageRecord(1, "a.jpg", 333, 77)  # 111 x 26 when tested; 77 / 26 is not 3
    seams = grid_seams(annotations_of(image), (60, 26), (10, 10), scale=1 / 3)
    assert seams[1][:, 3].max() == pytest.approx(77)
    assert seams[1][:, 0].tolist() == pytest.approx([50 * 3, 51 * 3, 60 * 3, 110 * 3])


def test_seams_of_a_tile_file_belong_to_the_old_images():
    tiles = annotations_of(
        ImageRecord(0, "b.jpg", 60, 40, (0, 0, 60, 40)),
        ImageRecord(1, "b.jpg", 60, 40, (40, 0, 100, 40)),
        ImageRecord(2, "a.jpg", 60, 40, (0, 0, 60, 40)),
        old=(
            ImageRecord(5, "a.jpg", 60, 40),
            ImageRecord(9, "b.jpg", 100, 40),
            ImageRecord(11, "c.jpg", 10, 10),
        ),
    )
    seams = {image: lines.tolist() for image, lines in seams_of_tile_file(tiles).items()}
    assert seams == {5: [], 9: [[40, 0, 40, 40], [60, 0, 60, 40]], 11: []}


def test_a_tile_file_and_the_grid_it_was_made_with_have_the_same_seams():
    image = ImageRecord(4, "a.jpg", 1920, 1080)
    corners = tile_grid(1920, 1080).tolist()
    tiles = [ImageRecord(k, "a.jpg", 640, 512, tuple(corner)) for k, corner in enumerate(corners)]
    grid = grid_seams(annotations_of(image), (640, 512), (100, 100))
    file = seams_of_tile_file(annotations_of(*tiles, old=[image]))
    assert grid[4].tolist() == file[4].tolist()
    assert len(grid[4]) == 10


# ---- Distances ----


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([600, 10, 20, 20], 20),  # right side 620
        ([630, 10, 20, 20], 0),  # cut
        ([620, 10, 20, 20], 0),  # touched
        ([650, 10, 5, 5], 10),
        ([643, 516, 5, 5], 5),  # 3 beside and 4 below its end
    ],
)
def test_the_distance_of_a_box_is_that_of_its_nearest_point(box, expected):
    assert distance(box, [640, 0, 640, 512]) == expected


def test_the_nearest_of_several_seams_counts():
    assert distance([100, 100, 10, 10], [[50, 0, 50, 300], [0, 117, 300, 117]]) == 7


def test_in_an_image_without_seams_the_distance_is_infinite():
    assert distance([100, 100, 10, 10], []) == math.inf


def test_each_box_is_measured_in_its_own_image():
    seams = [np.array([[50.0, 0, 50, 99]]), np.empty((0, 4)), np.array([[0.0, 90, 99, 90]])]
    boxes = np.array([[10, 10, 10, 10]] * 4, float)
    distances = seam_distances(boxes, np.array([2, 0, 1, 2]), seams)
    assert distances.tolist() == [70, 30, math.inf, 70]


def test_distances_are_those_of_plain_loops():
    rng = np.random.default_rng(0)
    seams = [
        tile_seams(tile_grid(w, 200, tile=(90, 70), overlap=(20, 10)).tolist(), w, 200)
        for w in (80, 200, 300)
    ]
    boxes, images = rng.integers(0, 150, (60, 4)).astype(float), rng.integers(0, 3, 60)
    distances = seam_distances(boxes, images, seams)
    for (x, y, w, h), image, found in zip(boxes, images, distances, strict=True):
        gaps = [
            math.hypot(max(x1 - x - w, x - x2, 0), max(y1 - y - h, y - y2, 0))
            for x1, y1, x2, y2 in seams[image]
        ]
        assert found == pytest.approx(min(gaps, default=math.inf))


def test_without_boxes_there_are_no_distances():
    assert seam_distances(np.empty((0, 4)), np.zeros(0, int), []).tolist() == []


def test_the_lower_bound_belongs_to_a_band():
    distances = np.array([0, 7.99, 8, 15.99, 16, 32, 63.99, 64, 1e9, math.inf])
    names = [SEAM_BANDS[b] for b in band_indices(distances)]
    assert names == [
        "0-8", "0-8", "8-16", "8-16", "16-32", "32-64", "32-64", "64+", "64+", "no seam",
    ]  # fmt: skip


# ---- Messages ----


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="scale of the tested images must be positive, got 0"):
        grid_seams(annotations_of(), (640, 512), (100, 100), scale=0)


def test_an_impossible_grid_is_refused():
    image = ImageRecord(1, "a.jpg", 500, 256)
    with pytest.raises(InputError, match="overlap must be smaller"):
        grid_seams(annotations_of(image), (64, 51), (64, 10))


def test_a_tile_without_a_corner_is_refused():
    with pytest.raises(InputError, match=r"corner\.json: image 3 has no corner"):
        seams_of_tile_file(annotations_of(ImageRecord(3, "a.jpg", 10, 10)))
