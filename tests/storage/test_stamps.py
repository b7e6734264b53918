import io

import numpy as np
import pytest
from PIL import Image

from scale_match.storage.stamps import is_stamped, key_of, stamp

KEY, OTHER = "0123456789abcdef" * 4, "f" * 64
PIXELS = np.arange(48 * 3, dtype=np.uint8).reshape(6, 8, 3)


def file_of(format_name, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=format_name, **options)
    return buffer.getvalue()


def exif():
    value = Image.Exif()
    value[0x010E] = "a description"
    return value


MARKABLE = {
    "jpeg": file_of("JPEG"),
    "jpeg with exif": file_of("JPEG", exif=exif()),
    "jpeg without app0": b"\xff\xd8" + file_of("JPEG")[20:],
    "png": file_of("PNG"),
}


@pytest.mark.parametrize("data", MARKABLE.values(), ids=MARKABLE)
def test_the_key_is_read_back_and_the_pixels_are_the_same(data):
    marked = stamp(data, KEY)
    assert key_of(marked) == KEY
    assert is_stamped(marked)
    with Image.open(io.BytesIO(marked)) as image, Image.open(io.BytesIO(data)) as before:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(before))


@pytest.mark.parametrize("data", MARKABLE.values(), ids=MARKABLE)
def test_a_file_that_was_cut_short_or_changed_has_no_key(data):
    marked = stamp(data, KEY)
    for length in range(len(marked)):
        assert key_of(marked[:length]) is None
    for place in range(0, len(marked), 7):
        changed = bytearray(marked)
        changed[place] ^= 1
        assert key_of(bytes(changed)) != KEY
    assert is_stamped(marked[:-10])


@pytest.mark.parametrize("data", [*MARKABLE.values(), file_of("BMP"), b"", b"\xff\xd8\xff"])
def test_a_file_without_a_mark_has_no_key(data):
    assert key_of(data) is None
    assert not is_stamped(data)


def test_other_formats_are_not_marked():
    assert stamp(file_of("BMP"), KEY) == file_of("BMP")


def test_a_marked_file_may_be_marked_again():
    twice = stamp(stamp(MARKABLE["jpeg"], OTHER), KEY)
    assert key_of(twice) == KEY
