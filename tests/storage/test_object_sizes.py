"""The sizes of an annotation file, read once and cached."""

import gzip
import hashlib
import json
import logging
import os

import numpy as np
import pytest

from scale_match.core.boxes import box_sizes
from scale_match.core.counted_sizes import counted_sizes, image_sizes
from scale_match.core.errors import InputError
from scale_match.storage import object_sizes
from scale_match.storage.annotations import read_annotations
from scale_match.storage.object_sizes import read_object_sizes


def coco(boxes, **fields):
    """A file with two images, boxes on the first; ``fields`` are lists with an entry per box."""
    annotations = [
        {"id": index, "image_id": 1, "category_id": 1, "bbox": list(box)}
        | {name: values[index] for name, values in fields.items()}
        for index, box in enumerate(boxes)
    ]
    images = [{"id": k, "file_name": f"{k}.jpg", "width": 99, "height": 99} for k in (1, 2)]
    return {
        "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write_value(value):
        (tmp_path / "gt.json").write_text(json.dumps(value))
        return tmp_path / "gt.json"

    return write_value


@pytest.fixture
def cached(monkeypatch):
    """Every file is large enough for a cache; returns how often a file was parsed."""
    monkeypatch.setattr(object_sizes, "MIN_CACHED_BYTES", 0)
    calls = []
    read = object_sizes._read

    def counting(path, progress):
        calls.append(path)
        return read(path, progress)

    monkeypatch.setattr(object_sizes, "_read", counting)
    return calls


def test_sizes_agree_with_those_of_the_whole_file(shared):
    for name in ("coco_like", "tinyperson_like", "visdrone50"):
        path = shared(f"oracle/scale_match/{name}.json")
        table = read_annotations(path).table
        counted = ~(table.iscrowd | table.ignore)
        per_image = image_sizes(box_sizes(table.boxes[counted]), table.image_ids[counted])
        sizes = read_object_sizes(path)
        assert sizes.boxes.tolist() == sorted(counted_sizes(table).tolist())
        assert sizes.images.tolist() == sorted(per_image.tolist())
        assert sizes.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sizes.num_annotations == len(table)


def test_flags_decide_what_counts(write):
    boxes = [(0, 0, 4, 9), (0, 0, 8, 8), (0, 0, 3, 3), (0, 0, 5, 5), (0, 0, 0, 5)]
    path = write(coco(boxes, iscrowd=[0, 1, 0, 0, 0], ignore=[0, 0, True, 0, 0],
                      uncertain=[0, 0, 0, True, 0], image_id=[1, 1, 1, 2, 2]))  # fmt: skip
    sizes = read_object_sizes(path)
    assert sizes.boxes.tolist() == [5, 6]
    np.testing.assert_allclose(sizes.images, [5, 6])
    assert (sizes.num_annotations, sizes.num_zero) == (5, 1)


def test_a_packed_file_and_one_that_only_python_reads_are_read(tmp_path, write):
    value = coco([(0, 0, 4, 9)])
    packed = tmp_path / "gt.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(value).encode()))
    assert read_object_sizes(packed).boxes.tolist() == [6]
    assert (
        read_object_sizes(packed).sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()
    )  # of the file as it lies there
    odd = write(value | {"extra": float("nan")})
    assert read_object_sizes(odd).boxes.tolist() == [6]


def test_a_pipe_is_read_and_hashed(tmp_path):
    content = json.dumps(coco([(0, 0, 4, 9)])).encode()
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    try:
        sizes = read_object_sizes(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert sizes.boxes.tolist() == [6]
    assert sizes.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"bbox": [[1, 2, -3, 4]]},
            r"annotation id 0 has bbox \[1.0, 2.0, -3.0, 4.0\]",
        ),
        ({"bbox": [["1", 2, 3, 4]]}, r"annotation id 0 has bbox"),
        ({"bbox": [[1, 2, 3]]}, r"annotation id 0 has bbox"),
        ({"image_id": [5]}, r"annotation id 0 has image_id 5, which must be the id of an entry"),
        ({"category_id": [5]}, r"annotation id 0 has category_id 5"),
        ({"iscrowd": [2]}, r"annotation id 0 has iscrowd 2"),
    ],
)
def test_a_broken_rule_is_said_as_by_the_reader_of_annotations(write, change, message):
    path = write(coco([(0, 0, 4, 9)], **change))
    with pytest.raises(InputError, match=message):
        read_object_sizes(path)


