import gzip
import hashlib
import json
import math

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.files import (
    file_sha256,
    open_maybe_gzip,
    parse_json,
    read_bytes,
    read_json,
    replacing,
    write_bytes,
    write_json,
    write_text,
)


def test_what_is_written_is_read_back(tmp_path):
    value = {"a": [1, 2.5, None, True], "b": "é"}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    write_text(tmp_path / "text", "é\n")
    assert read_bytes(tmp_path / "text") == "é\n".encode()


def test_json_is_one_line_unless_an_indent_is_asked_for(tmp_path):
    write_json(tmp_path / "flat.json", {"a": [1]})
    write_json(tmp_path / "deep.json", {"a": [1]}, indent=2)
    assert (tmp_path / "flat.json").read_text() == '{"a": [1]}\n'
    assert (tmp_path / "deep.json").read_text().count("\n") == 5


def test_missing_folders_are_made(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "file", b"x")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


def test_a_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"long content")
    write_bytes(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path, error):
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), OSError("odd")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises((type(error), InputError)):
        write_half(path, error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_that_is_not_json_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"a": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_name_keeps_folder_and_suffix(tmp_path):
    with replacing(tmp_path / "plot.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        temporary.touch()


def test_the_file_gets_ordinary_permissions(tmp_path):
    (tmp_path / "plain").touch()
    write_bytes(tmp_path / "file", b"x")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*out: Is a directory"):
        write_bytes(tmp_path / "out", b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_name_that_is_too_long_is_an_error_of_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*x\.json: File name too long$"):
        write_json(tmp_path / f"{'x' * 300}.json", {})


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*inner: (File exists|Not a directory)"):
        write_bytes(tmp_path / "file" / "inner", b"x")


def test_an_error_about_another_file_is_not_said_to_be_about_this_one(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out"):
        (tmp_path / "input").read_bytes()


def test_gzip_is_known_by_its_content_not_by_its_name(tmp_path):
    packed, plain = tmp_path / "packed.json", tmp_path / "plain.json.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}'))
    plain.write_bytes(b'{"a": 1}')
    assert read_json(packed) == read_json(plain) == {"a": 1}
    with open_maybe_gzip(packed) as file:
        assert file.read(4) == b'{"a"'


def test_damaged_gzip_is_named(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(list(range(1000))).encode())[:-20])
    with pytest.raises(InputError, match=r"cannot read .*a.json.gz: Compressed file ended"):
        read_bytes(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.json: No such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read_json(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*none: No such file"):
        file_sha256(tmp_path / "none")


def test_broken_json_is_located():
    with pytest.raises(InputError, match=r"^x.json is not valid JSON: .* at line 2, column 3$"):
        parse_json(b"[1,\n  }", "x.json")
    with pytest.raises(InputError, match=r"^x.json is not valid JSON: byte 2 is not utf-8 text$"):
        parse_json(b'["\xff\xff"]', "x.json")


def test_a_byte_order_mark_is_no_harm():
    assert parse_json(b"\xef\xbb\xbf[1]", "x.json") == [1]


def test_the_hash_is_that_of_the_bytes_on_the_disk(tmp_path):
    data = gzip.compress(b"x" * 3_000_000)
    (tmp_path / "a.gz").write_bytes(data)
    assert file_sha256(tmp_path / "a.gz") == hashlib.sha256(data).hexdigest()
