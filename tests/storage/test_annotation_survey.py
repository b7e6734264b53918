import gzip
import json

import numpy as np
import pytest

from data_samples import box, image, write_data
from scale_match.core.errors import InputError
from scale_match.storage.annotation_survey import survey_annotations
from scale_match.storage.annotations import read_annotations

IMAGES = [image(1, "a.jpg"), image(2, "b.jpg")]


def test_a_sound_file_is_read_as_by_the_strict_reader(tmp_path):
    path = write_data(
        tmp_path, IMAGES, [box(1, 1, [1, 2, 3, 4], ignore=True), box(2, 2, [0, 0, 9, 9])]
    )
    survey, strict = survey_annotations(path), read_annotations(path)
    assert survey.problems == ()
    assert survey.annotations.images == strict.images
    assert survey.annotations.categories == strict.categories
    for name in ("ids", "image_ids", "boxes", "areas", "ignore", "sizes"):
        np.testing.assert_array_equal(
            getattr(survey.annotations.table, name), getattr(strict.table, name)
        )


def test_all_broken_entries_are_listed_and_the_others_are_read(tmp_path):
    boxes = [box(1, 1, [1, 2, 3, 4]), box(2, 1, [1, 2, 3]), box("x", 1, [1, 2, 3, 4]), 5]
    boxes.append({"id": 6, "image_id": 1, "bbox": [1, 2, 3, 4]})
    path = write_data(tmp_path, [*IMAGES, image(3, "c.jpg", width=0)], boxes)
    survey = survey_annotations(path)
    (broken,) = survey.problems
    assert (broken.kind, broken.count) == ("broken_entry", 5)
    assert broken.examples == (
        "image id 3 has width 0, which must be a positive whole number of pixels",
        "annotation id 2 has bbox [1, 2, 3], which must be four numbers x, y, width, height in "
        "pixels",
        "annotation id 'x' has id 'x', which must be a whole number without a decimal point",
        "annotation number 4 must be an object, not a JSON number",
        "annotation id 6 has no key 'category_id'",
    )
    assert survey.broken_image_ids == {3}
    assert survey.annotations.table.ids.tolist() == [1]
    assert len(survey.annotations.images) == 2


def test_what_is_wrong_between_entries_is_left_to_others(tmp_path):
    path = write_data(tmp_path, IMAGES, [box(1, 9, [1, 2, -3, 4]), box(1, 1, [0, 0, 1, 1])])
    survey = survey_annotations(path)
    assert survey.problems == ()
    assert len(survey.annotations.table) == 2


def test_not_a_number_is_read_for_others_to_judge(tmp_path):
    path = write_data(tmp_path, IMAGES, [box(1, 1, [float("nan"), 2, 3, 4])])
    assert np.isnan(survey_annotations(path).annotations.table.boxes[0, 0])


def test_a_packed_file_is_read(tmp_path):
    path = write_data(tmp_path, IMAGES, [box(1, 1, [1, 2, 3, 4])])
    packed = tmp_path / "gt.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(survey_annotations(packed).annotations.table) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"gt\.json is not valid JSON"),
        ("[]", r"gt\.json is not a COCO annotation file: an object .* not a JSON list"),
        (json.dumps({"images": [], "annotations": []}), "it has no key 'categories'"),
        (json.dumps({"images": {}, "annotations": [], "categories": []}), "must be a list"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, message):
    path = tmp_path / "gt.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        survey_annotations(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.json"):
        survey_annotations(tmp_path / "none.json")
