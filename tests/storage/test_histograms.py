import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from scale_match.core.counted_sizes import counted_sizes
from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.histogram_settings import HistogramSettings
from scale_match.storage.annotations import read_annotations
from scale_match.storage.files import file_sha256
from scale_match.storage.histograms import (
    load_histogram,
    read_counted_sizes,
    read_target_histogram,
    save_histogram,
    saved_settings,
)


def coco(boxes, **flags):
    """A file with one image and one category; ``flags`` are lists with an entry per box."""
    annotations = [
        {"id": index, "image_id": 1, "category_id": 1, "bbox": list(box)}
        | {name: values[index] for name, values in flags.items()}
        for index, box in enumerate(boxes)
    ]
    images = [{"id": 1, "file_name": "a.jpg", "width": 999, "height": 999}]
    return {
        "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write_value(value, name="gt.json"):
        (tmp_path / name).write_text(json.dumps(value))
        return tmp_path / name

    return write_value


@pytest.fixture
def saved(tmp_path):
    """A saved histogram of 5 bins with log on, and the histogram."""
    histogram = SizeHistogram.from_sizes(np.arange(1, 50) / 7, bins=5, log=True)
    path = tmp_path / "histogram.json"
    save_histogram(
        path, histogram, log=True, except_rate=None, source="a/b.json", source_sha256="0f"
    )
    return path, histogram


def test_a_saved_histogram_is_read_back_bit_by_bit(saved):
    path, histogram = saved
    again = load_histogram(path)
    assert again.counts.tolist() == histogram.counts.tolist()
    assert again.edges.tolist() == histogram.edges.tolist()


def test_a_saved_histogram_says_where_it_comes_from(saved):
    fields = json.loads(saved[0].read_text())
    assert fields["num_boxes"] == 49
    assert (fields["bins"], fields["log"], fields["except_rate"]) == (5, True, 0.4)
    assert (fields["source"], fields["source_sha256"]) == ("b.json", "0f")


def test_a_histogram_of_a_real_target_takes_a_few_kilobytes(shared, tmp_path):
    source = shared("oracle/scale_match/tinyperson_like.json")
    histogram = read_target_histogram(source)
    path = tmp_path / "h.json"
    save_histogram(
        path, histogram, log=False, except_rate=None,
        source=str(source), source_sha256=file_sha256(source),
    )  # fmt: skip
    assert path.stat().st_size < 5000
    assert read_target_histogram(path).edges.tolist() == histogram.edges.tolist()


def test_histograms_of_files_agree_with_the_oracle(shared):
    rows = json.loads(shared("oracle/scale_match/expected.json").read_text())["histograms"]
    assert len(rows) == 18
    for row in rows:
        rate = row["except_rate"] if "explicit_except_rate" in row else None
        histogram = read_target_histogram(
            shared(f"oracle/scale_match/{row['set']}.json"),
            bins=row["bins"],
            log=row["log"],
            except_rate=rate,
            mu_sigma=row.get("mu_sigma"),
        )
        assert histogram.counts.tolist() == row["counts"]
        np.testing.assert_allclose(histogram.edges, row["edges"], rtol=1e-12)


def test_crowd_and_ignored_boxes_do_not_count_and_uncertain_ones_do(write):
    path = write(
        coco([(0, 0, 4, 9), (0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3)],
             iscrowd=[0, 1, 0, 0], ignore=[0, 0, 1, 0], uncertain=[0, 0, 0, 1])
    )  # fmt: skip
    assert read_counted_sizes(path).tolist() == [3.0, 6.0]


def test_boxes_of_zero_size_are_left_out_and_said_once(write, caplog):
    path = write(coco([(0, 0, 4, 9), (0, 0, 0, 9), (0, 0, 4, 0)]))
    with caplog.at_level(logging.INFO):
        assert read_counted_sizes(path).tolist() == [6.0]
    (record,) = caplog.records
    assert "gt.json: 2 of 3 boxes have zero width or height" in record.getMessage()


@pytest.mark.parametrize(
    ("boxes", "flags"),
    [([], {}), ([(0, 0, 0, 4)], {}), ([(0, 0, 4, 4)] * 2, {"iscrowd": [1, 0], "ignore": [0, 1]})],
)
def test_a_file_without_a_box_that_counts_is_refused(write, boxes, flags):
    with pytest.raises(InputError, match=r"gt.json has no box that counts for a size histogram"):
        read_target_histogram(write(coco(boxes, **flags)))


def test_settings_that_a_target_cannot_have_name_the_file(write):
    path = write(coco([(0, 0, 4, 4), (0, 0, 4, 4)]))
    with pytest.raises(InputError, match=r"gt.json: mu_sigma 9 2 cannot be reached: all 2 sizes"):
        read_target_histogram(path, mu_sigma=(9, 2))
    with pytest.raises(InputError, match=r"gt.json: bins must be at least 3"):
        read_target_histogram(path, bins=2)


def test_a_saved_histogram_keeps_mean_and_deviation(tmp_path):
    settings = HistogramSettings(5, mu_sigma=(9.0, 2.0))
    histogram = settings.histogram(np.arange(1.0, 50.0))
    path = tmp_path / "h.json"
    save_histogram(
        path, histogram, log=False, except_rate=None, source="a", source_sha256="",
        mu_sigma=settings.mu_sigma,
    )  # fmt: skip
    assert saved_settings(path) == replace(settings, except_rate=0.4)
    assert read_target_histogram(path, bins=5, mu_sigma=(9, 2)).num_boxes == 49
    message = r"saved with mu_sigma \(9.0, 2.0\), but mu_sigma None is asked for"
    with pytest.raises(InputError, match=message):
        read_target_histogram(path, bins=5)


def test_histograms_of_the_first_version_have_no_mean_and_deviation(saved):
    path, _ = saved
    fields = json.loads(path.read_text())
    del fields["mu_sigma"]
    path.write_text(json.dumps(fields))
    assert saved_settings(path) == HistogramSettings(5, True, 0.4)


def test_only_a_saved_histogram_has_settings(saved, write):
    assert saved_settings(saved[0]).bins == 5
    assert saved_settings(write(coco([(0, 0, 4, 4)]))) is None


def test_a_histogram_saved_with_other_settings_is_refused(saved):
    path, _ = saved
    read_target_histogram(path, bins=5, log=True)
    read_target_histogram(path, bins=5, log=True, except_rate=0.4)
    with pytest.raises(InputError, match=r"saved with bins 5, but bins 100 is asked for"):
        read_target_histogram(path, log=True)
    with pytest.raises(InputError, match=r"saved with log True, but log False is asked for"):
        read_target_histogram(path, bins=5)
    with pytest.raises(InputError, match=r"saved with except_rate 0.4, but except_rate 0.1 is"):
        read_target_histogram(path, bins=5, log=True, except_rate=0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 2}, r"is not a whole saved histogram: Invalid enum value 2 - at `\$.version`"),
        ({"counts": "x"}, r"is not a whole saved histogram: Expected `array`, got `str`"),
        ({"edges": [1.0, 2.0]}, r"histogram.json: edges must have one more entry than counts"),
        ({"num_boxes": 3}, r"bins 5 and num_boxes 3 must agree with the counts, which are 5 and "),
        ({"format": "x"}, r"is not a saved histogram: its 'format' is not"),
    ],
)
def test_a_damaged_saved_histogram_is_refused(saved, fields, message):
    path, _ = saved
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(InputError, match=message):
        load_histogram(path)


