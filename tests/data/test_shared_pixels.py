"""Pixels out of PIL's own memory: the same ones, for as long as they are needed, or none."""

import gc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scale_match.data import image_reading
from scale_match.data.image_reading import EncodedImage
from scale_match.data.shared_pixels import shared_pixels


def noise(height, width):
    generator = np.random.default_rng(height)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (171, 230), (540, 960)])
def test_the_pixels_are_those_of_the_image(size):
    shared = shared_pixels(Image.fromarray(noise(*size)))
    assert shared.shape == (*size, 4)
    assert np.array_equal(shared[:, :, :3], noise(*size))


def test_they_are_the_memory_of_the_image_and_cannot_be_written():
    image = Image.new("RGB", (8, 6))
    first, second = shared_pixels(image), shared_pixels(image)
    assert np.shares_memory(first, second)
    image.putpixel((2, 1), (7, 8, 9))
    assert first[1, 2, :3].tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0, 0] = 1


def test_they_outlive_the_image():
    views = [shared_pixels(Image.fromarray(noise(n, 200))) for n in range(50, 60)]
    part = views.pop()[10:20, ::-1]
    gc.collect()
    rubbish = [Image.new("RGB", (200, n), "white") for n in range(50, 60)]
    for number, view in zip(range(50, 59), views, strict=True):
        assert np.array_equal(view[:, :, :3], noise(number, 200))
    assert np.array_equal(part[:, :, :3], noise(59, 200)[10:20, ::-1])
    assert len(rubbish) == 10


def resident_bytes():
    with Path("/proc/self/status").open() as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return 1024 * int(line.split()[1])


def test_the_memory_is_given_back():
    before = resident_bytes()
    for _ in range(50):
        assert shared_pixels(Image.new("RGB", (2000, 2000), "white")).nbytes == 16_000_000
    assert resident_bytes() - before < 200_000_000  # all of them have 800 MB


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "P", "YCbCr"])
def test_other_modes_are_not_shared(mode):
    assert shared_pixels(Image.new(mode, (4, 3))) is None


def test_an_image_in_several_pieces_is_not_shared():
    assert shared_pixels(Image.new("RGB", (5000, 3000))) is None  # 60 MB, pieces have 16


def test_an_older_pil_shares_nothing():
    class Older:
        mode = "RGB"

    assert shared_pixels(Older()) is None


@pytest.mark.parametrize("image_format", ["RGB", "BGR", "L", "YUV-BT.601"])
@pytest.mark.parametrize("size", [(171, 230), (100, 120), (40, 57), (9, 10)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_image_resized_is_the_same_without_sharing(
    tmp_path, monkeypatch, image_format, size, orientation
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "a.jpg")
    Image.fromarray(noise(171, 230)).save(path, exif=exif)
    used = []

    def watched(image):
        used.append(shared_pixels(image) is not None)
        return shared_pixels(image)

    monkeypatch.setattr(image_reading, "shared_pixels", watched)
    shared = EncodedImage(path, image_format).resized(size)
    assert used == [image_format != "L"]
    monkeypatch.setattr(image_reading, "shared_pixels", lambda _image: None)
    copied = EncodedImage(path, image_format).resized(size)
    assert shared.shape == copied.shape
    assert np.abs(shared.astype(float) - copied.astype(float)).max() == 0


def test_erased_images_are_copied(tmp_path, monkeypatch):
    def refuse(_image):
        raise AssertionError("the pixels are written to")

    monkeypatch.setattr(image_reading, "shared_pixels", refuse)
    path = str(tmp_path / "a.jpg")
    Image.fromarray(noise(40, 60)).save(path)
    image = EncodedImage(path, "RGB")
    image.erase(np.array([[4.0, 4, 20, 20]]), np.zeros((0, 4)))
    erased = image.resized((40, 60))
    assert (erased[6:22, 6:22] == erased[10, 10]).all()
