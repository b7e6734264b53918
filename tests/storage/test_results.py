import gzip
import json

import numpy as np
import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from scale_match.core.errors import InputError
from scale_match.core.records import DetectionTable
from scale_match.storage import results
from scale_match.storage.results import read_detections, write_detections, write_metrics

ENTRY = {"image_id": 5, "category_id": 2, "bbox": [1.5, 2, 3, 4], "score": 0.25}


def written(tmp_path, value, name="dt.json"):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def columns(table):
    return [getattr(table, name).tolist() for name in DetectionTable.__slots__]


# ---- Reading ----


def test_entries_become_rows_in_file_order(tmp_path):
    other = {"image_id": 3, "category_id": 1, "bbox": [0, 0, 0, 7], "score": 1}
    table = read_detections(written(tmp_path, [ENTRY, other]))
    assert columns(table) == [[5, 3], [2, 1], [[1.5, 2, 3, 4], [0, 0, 0, 7]], [0.25, 1.0]]
    assert table.boxes.dtype == table.scores.dtype == np.float64
    assert table.image_ids.dtype == table.category_ids.dtype == np.int64


def test_further_keys_are_skipped(tmp_path):
    more = ENTRY | {"segmentation": {"counts": "x"}, "id": 12, "area": None}
    assert columns(read_detections(written(tmp_path, [more]))) == columns(as_detections([ENTRY]))


def test_packed_files_are_read_whatever_their_name(tmp_path):
    for name in ("dt.json.gz", "dt.json"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(json.dumps([ENTRY]).encode()))
        assert len(read_detections(path)) == 1


def test_a_byte_order_mark_is_no_harm(tmp_path):
    path = tmp_path / "dt.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([ENTRY]).encode())
    assert len(read_detections(path)) == 1


def test_an_empty_list_is_a_table_without_rows(tmp_path):
    table = read_detections(written(tmp_path, []))
    assert len(table) == 0
    assert table.boxes.shape == (0, 4)


def test_undeclared_categories_are_read(tmp_path):
    ground_truth, found = crowded(0)
    table = read_detections(written(tmp_path, found), as_annotations(ground_truth))
    assert 9 in table.category_ids


def entries(count):
    return [ENTRY | {"image_id": k, "score": k / 7} for k in range(count)]


@pytest.mark.parametrize("piece", [1, 100, 333, 10**9])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_read_in_pieces_is_the_same_table(tmp_path, monkeypatch, piece, indent):
    path = written(tmp_path, json.dumps(entries(20), indent=indent))
    decoder, decoded = results._DECODER, []

    class Recorder:
        def decode(self, data):
            decoded.append(decoder.decode(data))
            return decoded[-1]

    monkeypatch.setattr(results, "_PIECE", piece)
    monkeypatch.setattr(results, "_DECODER", Recorder())
    assert columns(read_detections(path)) == columns(as_detections(entries(20)))
    # No second reading after one that failed.
    assert sum(map(len, decoded)) == 20
    assert len(decoded) == {1: 20, 10**9: 1}.get(piece, len(decoded))


def test_a_cut_may_fall_into_an_entry(tmp_path, monkeypatch):
    inside = {"segmentation": [{"x": 1}, {"x": 2}, {"x": 3}], "note": "}, {"}
    path = written(tmp_path, [inside | entry | {"more": inside} for entry in entries(9)])
    for piece in (1, 40, 77):
        monkeypatch.setattr(results, "_PIECE", piece)
        monkeypatch.setattr(results, "parse_json", None)  # the slow way is not needed
        assert columns(read_detections(path)) == columns(as_detections(entries(9)))


def test_a_broken_entry_in_a_late_piece_is_named_by_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "_PIECE", 1)
    path = written(tmp_path, [*entries(7), ENTRY | {"score": "high"}, ENTRY])
    with pytest.raises(InputError, match=r"entry 7 \(counted from 0\) is .*'high'"):
        read_detections(path)
    path = written(tmp_path, json.dumps(entries(7))[:-1] + ', {"image_id": 5')
    with pytest.raises(InputError, match=r"not valid JSON: .* line 1"):
        read_detections(path)


# ---- Writing ----


def test_what_was_written_is_read_to_the_last_digit(tmp_path):
    rng = np.random.default_rng(0)
    n = 50
    table = DetectionTable(
        image_ids=rng.integers(0, 9, n),
        category_ids=rng.integers(0, 9, n),
        boxes=rng.random((n, 4)) * 1e3,
        scores=rng.random(n).astype(np.float32).astype(np.float64),
    )
    path = tmp_path / "new folder" / "dt.json"
    write_detections(path, table)
    assert columns(read_detections(path)) == columns(table)
    assert json.loads(path.read_text())[0].keys() == ENTRY.keys()


