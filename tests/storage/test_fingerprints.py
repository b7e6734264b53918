import gzip
import hashlib

import pytest

from scale_match.core.errors import InputError
from scale_match.storage.files import file_sha256
from scale_match.storage.fingerprints import content_sha256


def test_a_file_and_its_packed_form_have_the_hash_of_the_content(tmp_path):
    data = b"some content" * 200_000  # more than a block
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_bytes(data)
    packed.write_bytes(gzip.compress(data))
    expected = hashlib.sha256(data).hexdigest()
    assert content_sha256(plain) == content_sha256(packed) == file_sha256(plain) == expected
    assert content_sha256(plain) != file_sha256(packed)


def test_the_hash_of_an_empty_file_is_that_of_nothing(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert content_sha256(tmp_path / "empty") == hashlib.sha256().hexdigest()


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*absent.json: No such file"):
        content_sha256(tmp_path / "absent.json")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(InputError, match=r"cannot read .*cut.gz: "):
        content_sha256(tmp_path / "cut.gz")
