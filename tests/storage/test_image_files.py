import io

import numpy as np
import pytest
from PIL import Image

from scale_match.storage.image_files import (
    IMAGE_SUFFIXES,
    Picture,
    UnreadableImageError,
    decode,
    encode,
    image_size,
    read_image_bytes,
)


def pixels(height=24, width=32, channels=3):
    ramp = np.add.outer(np.arange(height) * 4, np.arange(width) * 3).astype(np.uint8)
    return np.stack([ramp, 255 - ramp, ramp // 2], axis=2) if channels == 3 else ramp


def file_of(mode="RGB", format_name="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels()).convert(mode).save(buffer, format=format_name, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_what_is_written_is_read_back(suffix):
    data = encode(Picture(pixels()), f"a{suffix}")
    again = decode(data, f"a{suffix}", (32, 24)).pixels
    exact = suffix not in (".jpg", ".jpeg")
    assert np.abs(again.astype(int) - pixels()).mean() < (1e-9 if exact else 1.0)


def test_jpeg_keeps_the_full_resolution_of_colours():
    with Image.open(io.BytesIO(encode(Picture(pixels()), "a.JPG"))) as image:
        assert image.format == "JPEG"
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3


def test_grey_stays_grey_and_palettes_and_alpha_become_rgb():
    assert decode(file_of("L"), "a.png", (32, 24)).pixels.shape == (24, 32)
    for mode in ("P", "RGBA", "LA", "1"):
        assert decode(file_of(mode), "a.png", (32, 24)).pixels.shape == (24, 32, 3)
    assert decode(file_of("CMYK", "JPEG"), "a.jpg", (32, 24)).pixels.shape == (24, 32, 3)


def test_an_image_that_lies_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    path.write_bytes(file_of(format_name="JPEG", exif=exif, quality=100))
    assert image_size(path) == (24, 32)
    upright = decode(path.read_bytes(), path, (24, 32)).pixels
    turned = np.rot90(pixels(), k=-1).astype(int)
    assert np.abs(upright - turned).mean() < 2


def test_a_colour_profile_is_handed_on():
    data = file_of(icc_profile=b"profile")
    picture = decode(data, "a.png", (32, 24))
    assert picture.icc_profile == b"profile"
    for name in ("a.png", "a.jpg"):
        assert decode(encode(picture, name), name, (32, 24)).icc_profile == b"profile"
    assert decode(file_of("RGBA", icc_profile=b"x"), "a.png", (32, 24)).icc_profile is None


def test_an_image_of_any_number_of_pixels_is_read(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(file_of(), "a.png", (32, 24)).pixels.shape == (24, 32, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode(Picture(pixels()), "a.jpg")[:-50], r"^cannot read a.jpg: image file is truncated"),
        (file_of()[:-30], r"^cannot read a.jpg: "),
        (b"no image", r"^cannot read a.jpg: not an image of a known format$"),
        (b"", r"^cannot read a.jpg: not an image of a known format$"),
        (
            encode(Picture(pixels(20, 30)), "a.jpg"),
            r"^a.jpg has 30x20 pixels, its annotation says 32x24$",
        ),
    ],
)
def test_unusable_images_are_named(data, message):
    with pytest.raises(UnreadableImageError, match=message):
        decode(data, "a.jpg", (32, 24))


def test_pixels_of_16_bits_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(pixels(channels=1).astype(np.uint16) * 200).save(buffer, format="PNG")
    with pytest.raises(UnreadableImageError, match=r"a.png has pixels of the kind 'I;16'"):
        decode(buffer.getvalue(), "a.png", (32, 24))


def test_missing_files_and_unknown_suffixes_are_named(tmp_path):
    with pytest.raises(UnreadableImageError, match=r"cannot read .*none.jpg: No such file"):
        image_size(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImageError, match=r"cannot read .*none.jpg: No such file"):
        read_image_bytes(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImageError, match=r"a.gif cannot be written: its suffix must be"):
        encode(Picture(pixels()), "a.gif")