def test_detections_that_json_cannot_hold_leave_the_old_file(tmp_path):
    path = written(tmp_path, [ENTRY])
    table = as_detections([ENTRY | {"score": float("nan")}])
    with pytest.raises(ValueError, match="detections need finite boxes and scores"):
        write_detections(path, table)
    assert json.loads(path.read_text()) == [ENTRY]
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_are_written_as_fractions_with_all_digits(tmp_path):
    metrics = {"AP50_tiny": 1 / 3, "AP50_small": -1.0}
    write_metrics(tmp_path / "metrics.json", metrics)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics


def test_metrics_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_metrics(tmp_path / "metrics.json", {"AP50_tiny": float("nan")})
    assert not any(tmp_path.iterdir())


# ---- Errors ----

PLACE = r"dt\.json: entry 1 \(counted from 0\)"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"bbox": [1, 2, float("nan"), 4]}, rf"{PLACE} has \[1.0, 2.0, nan, 4.0\], .* four finite"),
        ({"bbox": [1, 2, float("inf"), 4]}, rf"{PLACE} has \[1.0, 2.0, inf, 4.0\], .* four finite"),
        ({"bbox": [1, 2, -3, 4]}, rf"{PLACE} has \[1.0, 2.0, -3.0, 4.0\], .* not negative"),
        ({"bbox": [1, 2, 3]}, rf"{PLACE} is \{{.*\[1, 2, 3\].*no detection: .*length 4, got 3"),
        ({"bbox": [1, 2, "3", 4]}, rf"{PLACE} is .*'3'.*Expected `float`, got `str`.*bbox\[2\]"),
        ({"bbox": None}, rf"{PLACE} is .*Expected `array`, got `null`.*bbox"),
        ({"score": float("nan")}, rf"{PLACE} has nan, but needs a finite score"),
        ({"score": "0.5"}, rf"{PLACE} is .*'0.5'.*Expected `float`, got `str`.*score"),
        ({"image_id": "7"}, rf"{PLACE} is .*Expected `int`, got `str`.*image_id"),
        ({"image_id": 2**70}, rf"{PLACE} is .*image_id"),
        ({"category_id": 1.5}, rf"{PLACE} is .*Expected `int`, got `float`.*category_id"),
    ],
)
def test_a_broken_value_is_named_with_its_place_and_rule(tmp_path, broken, message):
    with pytest.raises(InputError, match=message):
        read_detections(written(tmp_path, [ENTRY, ENTRY | broken, ENTRY]))


@pytest.mark.parametrize("key", list(ENTRY))
def test_a_missing_key_is_named(tmp_path, key):
    entry = {name: value for name, value in ENTRY.items() if name != key}
    with pytest.raises(InputError, match=rf"{PLACE} is .*missing required field `{key}`"):
        read_detections(written(tmp_path, [ENTRY, entry]))


def test_an_entry_that_is_no_object_is_named(tmp_path):
    with pytest.raises(InputError, match=rf"{PLACE} is 3, .*Expected `object`, got `int`"):
        read_detections(written(tmp_path, [ENTRY, 3]))


def test_a_number_too_large_for_a_double_is_no_finite_number(tmp_path):
    text = json.dumps([ENTRY, ENTRY]).replace("0.25", "1e999")
    with pytest.raises(InputError, match=r"entry 0 .* has inf, but needs a finite score"):
        read_detections(written(tmp_path, text))


def test_a_long_value_is_shortened_in_the_message(tmp_path):
    with pytest.raises(InputError) as error:
        read_detections(written(tmp_path, [ENTRY | {"score": "x" * 10_000}]))
    assert len(str(error.value)) < 500


def test_an_image_that_the_ground_truth_lacks_is_named(tmp_path):
    ground_truth, found = crowded(0)
    found[3]["image_id"] = 1234
    path = written(tmp_path, found)
    message = r"dt.json: entry 3 .* has 1234, but needs an image_id that gt.json lists"
    with pytest.raises(InputError, match=message):
        read_detections(path, as_annotations(ground_truth))
    assert len(read_detections(path)) == len(found)


def test_a_ground_truth_file_is_no_results_file(tmp_path):
    path = written(tmp_path, {"images": [], "annotations": []})
    with pytest.raises(
        InputError, match=r"dt.json is not a results file: a list .* not \{'images'"
    ):
        read_detections(path)


def test_broken_json_is_named_with_line_and_column(tmp_path):
    with pytest.raises(InputError, match=r"dt.json is not valid JSON: .* line 1, column \d+"):
        read_detections(written(tmp_path, '[{"image_id": 5, '))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*absent.json: No such file"):
        read_detections(tmp_path / "absent.json")
