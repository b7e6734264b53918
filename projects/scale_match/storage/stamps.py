"""A mark in a written image that says what it was made from, and whether it is still whole.

A run that was stopped goes on where it stopped: an image that bears the right mark is kept. The
mark is a comment in the file itself (JPEG: a COM segment, PNG: a tEXt chunk), so it cannot get lost
or belong to another file. It holds a key, which stands for source and treatment, and the SHA-256 of
everything else in the file. Other formats have no mark; such images are written anew.
"""

import hashlib
import zlib

__all__ = ["is_stamped", "key_of", "stamp"]

# The zero ends the keyword of a tEXt chunk; in a JPEG comment it does no harm.
_WORD = b"scale_match\0"
_HEX = 64  # characters of a SHA-256
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 33  # bytes: the signature and the chunk IHDR, which comes first


def stamp(data: bytes, key: str) -> bytes:
    """The content of an image file with a mark in it.

    Args:
        data: A JPEG or PNG file; anything else is returned as it is.
        key: 64 hexadecimal digits.
    """
    place = _place(data)
    if place is None:
        return data
    text = _text(key, data)
    mark = _jpeg_segment(text) if data.startswith(_JPEG) else _png_chunk(text)
    return data[:place] + mark + data[place:]


def key_of(data: bytes) -> str | None:
    """The key in the mark of an image file.

    Returns:
        None if the file has no mark, or was changed or cut short after it was written.
    """
    place = _place(data)
    if place is None:
        return None
    wrap = _jpeg_segment if data.startswith(_JPEG) else _png_chunk
    end = place + len(wrap(_text("0" * _HEX, b"")))
    mark = data[place:end]
    key = mark.partition(_WORD)[2][:_HEX].decode("ascii", errors="replace")
    return key if mark == wrap(_text(key, data[:place] + data[end:])) else None


def is_stamped(data: bytes) -> bool:
    """Whether an image file has a mark, be the file whole or not."""
    place = _place(data)
    return place is not None and _WORD in data[place : place + 2 * _HEX]


def _text(key: str, rest: bytes) -> bytes:
    return _WORD + key.encode() + b" " + hashlib.sha256(rest).hexdigest().encode()


def _place(data: bytes) -> int | None:
    """Where the mark is or would be: after the part that the format wants first."""
    if data.startswith(_PNG):
        return _PNG_HEADER
    if data.startswith(_JPEG + b"\xe0") and len(data) > 6:  # SOI, APP0 and its length
        return 4 + int.from_bytes(data[4:6], "big")
    return 2 if data.startswith(_JPEG) else None


def _jpeg_segment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


def _png_chunk(text: bytes) -> bytes:
    body = b"tEXt" + text
    return len(text).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
