import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.data.tile_reading import TileReader

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def path(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


@pytest.mark.parametrize(("image_format", "channels"), [("RGB", (0, 1, 2)), ("BGR", (2, 1, 0))])
def test_a_tile_has_the_pixels_of_its_corner(path, image_format, channels):
    tile = TileReader(image_format).pixels(path, (1, 2, 5, 4))
    assert (tile == PIXELS[2:4, 1:5, channels]).all()


def test_tiles_of_one_image_decode_it_once(path, tmp_path):
    Image.fromarray(PIXELS + 1).save(tmp_path / "b.png")
    reader = TileReader("RGB")
    for corner in ((0, 0, 2, 2), (4, 2, 6, 4), (0, 0, 6, 4)):
        reader.pixels(path, corner)
    assert reader.num_decoded == 1
    assert (reader.pixels(str(tmp_path / "b.png"), (0, 0, 6, 4)) == PIXELS + 1).all()
    assert (reader.pixels(path, (0, 0, 6, 4)) == PIXELS).all()
    assert reader.num_decoded == 3


def test_writing_into_a_tile_changes_no_other(path):
    reader = TileReader("RGB")
    reader.pixels(path, (0, 0, 6, 4))[:] = 0
    assert (reader.pixels(path, (0, 0, 6, 4)) == PIXELS).all()


def test_a_changed_file_is_read_again(path):
    reader = TileReader("RGB")
    reader.pixels(path, (0, 0, 2, 2))
    Image.fromarray(np.zeros((4, 9, 3), np.uint8)).save(path)
    assert not reader.pixels(path, (0, 0, 9, 4)).any()


@pytest.mark.parametrize("read_before", [False, True])
def test_a_tile_that_sticks_out_is_refused(path, read_before):
    reader = TileReader("RGB")
    if read_before:
        reader.pixels(path, (0, 0, 2, 2))
    message = r"a.png \(image id 3\) is 6 x 4 pixels, but its tile has corner \[0, 0, 7, 4\], which"
    with pytest.raises(InputError, match=message):
        reader.pixels(path, (0, 0, 7, 4), 3)


def test_a_file_that_is_gone_is_named(path, tmp_path):
    reader = TileReader("RGB")
    reader.pixels(path, (0, 0, 2, 2))
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a.png \(image id 3\) does not exist"):
        reader.pixels(path, (0, 0, 2, 2), 3)