def test_a_saved_histogram_without_a_field_is_refused(saved):
    path, _ = saved
    fields = json.loads(path.read_text())
    del fields["edges"]
    path.write_text(json.dumps(fields))
    with pytest.raises(InputError, match=r"missing required field `edges`"):
        read_target_histogram(path, bins=5, log=True)


@pytest.mark.parametrize("read", [load_histogram, read_target_histogram])
def test_a_missing_or_broken_file_is_named(tmp_path, read):
    with pytest.raises(InputError, match=r"cannot read .*none.json"):
        read(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken.json is not "):
        read(tmp_path / "broken.json")


def test_a_large_annotation_file_is_not_searched_for_a_histogram(write, tmp_path):
    value = coco([(0, 0, 4, 9), (0, 0, 1, 1), (0, 0, 2, 2)])
    path = write({**value, "padding": "x" * (1 << 21), "format": "scale_match.size_histogram"})
    assert path.stat().st_size > 1 << 21
    assert read_target_histogram(path, bins=3).num_boxes == 3


def test_counted_sizes_of_a_shared_file_agree_with_the_core(shared):
    path = shared("oracle/scale_match/coco_like.json")
    expected = counted_sizes(read_annotations(path).table)
    assert read_counted_sizes(path).tolist() == sorted(expected.tolist())
