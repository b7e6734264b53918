"""Files of standard normal numbers."""

import gzip
import io

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.storage.normal_samples import read_normal_sample


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"[0.5, -1, 2e-1]",
        b" [0.5,\n-1, 0.2]",
        b"0.5 -1\n0.2\n",
        npy(np.array([0.5, -1, 0.2])),
        gzip.compress(b"[0.5, -1, 0.2]"),
    ],
)
def test_every_form_gives_the_numbers_in_file_order(tmp_path, content):
    path = tmp_path / "sample"
    path.write_bytes(content)
    sample = read_normal_sample(path)
    assert sample.tolist() == [0.5, -1.0, 0.2]
    assert sample.dtype == np.float64


def test_single_precision_becomes_double(tmp_path):
    (tmp_path / "s.npy").write_bytes(npy(np.array([1, 2], np.float32)))
    assert read_normal_sample(tmp_path / "s.npy").dtype == np.float64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a b", r"sample is not a sample of normal numbers, a JSON list, .*'a'"),
        (b"[1, 2", r"is not a sample of normal numbers"),
        (b"\xff\xfe", r"is not a sample of normal numbers"),
        (npy(np.array([1.0, 2.0]))[:-5], r"is not a sample of normal numbers"),
        (b"[[1], [1, 2]]", r"is not a sample of normal numbers"),
        (npy(np.array([object()], object)), r"is not a sample of normal numbers"),
        (
            b"[[1, 2], [3, 4]]",
            r"must hold a flat list of at least 2 numbers, got the shape \(2, 2\)",
        ),
        (b'{"a": 1}', r"must hold a flat list"),
        (b'["1", "2"]', r"must hold a flat list"),
        (b"[true, false]", r"must hold a flat list"),
        (b"", r"must hold a flat list of at least 2 numbers, got the shape \(0,\)"),
        (b"1", r"must hold a flat list of at least 2 numbers, got the shape \(1,\)"),
        (b"1 nan 2", r"sample: entry 1 is nan, which must be finite"),
        (b"[1, 2, -Infinity]", r"entry 2 is -inf, which must be finite"),
    ],
)
def test_anything_else_is_refused(tmp_path, content, message):
    path = tmp_path / "sample"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_normal_sample(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none: No such file"):
        read_normal_sample(tmp_path / "none")
