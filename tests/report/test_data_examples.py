import numpy as np
from PIL import Image

from data_samples import images_of, objects_of, write_image
from scale_match.core.records import ImageRecord
from scale_match.report.data_examples import example_rows, plot_examples

COLOUR = np.array([0xD5, 0x5E, 0x00])


def drawn(objects, images, folder):
    path = folder / "examples.png"
    plot_examples(objects, images, folder, path)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def frame_pixels(pixels):
    return int((np.abs(pixels - COLOUR).sum(axis=2) < 30).sum())


def test_images_are_shown_from_the_fullest_to_the_emptiest():
    rows = [0] * 3 + [2] * 9 + [3] + [4] * 5
    objects = objects_of([[1, 1, 5, 5]] * len(rows), [(50, 50)] * 5, rows=rows)
    assert example_rows(objects) == [2, 4, 0, 3]
    assert example_rows(objects, 2) == [2, 3]


def test_boxes_are_drawn_on_their_images(tmp_path):
    write_image(tmp_path / "1.jpg", 200, 150)
    objects = objects_of([[50, 60, 20, 20], [90, 60, 20, 10]], (200, 150))
    assert frame_pixels(drawn(objects, images_of((200, 150)), tmp_path)) > 200


def test_a_tile_is_shown_as_the_tile(tmp_path):
    write_image(tmp_path / "a.png", 400, 100)
    tiles = (ImageRecord(1, "a.png", 100, 100, (300, 0, 400, 100)),)
    assert frame_pixels(drawn(objects_of([[40, 40, 20, 20]], (100, 100)), tiles, tmp_path)) > 100


def test_an_image_that_cannot_be_read_is_named_in_its_place(tmp_path):
    pixels = drawn(objects_of([[4, 4, 20, 20]]), images_of((640, 480)), tmp_path)
    assert frame_pixels(pixels) == 0
    assert (pixels < 100).all(axis=2).sum() > 500  # the sentence