def test_ids_that_repeat_are_refused(write):
    path = write(coco([(0, 0, 4, 9)] * 2, id=[3, 3]))
    with pytest.raises(InputError, match="annotation id 3 occurs more than once"):
        read_object_sizes(path)
    value = coco([(0, 0, 4, 9)])
    value["images"][1]["id"] = 1
    with pytest.raises(InputError, match="image id 1 occurs more than once"):
        read_object_sizes(write(value))


def test_no_image_is_refused(write):
    with pytest.raises(InputError, match="has no image at all"):
        read_object_sizes(write(coco([]) | {"images": []}))


def test_no_box_that_counts_is_refused_also_from_the_cache(write, cached):
    path = write(coco([(0, 0, 4, 9)], iscrowd=[1]))
    for _ in range(2):
        with pytest.raises(InputError, match=r"has no box that counts .* of 1 boxes all are crowd"):
            read_object_sizes(path)
    assert len(cached) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\x1f\x8bnothing"])
def test_what_is_no_annotation_file_is_named(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json"):
        read_object_sizes(tmp_path / "x.json")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none.json: No such file"):
        read_object_sizes(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read_object_sizes(tmp_path)


def test_progress_wraps_the_blocks(write, monkeypatch):
    monkeypatch.setattr(object_sizes, "_BLOCK", 100)
    path = write(coco([(0, 0, 4, 9)]))
    seen = []

    def progress(blocks):
        for block in blocks:
            seen.append(block)
            yield block

    read_object_sizes(path, progress=progress)
    assert seen == list(range(0, path.stat().st_size, 100))


# The cache


def test_a_large_file_is_parsed_once(write, cached, tmp_path):
    path = write(coco([(0, 0, 4, 9), (0, 0, 5, 5)]))
    first, second = read_object_sizes(path), read_object_sizes(path)
    assert len(cached) == 1
    assert {each.name for each in tmp_path.iterdir()} == {"gt.json", ".gt.json.sizes.npz"}
    for name in ("boxes", "images"):
        assert getattr(first, name).tolist() == getattr(second, name).tolist()
    assert (first.sha256, first.num_zero) == (second.sha256, second.num_zero)


def test_a_small_file_has_no_cache(write, tmp_path):
    read_object_sizes(write(coco([(0, 0, 4, 9)])))
    assert [each.name for each in tmp_path.iterdir()] == ["gt.json"]


def test_a_changed_file_is_read_anew(write, cached):
    path = write(coco([(0, 0, 4, 9)]))
    read_object_sizes(path)
    state = path.stat()
    write(coco([(0, 0, 6, 6)]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10))
    assert path.stat().st_size == state.st_size
    assert read_object_sizes(path).boxes.tolist() == [6]
    write(coco([(0, 0, 6, 66)]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10))
    assert read_object_sizes(path).boxes[0] == pytest.approx(np.sqrt(396))
    assert len(cached) == 3


def test_a_link_and_its_file_share_a_cache(write, cached, tmp_path):
    path = write(coco([(0, 0, 4, 9)]))
    (tmp_path / "link.json").symlink_to(path)
    read_object_sizes(path)
    read_object_sizes(tmp_path / "link.json")
    assert len(cached) == 1


def test_a_file_that_changes_while_it_is_read_gets_no_cache(write, cached, tmp_path):
    path = write(coco([(0, 0, 4, 9)]))

    def progress(blocks):
        yield from blocks
        os.utime(path, ns=(1, 1))

    read_object_sizes(path, progress=progress)
    assert [each.name for each in tmp_path.iterdir()] == ["gt.json"]


def test_boxes_of_zero_size_are_said_once_but_also_in_the_next_process(write, cached, caplog):
    path = write(coco([(0, 0, 4, 9), (0, 0, 0, 9)]))
    with caplog.at_level(logging.WARNING):
        read_object_sizes(path)
        read_object_sizes(path)
    assert len(caplog.records) == 1
    object_sizes._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        read_object_sizes(path)
    assert len(caplog.records) == 2
    assert len(cached) == 1
