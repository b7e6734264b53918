import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from detectron2.data.detection_utils import read_image
from PIL import Image, ImageFile

from scale_match.core.erasing import erase_regions
from scale_match.core.errors import InputError
from scale_match.data import image_reading
from scale_match.data.image_reading import EncodedImage
from scale_match.data.resizing import resize_antialiased, resize_part

HEIGHT, WIDTH = 171, 230  # neither is a multiple of 4 or 8


def picture(height=HEIGHT, width=WIDTH):
    """Waves, a different mixture in each channel, and a bright corner, so that no turn is alike."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a) + np.cos(y / b) for a, b in ((9.0, 21.0), (14.0, 8.0), (30.0, 11.0))]
    pixels = 110 + 40 * np.stack(waves, axis=2)
    pixels[: height // 4, : width // 4] += 50
    return np.clip(pixels, 0, 255).astype(np.uint8)


def saved(path, mode="RGB", orientation=None, **options):
    image = Image.fromarray(picture())
    if mode == "I;16":
        image = Image.fromarray(picture()[:, :, 0].astype(np.uint16) * 200)
    elif mode != "RGB":
        image = image.convert(mode)
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    image.save(path, **options)
    return str(path)


@pytest.fixture
def decoded_shapes(monkeypatch):
    """The shapes of the pixels that are resized, in order."""
    shapes = []

    def resize(pixels, size, extent=None):
        shapes.append(pixels.shape[:2])
        return resize_antialiased(pixels, size, extent)

    def resize_a_part(pixels, box, size):
        shapes.append(pixels.shape[:2])
        return resize_part(pixels, box, size)

    monkeypatch.setattr(image_reading, "resize_antialiased", resize)
    monkeypatch.setattr(image_reading, "resize_part", resize_a_part)
    return shapes


FILES = {
    "rgb.jpg": {"quality": 95},
    "progressive.jpg": {"quality": 95, "progressive": True},
    "grey.jpg": {"mode": "L"},
    "cmyk.jpg": {"mode": "CMYK"},
    "rgb.png": {},
    "alpha.png": {"mode": "RGBA"},
    "palette.png": {"mode": "P"},
    "bits.png": {"mode": "1"},
    "deep.png": {"mode": "I;16"},
    "rgb.bmp": {},
}


@pytest.mark.parametrize("image_format", ["RGB", "BGR", "L", "YUV-BT.601"])
@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_detectron2(tmp_path, name, image_format):
    path = saved(tmp_path / name, **FILES[name])
    image = EncodedImage(path, image_format)
    expected = read_image(path, image_format)
    assert image.size == expected.shape[:2] == (HEIGHT, WIDTH)
    assert image.pixels().dtype == expected.dtype
    assert (image.pixels() == expected).all()


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_turns_pixels_and_size(tmp_path, name, orientation):
    path = saved(tmp_path / name, orientation=orientation)
    image = EncodedImage(path, "BGR")
    expected = read_image(path, "BGR")
    assert image.size == expected.shape[:2]
    assert (image.pixels() == expected).all()
    # Reduced: half, quarter.
    for divisor in (4, 8):
        size = tuple(side // divisor for side in expected.shape[:2])
        resized = image.resized(size)
        assert resized.shape == (*size, 3)
        difference = np.abs(resized - resize_antialiased(expected, size).astype(int))
        assert difference.mean() < 0.5


def test_damaged_exif_data_are_passed_over(tmp_path):
    path = saved(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert (EncodedImage(path, "RGB").pixels() == read_image(path, "RGB")).all()


@pytest.mark.parametrize(
    "size", [(171, 230), (128, 172), (86, 115), (45, 60), (43, 115), (200, 300)]
)
def test_over_a_quarter_every_pixel_is_decoded(tmp_path, size):
    path = saved(tmp_path / "a.jpg")
    expected = resize_antialiased(read_image(path, "RGB"), size)
    assert (EncodedImage(path, "RGB").resized(size) == expected).all()


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((45, 60), (171, 230)),
        ((43, 58), (86, 115)),  # a quarter, rounded up
        ((42, 57), (86, 115)),
        ((42, 20), (86, 115)),
        ((24, 31), (86, 115)),
        ((21, 28), (43, 58)),
        ((10, 14), (22, 29)),
        ((1, 1), (22, 29)),
    ],
)
def test_a_jpeg_is_decoded_to_about_twice_at_least_the_new_size(
    tmp_path, decoded_shapes, size, decoded
):
    path = saved(tmp_path / "a.jpg", quality=95)
    resized = EncodedImage(path, "RGB").resized(size)
    assert decoded_shapes == [decoded]
    expected = resize_antialiased(read_image(path, "RGB"), size)
    # Of a dozen pixels, and in the part of the last that is none of the image, more may differ.
    assert np.abs(resized - expected.astype(int)).mean() < (0.5 if size[0] > 10 else 1.0)


@pytest.mark.parametrize("name", ["grey.jpg", "cmyk.jpg", "progressive.jpg"])
def test_all_kinds_of_jpeg_are_reduced_alike(tmp_path, decoded_shapes, name):
    path = saved(tmp_path / name, **FILES[name])
    resized = EncodedImage(path, "BGR").resized((30, 40))
    assert decoded_shapes == [(86, 115)]
    expected = resize_antialiased(read_image(path, "BGR"), (30, 40))
    assert np.abs(resized - expected.astype(int)).mean() < 0.5


def test_other_files_than_jpegs_are_decoded_whole(tmp_path, decoded_shapes):
    path = saved(tmp_path / "a.png")
    resized = EncodedImage(path, "RGB").resized((10, 14))
    assert decoded_shapes == [(HEIGHT, WIDTH)]
    assert (resized == resize_antialiased(picture(), (10, 14))).all()


def test_the_edges_of_a_reduced_image_do_not_shift(tmp_path, monkeypatch):
    """At an eighth the last decoded column is 6 pixels of the image and 2 of nothing."""
    path = saved(tmp_path / "a.jpg", quality=95)
    size = (10, 14)
    expected = resize_antialiased(read_image(path, "RGB"), size).astype(int)

    def difference():
        resized = EncodedImage(path, "RGB").resized(size)
        return np.abs(resized - expected)[size[0] // 2 : -1, size[1] // 2 : -1].mean()

    shifts = difference()
    monkeypatch.setattr(
        image_reading,
        "resize_antialiased",
        lambda pixels, size, extent: resize_antialiased(pixels, size),
    )
    assert 2 * shifts < difference()


def test_a_grey_format_has_one_channel_and_a_float_format_is_float(tmp_path):
    path = saved(tmp_path / "a.jpg")
    grey = EncodedImage(path, "L").resized((40, 50))
    assert (grey.shape, grey.dtype) == ((40, 50, 1), np.uint8)
    yuv = EncodedImage(path, "YUV-BT.601").resized((40, 50))
    assert (yuv.shape, yuv.dtype) == ((40, 50, 3), np.float64)
    assert abs(yuv[:, :, 0].mean() * 255 - grey.mean()) < 2


def test_an_image_can_be_asked_again(tmp_path):
    image = EncodedImage(saved(tmp_path / "a.jpg"), "RGB")
    small, whole = image.resized((20, 30)), image.pixels()
    assert (image.resized((20, 30)) == small).all()
    assert (image.pixels() == whole).all()
    assert whole.shape == (HEIGHT, WIDTH, 3)


# Parts and erased regions

CORNERS = [(10, 20, 90, 100), (101, 3, 230, 87), (0, 0, 31, 171)]


def parts_of_all(pixels, corners, sizes):
    return [
        resize_antialiased(pixels[y1:y2, x1:x2], size)
        for (x1, y1, x2, y2), size in zip(corners, sizes, strict=True)
    ]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize(("divisor", "decoded"), [(1, HEIGHT), (3, HEIGHT), (4, 86), (9, 43)])
def test_parts_are_those_of_the_whole_image_decoded_once(
    tmp_path, decoded_shapes, orientation, divisor, decoded
):
    path = saved(tmp_path / "a.jpg", orientation=orientation, quality=95)
    whole = read_image(path, "RGB")
    corners = CORNERS if orientation < 5 else [(y1, x1, y2, x2) for x1, y1, x2, y2 in CORNERS]
    sizes = [((y2 - y1) // divisor, (x2 - x1) // divisor) for x1, y1, x2, y2 in corners]
    found = EncodedImage(path, "RGB").parts(corners, sizes)
    assert {shape[0] for shape in decoded_shapes} == {decoded}
    for ours, theirs in zip(found, parts_of_all(whole, corners, sizes), strict=True):
        assert ours.shape == theirs.shape
        difference = np.abs(ours - theirs.astype(int))
        assert difference.mean() < (1.5 if decoded < HEIGHT else 0.2)
        assert decoded < HEIGHT or orientation > 1 or difference.max() == 0


def test_the_least_reduced_part_sets_how_far_an_image_is_decoded(tmp_path, decoded_shapes):
    image = EncodedImage(saved(tmp_path / "a.jpg"), "BGR")
    image.parts(CORNERS[:2], [(10, 10), (84, 129)])
    assert set(decoded_shapes) == {(HEIGHT, WIDTH)}
    assert image.parts([], []) == []


@pytest.mark.parametrize("image_format", ["L", "YUV-BT.601"])
def test_parts_of_other_formats_have_their_channels(tmp_path, image_format):
    image = EncodedImage(saved(tmp_path / "a.jpg"), image_format)
    (reduced,) = image.parts([(1, 1, 90, 90)], [(20, 20)])
    assert reduced.shape == (20, 20, 1 if image_format == "L" else 3)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_erased_regions_are_filled_in_all_that_is_decoded(tmp_path, decoded_shapes, orientation):
    path = saved(tmp_path / "a.jpg", orientation=orientation, quality=95)
    regions, objects = np.array([[20.0, 30, 64, 60]]), np.array([[40.0, 40, 16, 16]])
    expected = erase_regions(read_image(path, "RGB"), regions, objects)
    image = EncodedImage(path, "RGB")
    image.erase(regions, objects)
    assert (image.pixels() == expected).all()
    size = tuple(side // 6 for side in image.size)
    resized = image.resized(size)
    assert decoded_shapes[-1] in ((86, 115), (115, 86))
    assert np.abs(resized - resize_antialiased(expected, size).astype(int)).mean() < 1.0
    (part,) = image.parts([(18, 28, 90, 100)], [(12, 12)])
    of_all = resize_antialiased(expected[28:100, 18:90], (12, 12))
    assert np.abs(part - of_all.astype(int)).mean() < 2.0


def test_another_size_than_the_annotations_is_refused(tmp_path):
    image = EncodedImage(saved(tmp_path / "a.jpg"), "RGB", 4)
    image.check_size(WIDTH, HEIGHT)
    message = r"\(image id 4\) is 230 x 171 pixels, but the annotations say 171 x 230"
    with pytest.raises(InputError, match=message):
        image.check_size(HEIGHT, WIDTH)


# Bad input


def test_a_missing_file_is_named():
    message = r"^image file /none/a.jpg \(image id 7\) does not exist$"
    with pytest.raises(InputError, match=message):
        EncodedImage("/none/a.jpg", "RGB", 7)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"image file .*a.jpg \(image id None\) cannot be read: "):
        EncodedImage(str(path), "RGB")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "progressive.jpg"])
@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("size", [None, (100, 120), (30, 40), (9, 10)])
def test_a_truncated_file_is_an_error_at_every_reduction(tmp_path, name, share, size):
    content = io.BytesIO()
    options = {"progressive": True} if name == "progressive.jpg" else {}
    Image.fromarray(picture()).save(content, "png" if name == "a.png" else "jpeg", **options)
    path = tmp_path / name
    path.write_bytes(content.getvalue()[: int(len(content.getvalue()) * share)])
    image = EncodedImage(str(path), "RGB", 3)
    assert image.size == (HEIGHT, WIDTH)
    for _ in range(2):
        with pytest.raises(InputError, match=r"\(image id 3\) cannot be read: "):
            image.pixels() if size is None else image.resized(size)


@pytest.mark.parametrize(("environment", "kept"), [(None, 2), ("0", 0), ("5", 5)])
def test_pil_keeps_memory_for_the_next_image_unless_told_otherwise(tmp_path, environment, kept):
    path = saved(tmp_path / "a.jpg")
    code = (
        "from PIL import Image; from scale_match.data.image_reading import EncodedImage; "
        f"EncodedImage({path!r}, 'RGB').pixels(); print(Image.core.get_blocks_max())"
    )
    variables = {k: v for k, v in os.environ.items() if k != "PILLOW_BLOCKS_MAX"}
    if environment is not None:
        variables["PILLOW_BLOCKS_MAX"] = environment
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
    assert printed.stdout.split() == [str(kept)]


@pytest.mark.parametrize("error", [RuntimeError, KeyError, TypeError, struct.error, zlib.error])
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, error):
    def fail(self):
        raise error("Failed to decode frame 0")

    path = saved(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(
        InputError, match=r"a.png \(image id 7\) cannot be read: .*Failed to decode"
    ):
        EncodedImage(path, "RGB", 7).pixels()
